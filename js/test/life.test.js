/** Tests of a connection's lifecycle in virtual time: states, attempts, delays, keep-alive and close. */

import assert from "node:assert/strict";
import { describe, mock, test } from "node:test";

import { connect } from "../src/index.js";
import { withWebSocket } from "./support/fake-socket.js";
import { code, record, setUp } from "./support/kit.js";

describe("states", () => {
    test("connecting, open and closed are emitted once each", async () => {
        const kit = setUp({ latency: 20 });
        const { client, life } = kit.connect();
        assert.equal(client.state, "connecting");
        await kit.server.advance(20);
        assert.equal(client.state, "open");
        client.close();
        client.close();
        assert.deepEqual(life, [[20, "open", undefined], [20, "closed", undefined]]);
        await kit.server.advance(20);
        assert.deepEqual([kit.server.connections(), kit.server.clock.pending()], [[], 0]);
    });

    test("a lost connection is suspended, connecting, then open", async () => {
        const kit = setUp();
        const { client, life } = kit.connect();
        await kit.server.advance(10_000);
        kit.server.cut();
        assert.equal(client.state, "suspended");
        await kit.server.advance(250);
        assert.deepEqual(life.slice(1), [[10_000, "suspended", "lost"], [10_250, "connecting", undefined], [10_250, "open", undefined]]);
    });

    test("close() while suspended or connecting is final", async () => {
        for (const wait of [0, 250]) {
            const kit = setUp();
            const { client } = kit.connect();
            await kit.server.advance(10_000);
            kit.server.stall();
            kit.server.cut();
            await kit.server.advance(wait);
            assert.equal(client.state, wait ? "connecting" : "suspended");
            client.close();
            kit.server.resume();
            await kit.server.advance(60_000);
            assert.deepEqual([client.state, kit.server.connections().length, kit.server.clock.pending()], ["closed", 0, 0]);
        }
    });

    test("close() in a listener of the loss is final", async () => {
        const kit = setUp();
        const { client, life } = kit.connect();
        client.on("state", (state) => state === "suspended" && client.close());
        await kit.server.advance();
        kit.server.cut();
        await kit.server.advance(60_000);
        assert.deepEqual(life.map(([, state]) => state), ["open", "suspended", "closed"]);
        assert.equal(kit.server.connections().length, 0);
    });
});

