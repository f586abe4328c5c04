/** Tests of a client's start: addresses, tokens, options and environments.
 *
 * Some environments do not permit a connection. The tests also cover the records for the `debug` option.
 */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, mock, test } from "node:test";
import { fileURLToPath } from "node:url";

import { connect } from "../src/index.js";
import { toAddress } from "../src/address.js";
import { encode } from "../src/packet.js";
import { code, record, setUp } from "./support/kit.js";
import { withWebSocket } from "./support/fake-socket.js";

describe("on a server that renders pages", () => {
    test("creates no socket, timer or listener", () => {
        const source = `
            const touched = [];
            for (const name of ["setTimeout", "setInterval", "setImmediate", "fetch", "addEventListener"]) {
                const real = globalThis[name];
                globalThis[name] = (...args) => (touched.push(name), real?.(...args));
            }
            const { connect } = await import(${JSON.stringify(new URL("../src/index.js", import.meta.url).href)});
            const client = connect("/ws", { codec: "json", token: () => touched.push("token") });
            const room = client.join("lobby");
            room.on("chat", () => {});
            room.send("chat", 1);
            const lazy = connect("wss://example.org/ws", { lazy: true, WebSocket: class { constructor() { touched.push("WebSocket"); } } });
            lazy.join("lobby");
            const { setTimeout: _ } = globalThis;
            await new Promise((resolve) => process.nextTick(resolve));
            console.log(JSON.stringify([client.state, lazy.state, room.state, touched]));
        `;
        for (const flags of [[], ["--experimental-websocket"]]) {
            const out = execFileSync(process.execPath, [...flags, "--input-type=module", "-e", source], { encoding: "utf8", timeout: 30_000 });
            assert.deepEqual(JSON.parse(out), ["idle", "idle", "joining", []]);
        }
    });

    test("without a WebSocket, lazy waits for start(), which throws", async () => {
        const kit = setUp();
        const client = withWebSocket(undefined, () => connect("ws://test/ws", { clock: kit.server.clock, lazy: true }));
        assert.equal(client.state, "idle");
        withWebSocket(undefined, () => assert.throws(client.start, (error) => code("no_websocket")(error) && /option WebSocket/.test(error.message)));
        const room = client.join("lobby");
        withWebSocket(kit.server.options.WebSocket, () => client.start());
        client.start();
        await kit.server.advance(0);
        assert.deepEqual([client.state, room.state, kit.server.connections().length], ["open", "open", 1]);
        client.close();
    });

    test("without a WebSocket, connect() throws for an absolute URL", () => {
        const { options } = setUp().server;
        withWebSocket(undefined, () => {
            for (const address of ["ws://test/ws", new URL("ws://test/ws"), () => "ws://test/ws"]) {
                assert.throws(() => connect(address, { clock: options.clock }), (error) => code("no_websocket")(error) && /pass the option WebSocket/.test(error.message));
            }
            assert.equal(connect("/ws", { clock: options.clock }).state, "idle");
        });
        assert.equal(options.clock.pending(), 0);
    });

    test("a relative URL without a page is refused", () => {
        const client = connect("/ws", setUp().server.options);
        assert.equal(client.state, "idle");
        assert.throws(client.start, code("argument"));
        client.close();
        assert.equal(client.state, "closed");
        client.start();
        assert.equal(client.state, "closed");
    });

    test("lazy waits for start(); earlier calls take effect then", async () => {
        const kit = setUp();
        const { client, life } = kit.connect({ lazy: true });
        const room = client.join("lobby");
        const handled = [];
        kit.server.handle("chat", (conn, message) => handled.push(message.text()));
        room.send("chat", 1);
        await kit.server.advance(100_000);
        assert.deepEqual([client.state, life, kit.server.clock.pending()], ["idle", [], 0]);
        client.start();
        await kit.server.advance();
        assert.deepEqual([client.state, handled], ["open", ["1"]]);
    });
});

