/** Tests of wrong arguments: each call throws immediately, with an error that describes the mistake. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import * as core from "../src/core.js";
import { connect } from "../src/index.js";
import { createClock } from "../src/testkit/index.js";
import { code, record, setUp } from "./support/kit.js";
import { enter } from "./support/session.js";

/** Returns a predicate for an `argument` error with this text. */
const says = (text) => (error) => code("argument")(error) && text.test(error.message);

describe("a payload that JSON cannot represent", () => {
    const circular = {};
    circular.self = circular;
    const hostile = {
        toJSON() {
            throw new Error("no JSON of this");
        }
    };
    const WRONG = [[10n, /BigInt/], [circular, /circular/], [hostile, /no JSON of this/], [() => {}, /JSON cannot represent this function/], [Symbol("x"), /JSON cannot represent this symbol/]];

    for (const [payload, text] of WRONG) {
        test(`is refused by send(), request() and setInfo(): ${text.source}`, async () => {
            const { server, room, client, wire, errors } = await enter();
            assert.throws(() => room.send("chat", payload), says(text));
            assert.throws(() => client.setInfo(payload), says(text));
            await assert.rejects(room.request("chat", payload), says(text));
            assert.throws(() => client.setInfo({ payload: 10n }), says(/BigInt/));
            await server.advance(1_000);
            assert.deepEqual([wire, errors], [[], []]);
        });
    }

    test("fails as an answer for the requester, and is an error of the handler's client", async () => {
        const { server, room, other } = await enter(2);
        for (const [n, [payload]] of WRONG.entries()) {
            other.room.handle(`get ${n}`, () => payload);
            const asked = assert.rejects(room.request(`get ${n}`, 1, { to: other.client.id }), { code: "answer", kind: "failed" });
            await server.advance(1_000);
            await asked;
        }
        assert.deepEqual(other.errors.map((error) => [error.code, error.cause.code]), WRONG.map(() => ["listener", "argument"]));
    });
});

describe("a buffer of messages() without room for a message", () => {
    test("is refused, since its reader could never continue", async () => {
        const { room } = await enter();
        for (const buffer of [0, -1, NaN, 0.5, null, "many"]) {
            assert.throws(() => room.messages("chat", { buffer }), says(/buffer/));
        }
    });

    test("does not include buffers of one message or without a limit", async () => {
        const { server, room, other } = await enter(2);
        const heard = [];
        for (const buffer of [1, Infinity, undefined]) {
            room.messages("chat", { buffer }).next().then(({ value }) => heard.push(value.payload));
        }
        other.room.send("chat", 1);
        await server.advance(1_000);
        assert.deepEqual(heard, [1, 1, 1]);
    });
});

test("an invalid request timeout is refused", async () => {
    const { server, room, client } = await enter();
    const lost = record(client, "lost");
    for (const timeout of [NaN, -1, 0, null, "soon", "10"]) {
        await assert.rejects(room.request("x", 1, { timeout }), says(/timeout/));
    }
    await server.advance(1_000);
    assert.deepEqual(lost, []);
});

describe("an invalid URL", () => {
    const WRONG = [["localhost:8080/ws?token=secret", "localhost:8080/ws"], ["ftp://ann:secret@host/ws", "ftp://host/ws"], [""], ["ftp://host/path"], ["ws://"], ["ws://host:99999/"], [undefined], [null], [42], ["mailto:ann"]];
    const explains = (shown, error) => assert.equal(error.message.replace(/^\w+: TypeError: /, ""), `cannot connect to "${shown}": write "wss://host/path", or "/path" in a page`);

    for (const [url, shown = `${url}`] of WRONG) {
        test(`is refused, and shown without its query and user: ${shown}`, () => {
            const { options } = setUp().server;
            assert.throws(() => connect(url, options), (error) => code("argument")(error) && (explains(shown, error), true));
            const lazy = connect(url, { ...options, lazy: true });
            assert.throws(lazy.start, code("argument"));
            assert.equal(lazy.state, "idle");
            assert.throws(() => core.connect(url, options), says(/URL/));
        });

        test(`counts as a failed attempt if a function returns it: ${shown}`, async () => {
            const { server } = setUp();
            const client = connect(async () => url, server.options);
            const log = record(client, "state");
            await server.advance(10);
            const [, state, error] = log.at(-1);
            assert.deepEqual([state, error.code], ["suspended", "address"]);
            explains(shown, error);
            client.close();
        });
    }

    test("may be a relative URL outside a page", () => {
        const client = connect("/ws", setUp().server.options);
        assert.equal(client.state, "idle");
        assert.throws(client.start, (error) => code("argument")(error) && (explains("/ws", error), true));
        assert.throws(core.connect("/ws", setUp().server.options).start, says(/URL/));
    });
});