describe("waits between attempts", () => {
    /** Returns the delays between the connection attempts of a client without a server, in milliseconds. */
    async function waits(options, count) {
        const kit = setUp();
        kit.server.stop();
        const { client, life } = kit.connect(options);
        while (life.filter(([, state]) => state === "suspended").length < count + 1 && client.state !== "closed") {
            await kit.server.advance(50);
        }
        const times = (wanted) => life.filter(([, state]) => state === wanted).map(([time]) => time);
        const suspended = times("suspended");
        return times("connecting").map((time, n) => time - suspended[n]).slice(0, count);
    }

    test("double up to the cap", async () => {
        assert.deepEqual(await waits({ random: () => 1 }, 9), [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    });

    test("have full jitter, applied after the cap", async () => {
        const numbers = [0.5, 0, 1, 0.25, 0.1];
        let drawn = 0;
        const reconnect = { minDelay: 1000, maxDelay: 2000 };
        assert.deepEqual(await waits({ reconnect, random: () => numbers[drawn++] }, 5), [500, 0, 2000, 500, 200]);
    });

    test("end at the retry limit with the last reason", async () => {
        const kit = setUp();
        kit.server.stop();
        const { client, life } = kit.connect({ reconnect: { retries: 3 } });
        const closed = record(client.join("lobby"), "close");
        await kit.server.advance(1e6);
        assert.deepEqual(life.map(([, state]) => state).filter((state) => state === "connecting").length, 3);
        assert.deepEqual(life.at(-1).slice(1), ["closed", "gave_up"]);
        assert.deepEqual([closed.length, closed[0][1].code, closed[0][1].cause.code], [1, "gave_up", "lost"]);
        assert.equal(kit.server.clock.pending(), 0);
    });

    test("reconnect: false never reconnects", async () => {
        const kit = setUp();
        const { life } = kit.connect({ reconnect: false });
        await kit.server.advance(10_000);
        kit.server.cut();
        assert.deepEqual(life.map(([, state]) => state), ["open", "closed"]);
    });

    test("only a stable connection resets the backoff", async () => {
        for (const [uptime, expected] of [[4_999, 2_000], [5_000, 500]]) {
            const kit = setUp();
            const { life } = kit.connect({ random: () => 1 });
            await kit.server.advance();
            for (let n = 0; n < 2; n++) {
                kit.server.cut();
                await kit.server.advance(500 * 2 ** n);
            }
            await kit.server.advance(uptime);
            kit.server.cut();
            const lostAt = kit.server.clock.now();
            await kit.server.advance(10_000);
            assert.equal(life.findLast(([, state]) => state === "connecting")[0] - lostAt, expected);
        }
    });

    test("an unanswered attempt times out, whatever its socket does later", async () => {
        const kit = setUp();
        kit.server.stall();
        const { client, life } = kit.connect({ timeout: 3_000, reconnect: { minDelay: 100 } });
        await kit.server.advance(3_000);
        assert.deepEqual(life, [[3_000, "suspended", "timeout"]]);
        kit.server.resume();
        await kit.server.advance(50);
        assert.deepEqual([client.state, kit.server.connections().length], ["open", 1]);
    });
});

describe("close codes", () => {
    const COME_BACK = [1001, 1005, 1006, 1009, 1011, 1012, 1013, 1014, 1015];
    const STAY_AWAY = [1000, 1002, 1003, 1007, 1008, 1010, 3000, 3003, 4000, 4999];

    for (const [codes, expected] of [[COME_BACK, "open"], [STAY_AWAY, "closed"]]) {
        for (const closeCode of codes) {
            test(`${closeCode}: ${expected === "open" ? "reconnects" : "final"}`, async () => {
                const kit = setUp();
                const { client, life } = kit.connect();
                let reason;
                client.on("state", (state, error) => error && (reason = error));
                await kit.server.advance();
                kit.server.connections()[0].close(closeCode, "because");
                await kit.server.advance(60_000);
                assert.equal(client.state, expected);
                assert.deepEqual([reason.code, reason.closeCode, reason.reason], [expected === "open" ? "lost" : "ended", closeCode, "because"]);
                assert.equal(life[1][1], expected === "open" ? "suspended" : "closed");
            });
        }
    }

    test("undefined codes above 4999 and below 1000 are not final", async () => {
        for (const closeCode of [0, 100, 999, 1004, 1016, 2999, 5000, 10_000, 10_081, 30_000, 65_535]) {
            const kit = setUp();
            let socket;
            class Seen extends kit.server.options.WebSocket {
                constructor(...args) {
                    super(...args);
                    socket = this;
                }
            }
            const { client } = kit.connect({ WebSocket: Seen });
            await kit.server.advance();
            socket.onclose({ code: closeCode, reason: "because" });
            assert.equal(client.state, "suspended", closeCode);
            client.close();
        }
    });

    test("isFinal replaces the default", async () => {
        const kit = setUp();
        const { client } = kit.connect({ isFinal: (closeCode, reason) => closeCode === 1001 && reason === "moved" });
        await kit.server.advance();
        kit.server.connections()[0].close(1008);
        await kit.server.advance(60_000);
        assert.equal(client.state, "open");
        kit.server.connections()[0].close(1001, "moved");
        await kit.server.advance();
        assert.equal(client.state, "closed");
    });
});

test("a failed attempt is an error, and a lost connection is not", async () => {
    const kit = setUp();
    kit.server.stop();
    const { client } = kit.connect();
    const messages = [];
    client.on("state", (state, error) => error && messages.push([error.message, error.closeCode, error.reason]));
    await kit.server.advance(100);
    assert.deepEqual(messages, [["lost: 1006 refused or unreachable", 1006, ""]]);
    kit.server.start();
    await kit.server.advance(60_000);
    kit.server.connections()[0].cut();
    await kit.server.advance(100);
    assert.deepEqual(messages.at(-1), ["lost: 1006 ", 1006, ""]);
});

describe("url and token", () => {
    test("functions are called for every attempt, and may be slow", async () => {
        const kit = setUp();
        let asked = 0;
        const urls = [];
        kit.server.allow({ connect: (url) => !!urls.push(url) });
        const client = connect(async () => `ws://test/${++asked}`, { ...kit.server.options, token: () => Promise.resolve(`t&${asked}`) });
        await kit.server.advance();
        kit.server.cut();
        await kit.server.advance(1_000);
        client.close();
        assert.deepEqual(urls, ["ws://test/1?token=t%261&roomer=2", "ws://test/2?token=t%262&roomer=2"]);
    });

    test("a function that fails or hangs counts as a failed attempt", async () => {
        for (const [bad, why] of [[() => { throw new Error("no"); }, "address"], [() => Promise.reject(new Error("no")), "address"], [() => new Promise(() => {}), "timeout"], [() => "nonsense", "address"]]) {
            const kit = setUp();
            const answers = [bad, () => "ws://test/ws"];
            const client = connect(() => answers.shift()(), { ...kit.server.options });
            const log = record(client, "state");
            await kit.server.advance(11_000);
            assert.deepEqual(log.map(([, state, error]) => [state, error?.code]), [["suspended", why], ["connecting", undefined], ["open", undefined]]);
            client.close();
        }
    });

    test("a result after close() opens nothing", async () => {
        const kit = setUp();
        let answer;
        const client = connect(() => new Promise((resolve) => (answer = resolve)), kit.server.options);
        await kit.server.advance();
        client.close();
        answer("ws://test/ws");
        await kit.server.advance(60_000);
        assert.deepEqual([client.state, kit.server.connections().length], ["closed", 0]);
    });

    test("a late failure does not affect later attempts", async () => {
        const kit = setUp();
        const failures = [];
        const client = connect(() => (failures.length ? "ws://test/ws" : new Promise((resolve, reject) => failures.push(reject))), kit.server.options);
        await kit.server.advance(11_000);
        assert.equal(client.state, "open");
        const log = record(client, "state");
        failures[0](new Error("late"));
        await kit.server.advance(1_000);
        assert.deepEqual(log, []);
        client.close();
    });

    test("http becomes ws, the fragment is dropped, and the query is kept", async () => {
        const kit = setUp();
        const urls = [];
        kit.server.allow({ connect: (url) => !!urls.push(url) });
        for (const [url, token] of [["https://test/ws?a=1#top", null], [new URL("http://test/ws?a=1"), "x"]]) {
            connect(url, { ...kit.server.options, token });
        }
        await kit.server.advance();
        assert.deepEqual(urls, ["wss://test/ws?a=1&roomer=2", "ws://test/ws?a=1&token=x&roomer=2"]);
    });

    for (const url of [undefined, null, "", 5, {}, "ws://", "ftp://test/ws", "file:///ws"]) {
        test(`an unusable URL is refused immediately: ${JSON.stringify(url)}`, () => {
            assert.throws(() => connect(url, setUp().server.options), code("argument"));
        });
    }

    test("URLs are relative to the page", async () => {
        const kit = setUp();
        const urls = [];
        kit.server.allow({ connect: (url) => !!urls.push(url) });
        globalThis.location = new URL("https://example.org/app/index.html");
        try {
            connect("/ws", kit.server.options);
            connect("ws", kit.server.options);
            await kit.server.advance();
        } finally {
            delete globalThis.location;
        }
        assert.deepEqual(urls, ["wss://example.org/ws?roomer=2", "wss://example.org/app/ws?roomer=2"]);
    });

});

describe("AbortSignal", () => {
    test("closes everything, from any state", async () => {
        for (const advance of [0, 5]) {
            const kit = setUp({ latency: 5 });
            const controller = new AbortController();
            const { client, life } = kit.connect({ signal: controller.signal });
            const room = client.join("lobby");
            const closed = record(room, "close");
            await kit.server.advance(advance);
            controller.abort(new Error("mine"));
            assert.deepEqual([client.state, life.at(-1)[2], closed[0][1].cause.message], ["closed", "closed", "mine"]);
            await kit.server.advance(60_000);
            assert.deepEqual([kit.server.connections().length, kit.server.clock.pending()], [0, 0]);
        }
    });

    test("loses its listener when the client closes", async () => {
        const kit = setUp();
        const { signal } = new AbortController();
        const spy = mock.method(signal, "removeEventListener");
        const { client } = kit.connect({ signal });
        await kit.server.advance();
        client.close();
        assert.equal(spy.mock.callCount(), 1);
    });

    test("that has already aborted prevents connecting", async () => {
        const kit = setUp();
        const { client } = kit.connect({ signal: AbortSignal.abort() });
        assert.equal(client.state, "closed");
        await assert.rejects(client.root.opened, code("closed"));
        await kit.server.advance(60_000);
        assert.equal(kit.server.connections().length, 0);
    });
});

describe("keep-alive", () => {
    test("a silent server is probed, and any answer keeps the connection", async () => {
        const kit = setUp({ latency: 10 });
        const { client, life } = kit.connect();
        await kit.server.advance(3_600_000);
        assert.deepEqual([client.state, life.length], ["open", 1]);
    });

    test("an answer ends the probe, and the next silence starts another", async () => {
        const kit = setUp();
        const { life } = kit.connect({ heartbeat: 1_000, timeout: 50_000 });
        await kit.server.advance(1_000);
        kit.server.stall();
        await kit.server.advance(51_000);
        assert.deepEqual(life.slice(1), [[52_000, "suspended", "timeout"]], "asked and answered at 1,000, asked at 2,000");
    });

    test("an unresponsive server is disconnected after heartbeat and timeout", async () => {
        const kit = setUp();
        const { life } = kit.connect({ heartbeat: 20_000, timeout: 5_000 });
        await kit.server.advance(1_000);
        kit.server.broadcast("root", "news");
        await kit.server.advance();
        kit.server.stall();
        await kit.server.advance(25_000);
        assert.deepEqual(life.slice(1), [[26_000, "suspended", "timeout"]], "heard at 1,000, asked at 21,000");
    });

    test("no probe is sent while there is traffic", async () => {
        const kit = setUp();
        const { client } = kit.connect();
        const asked = [];
        await kit.server.advance();
        const { send } = kit.server.options.WebSocket.prototype;
        kit.server.options.WebSocket.prototype.send = function (data) {
            asked.push(data);
            send.call(this, data);
        };
        for (let n = 0; n < 10; n++) {
            await kit.server.advance(29_000);
            kit.server.broadcast("root", "news");
        }
        assert.deepEqual(asked, []);
        await kit.server.advance(30_000);
        assert.equal(asked.length, 1);
        client.close();
    });

    test("heartbeat: false sends no probe", async () => {
        const kit = setUp();
        const { client } = kit.connect({ heartbeat: false });
        await kit.server.advance();
        assert.equal(kit.server.clock.pending(), 0);
        kit.server.stall();
        await kit.server.advance(3_600_000);
        assert.equal(client.state, "open");
    });

    test("infinite times do not spin", async () => {
        const kit = setUp();
        const delays = [];
        const clock = { ...kit.server.clock, setTimeout: (action, delay) => (delays.push(delay), kit.server.clock.setTimeout(action, delay)) };
        const { client } = kit.connect({ heartbeat: Infinity, timeout: Infinity, clock });
        await kit.server.advance(1_000_000);
        assert.deepEqual([client.state, kit.server.clock.pending()], ["open", 1]);
        assert.ok(delays.every((delay) => delay < 2 ** 31), "what setTimeout() cannot wait for");
    });
});