describe("URLs", () => {
    const inPage = (globals, action) => {
        Object.assign(globalThis, globals);
        try {
            return action();
        } finally {
            Object.keys(globals).forEach((name) => delete globalThis[name]);
        }
    };

    test("are relative to the page's base", () => {
        const document = { baseURI: "https://example.org/app/" };
        assert.equal(inPage({ document, location: new URL("about:srcdoc") }, () => toAddress("ws")), "wss://example.org/app/ws");
        assert.equal(inPage({ location: new URL("http://example.org/x/y") }, () => toAddress("/ws")), "ws://example.org/ws");
    });

    test("need no setters, which React Native's URL lacks", () => {
        const { URL: RealURL } = globalThis;
        globalThis.URL = class {
            #url;
            constructor(url) {
                this.#url = new RealURL(url);
            }
            get href() {
                return `${this.#url.href}/`;
            }
            get protocol() {
                return this.#url.protocol;
            }
            get searchParams() {
                return { set: () => { throw new Error("URLSearchParams.set is not implemented"); } };
            }
            toString() {
                return this.#url.href;
            }
        };
        try {
            assert.equal(toAddress("https://example.org/ws?a=1#b", "t&ö"), "wss://example.org/ws?a=1&token=t%26%C3%B6");
            // Schemes are case-insensitive (RFC 3986 section 3.1).
            assert.equal(toAddress("WS://h/ws").toLowerCase(), "ws://h/ws");
            assert.equal(toAddress("HTTPS://h/ws").toLowerCase(), "wss://h/ws");
            assert.throws(() => toAddress("wss://"), TypeError);
        } finally {
            globalThis.URL = RealURL;
        }
    });

    test("contain the token of the option, not an older one", () => {
        assert.equal(toAddress("ws://h/ws?token=old&b=2", "new"), "ws://h/ws?b=2&token=new");
        assert.equal(toAddress("ws://h/ws?token=old"), "ws://h/ws?token=old");
    });
});

describe("a token as a subprotocol", () => {
    test("is not in the URL, and is requested for each attempt", async () => {
        const kit = setUp();
        const seen = [];
        const tokens = ["s3cret", "ÿ~?>ü=🚪", "", null];
        kit.server.allow({ connect: (url, token) => !!seen.push([url, token]) });
        const { client } = kit.connect({ tokenIn: "protocol", token: () => tokens[seen.length] });
        for (let n = 0; n < tokens.length; n++) {
            await kit.server.advance(1_000);
            assert.equal(client.state, "open");
            kit.server.cut();
        }
        assert.deepEqual(seen.slice(0, 4), ["s3cret", "ÿ~?>ü=🚪", "", undefined].map((token) => ["ws://test/ws?roomer=2", token]));
        client.close();
    });

    test("is offered in unpadded base64url beside the subprotocol's name", async () => {
        const kit = setUp();
        const offered = [];
        class Seen extends kit.server.options.WebSocket {
            constructor(url, ...protocols) {
                super(url, ...protocols);
                offered.push(protocols);
            }
        }
        for (const token of ["ÿ~?>", undefined]) {
            kit.connect({ WebSocket: Seen, tokenIn: "protocol", token });
        }
        kit.connect({ WebSocket: Seen, token: "in the address" });
        await kit.server.advance();
        assert.deepEqual(offered, [[["roomer", `token.${Buffer.from("ÿ~?>").toString("base64url")}`]], [], []]);
    });
});

test("unknown options are refused", () => {
    const options = setUp().server.options;
    for (const wrong of [{ heartbeet: 1 }, { reconnect: { maxdelay: 5 } }, { queue: { size: 5 } }, { Token: "x" }]) {
        assert.throws(() => connect("ws://test/ws", { ...options, ...wrong }), (error) => code("argument")(error) && /no option "(heartbeet|maxdelay|size|Token)"/.test(error.message));
    }
    const client = connect("ws://test/ws", { ...options, token: undefined });
    assert.throws(() => client.join("lobby", { codek: "json" }), code("argument"));
    assert.throws(() => client.root.messages("chat", { size: 1 }), code("argument"));
    assert.throws(() => client.root.on("chat", () => {}, { onse: true }), code("argument"));
    assert.throws(() => setUp({ latencies: 5 }), code("argument"));
    client.close();
});

describe("debug", () => {
    test("records what is sent, received, lost and dropped; never a token or a payload", async () => {
        for (const tokenIn of ["address", "protocol"]) {
            const kit = setUp();
            const records = [];
            const { client } = kit.connect({ token: "s3cret", tokenIn, queue: { messages: 1 }, debug: (record) => void records.push(record) });
            const room = client.join("lobby");
            room.send("chat", "payload");
            room.send("chat", "dropped");
            await kit.server.advance();
            room.send("chat", "unconfirmed");
            kit.server.cut();
            client.close();
            const kinds = new Set(records.map(({ what }) => what));
            assert.deepEqual([...kinds].sort(), ["connect", "dropped", "lost", "received", "sent", "state"]);
            const text = JSON.stringify(records);
            for (const secret of ["s3cret", Buffer.from("s3cret").toString("base64url"), "\"payload"]) {
                assert.ok(!text.includes(secret), secret);
            }
            const states = records.filter(({ what }) => what === "state").map(({ state, error }) => [state, error?.code]);
            assert.deepEqual(states, [["open", undefined], ["suspended", "lost"], ["closed", undefined]]);
            assert.ok(records.some((each) => each.what === "sent" && each.room === "lobby" && each.event === "join" && each.bytes > 0));
        }
    });

    test("true writes to the console", async () => {
        const kit = setUp();
        const spy = mock.method(console, "debug", () => {});
        try {
            kit.connect({ debug: true });
            await kit.server.advance();
        } finally {
            spy.mock.restore();
        }
        assert.ok(spy.mock.calls.length >= 3);
    });

    test("a throwing function is ignored", async () => {
        const kit = setUp();
        const { client, errors } = kit.connect({ debug: () => { throw new Error("mine"); } });
        await kit.server.advance();
        assert.equal(client.state, "open");
        assert.ok(errors.every((error) => error.code === "listener"));
    });
});