describe("an invalid place for the token", () => {
    test("is refused, which keeps the token out of the URL", () => {
        const { options } = setUp().server;
        for (const tokenIn of ["protocols", "Protocol", "", "header", null, core.toProtocol, true]) {
            assert.throws(() => connect("ws://test/ws", { ...options, token: "secret", tokenIn }), says(/tokenIn: "address" or "protocol", not "/));
        }
    });

    test("includes names in the core, which expects a function", () => {
        const { options } = setUp().server;
        for (const tokenIn of ["protocol", "address", {}, true]) {
            assert.throws(() => core.connect("ws://test/ws", { ...options, token: "secret", tokenIn }), says(/tokenIn/));
        }
    });
});

describe("options of the wrong type", () => {
    const explained = (error) => code("argument")(error) && /: (an object|an AbortSignal|a function)$/.test(error.message);

    test("are refused by connect(), and null is like no options", async () => {
        const { server } = setUp();
        const wrong = [
            "json", 7, true, ...[{ queue: 5 }, { queue: "x" }, { signal: {} }, { signal: 1 }, { isFinal: 1 }, { random: {} }, { WebSocket: {} }].map((each) => ({ ...server.options, ...each }))
        ];
        for (const options of wrong) {
            assert.throws(() => connect("ws://test/ws", options), explained, JSON.stringify(options));
        }
        const client = connect("ws://test/ws", { ...server.options, queue: null, signal: null, reconnect: null, isFinal: null, random: null });
        assert.equal(connect("/ws", null).state, "idle");
        await server.advance();
        assert.deepEqual([client.state, client.root.send("chat", "x")], ["open", "sent"]);
        server.connections()[0].close(1001);
        await server.advance(60_000);
        assert.equal(client.state, "open", "it has returned");
    });

    test("do not include null for roomer/core either, which refuses null as any other argument", async () => {
        const { server } = setUp();
        const names = ["features", "queue", "signal", "reconnect", "timeout", "token", "tokenIn"];
        const client = core.connect("ws://test/ws", { ...server.options, ...Object.fromEntries(names.map((name) => [name, null])) });
        assert.equal(core.connect("/ws", null).state, "idle");
        const lobby = client.join("lobby", null);
        lobby.on("chat", () => {}, null);
        assert.equal(lobby.send("chat", "x"), "queued");
        await server.advance();
        assert.deepEqual([client.state, lobby.send("chat", "x")], ["open", "sent"]);
        server.connections()[0].close(1001);
        await server.advance(60_000);
        assert.equal(client.state, "open", "it has returned");
        for (const call of [() => client.join(null), () => lobby.send(null), () => lobby.send("chat", "x", null), () => lobby.send("chat", null), () => lobby.on("chat", null), () => client.join("lobby 2", { codec: null }), () => core.connect(null, server.options)]) {
            assert.throws(call, code("argument"), `${call}`);
        }
    });

    test("are refused by each method, and null is like no options", async () => {
        const { server, room, client, other } = await enter(2);
        const calls = {
            join: (options) => client.join("a", options),
            on: (options) => client.on("state", () => {}, options),
            "room.on": (options) => room.on("chat", () => {}, options),
            messages: (options) => room.messages("chat", options)
        };
        for (const [name, call] of Object.entries(calls)) {
            for (const options of ["x", 7, true, ...(name === "join" ? [] : [{ signal: {} }, { signal: "x" }])]) {
                assert.throws(() => call(options), explained, `${name}(${JSON.stringify(options)})`);
            }
            call(null);
            name === "join" || call({ signal: null });
        }
        for (const options of ["x", 7, { signal: {} }]) {
            await assert.rejects(room.request("x", 1, options), explained);
            await assert.rejects(server.connections()[0].request("lobby", "x", 1, options), explained);
            assert.throws(() => createClock(options), explained);
        }
        assert.throws(() => server.allow(null), says(/rules/));
        other.room.handle("double", (number) => 2 * number);
        client.root.handle("triple", (number) => 3 * number);
        const answers = Promise.all([room.request("double", 1, { to: other.client.id, signal: null }), server.connections()[0].request("root", "triple", 1, null)]);
        await server.advance(1_000);
        const [double, triple] = await answers;
        assert.deepEqual([double, triple.json(), createClock(null).now()], [2, 3, 0]);
    });
});

describe("invalid numbers", () => {
    const WRONG = {
        timeout: [0, -1, NaN, "10"],
        heartbeat: [0, NaN, "30", true],
        queue: [{ messages: NaN }, { messages: "5" }, { bytes: NaN }, { bytes: "64kb" }, { bytes: -1 }],
        reconnect: [{ minDelay: NaN }, { maxDelay: "1" }, { minUptime: -5 }, { retries: NaN }, { retries: "3" }]
    };

    test("are refused by connect(), with their name", () => {
        const { options } = setUp().server;
        for (const [name, values] of Object.entries(WRONG)) {
            for (const value of values) {
                const [[shown, wrong]] = typeof value === "object" ? Object.entries(value) : [[name, value]];
                assert.throws(() => connect("ws://test/ws", { ...options, [name]: value }), says(new RegExp(`: ${shown}: a number from [01], not ${wrong}$`)));
            }
        }
    });

    test("do not include values that disable an option, nor null", async () => {
        const { server } = setUp();
        const right = [{ heartbeat: false }, { reconnect: false }, { reconnect: true }, { reconnect: { retries: Infinity, minDelay: 0 } }, { queue: { messages: 0 } }, { timeout: null, heartbeat: null, queue: { bytes: null } }];
        const clients = right.map((each) => connect("ws://test/ws", { ...server.options, ...each }));
        await server.advance(1_000);
        assert.deepEqual(clients.map(({ state }) => state), right.map(() => "open"));
        const { id } = clients.at(-1);
        server.connections().at(-1).hang();
        await server.advance(60_000);
        assert.notEqual(clients.at(-1).id, id, "the client with null has noticed that its connection is dead");
    });

    test("are refused as the size of a history", async () => {
        const { client } = await enter();
        for (const history of [NaN, -1, 1.5, "20", true]) {
            assert.throws(() => client.join("x", { history }), says(/history: a whole number from 0/));
        }
    });
});

describe("a codec that does not return bytes", () => {
    test("is refused by send() without sending", async () => {
        const { server, room, client, other } = await enter(2);
        const heard = record(other.client, "direct");
        for (const wrong of ["text", 7, null, undefined, {}, [1], new Uint16Array(2), new DataView(new ArrayBuffer(2)), new ArrayBuffer(2), Promise.resolve(new Uint8Array(1))]) {
            const own = client.join(`own ${typeof wrong}`, { codec: { encode: () => wrong, decode: (data) => data } });
            assert.throws(() => own.send("x", 1, other.client.id), says(/encode\(\) must return a Uint8Array/));
            await assert.rejects(own.request("x", 1), code("argument"));
            own.leave();
            await null;
        }
        await server.advance(1_000);
        assert.deepEqual([heard, client.state, room.state], [[], "open", "open"]);
    });
});

describe("options of a room that is already joined", () => {
    test("are refused if they would have no effect", async () => {
        const { client, server, room } = await enter();
        assert.throws(() => client.join("root", { codec: "text" }), says(/"root" is joined already, with another codec/));
        assert.throws(() => client.join("root", { history: 20 }), says(/"root" is joined already, without a history/));
        assert.throws(() => client.join("lobby", { codec: { encode() {}, decode() {} } }), says(/another codec/));
        client.join("chat", { codec: "text", history: 5 });
        assert.throws(() => client.join("chat", { codec: "json" }), says(/another codec/));
        // The same options, fewer options, and a new instance of the application's codec are accepted.
        assert.equal(client.join("lobby", { codec: "json" }), room);
        client.join("chat", { codec: "text", history: 20 });
        client.join("chat");
        const own = () => ({ encode: () => new Uint8Array(1), decode: (data) => data });
        assert.equal(client.join("own", { codec: own() }), client.join("own", { codec: own() }));
        // A room into which the server has put the client has no history for the client.
        server.connections()[0].join("given");
        await server.advance(100);
        client.join("given", { history: 5 });
        room.leave();
        room.leave();
        await server.advance(100);
        assert.equal(client.join("lobby", { codec: "text" }).state, "joining", "a new room has its own options");
    });
});