describe("joins are counted", () => {
    test("the last leave() leaves", async () => {
        const kit = setUp();
        const [{ client, room }, other] = await kit.inRoom("lobby", 2);
        const log = record(other.room, "new_member", "member_left");
        assert.equal(client.join("lobby"), room);
        await room.leave();
        await kit.server.advance();
        assert.deepEqual([room.state, log], ["open", []]);
        await Promise.all([room.leave(), kit.server.advance()]);
        assert.deepEqual([room.state, log.map(([event, id]) => [event, id])], ["closed", [["member_left", client.id]]]);
        await room.leave();
    });

    test("mount, unmount and mount in one turn is one join", async () => {
        const kit = setUp();
        const [other] = await kit.inRoom("lobby");
        const log = record(other.room, "new_member", "member_left");
        const { client } = kit.connect();
        await kit.server.advance();
        client.join("lobby");
        client.join("lobby").leave();
        const room = client.join("lobby");
        client.rooms();
        room.leave();
        client.join("lobby");
        await kit.server.advance(5_000);
        assert.deepEqual([room.state, log.map(([event, id]) => [event, id])], ["open", [["new_member", client.id]]]);
        room.leave();
        await Promise.all([room.leave(), kit.server.advance()]);
        assert.deepEqual(log.at(-1).slice(0, 2), ["member_left", client.id]);
    });

    test("a rejoin in the same turn keeps the queue", async () => {
        const kit = setUp();
        const handled = [];
        kit.server.handle("chat", (conn, message) => handled.push(message.text()));
        const { client } = kit.connect();
        const room = client.join("lobby");
        room.send("chat", 1);
        room.leave();
        client.join("lobby");
        await kit.server.advance();
        assert.deepEqual(handled, ["1"]);
    });

    test("a server-side join is undone by the first leave()", async () => {
        const kit = setUp();
        const { client } = kit.connect();
        await kit.server.advance();
        const put = new Promise((resolve) => client.on("room", resolve));
        kit.server.connections()[0].join("table");
        await kit.server.advance();
        await Promise.all([(await put).leave(), kit.server.advance()]);
        assert.deepEqual(kit.server.members("table"), []);
    });
});

describe("other packets of the server", () => {
    test("member counts", async () => {
        const kit = setUp({ presence: (room) => (room === "big" ? "count" : room === "quiet" ? "off" : "full") });
        const made = await kit.inRoom("big", 3);
        assert.deepEqual(made.map(({ room }) => [room.count, room.members()]), [[1, []], [2, []], [3, []]]);
        const quiet = made[0].client.join("quiet");
        const full = made[0].client.join("full");
        await kit.server.advance();
        assert.deepEqual([quiet.count, quiet.members(), full.count], [1, [made[0].client.id], 1]);
    });

    test("a direct message from a room that was not joined", async () => {
        const kit = setUp();
        const [a] = await kit.inRoom("lobby");
        const { client, errors } = kit.connect();
        await kit.server.advance();
        const log = record(client, "direct");
        a.room.send("psst", { x: 1 }, client.id);
        a.room.send("all", 1);
        kit.server.connections()[1].deliver(encode("lobby", "open", client.id, a.client.id));
        await kit.server.advance();
        assert.deepEqual(log, [["direct", { room: "lobby", event: "psst", payload: { x: 1 }, from: a.client.id }]]);
        const lobby = client.join("lobby");
        const inside = record(lobby, "psst");
        await kit.server.advance();
        a.room.send("psst", 2, client.id);
        await kit.server.advance();
        assert.deepEqual([log.length, inside, errors], [1, [["psst", 2, a.client.id, true]], []]);
    });
});
