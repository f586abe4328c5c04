/** Tests of the packets that sessions exchange: acknowledgements, keep-alive and reconnect delays, including with plain servers. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { encode, toBytes } from "../src/packet.js";
import { code, nthId, record, setUp } from "./support/kit.js";
import { acks, connOf, enter } from "./support/session.js";

describe("acknowledgements", () => {
    test("are sent after 64 packets, 64 KiB, 5 s or on request", async () => {
        const world = await enter();
        const { server, client, wire } = world;
        const conn = connOf(world, client);
        const count = () => Number(acks(wire).at(-1)?.at(-1));
        const step = async (packets, size, time = 20) => {
            wire.length = 0;
            for (; packets; packets--) {
                conn.send("lobby", "chat", JSON.stringify("x".repeat(size)));
            }
            await server.advance(time);
            return acks(wire).length;
        };
        assert.equal(await step(63, 1), 0);
        assert.equal(await step(1, 1), 1);
        const before = count();
        assert.equal(await step(64, 1), 1);
        assert.equal(count(), before + 64);
        assert.equal(await step(1, 2 ** 16), 1);
        assert.equal(await step(1, 1, 4_900), 0);
        assert.equal(await step(1, 1, 120), 1);
        assert.equal(await step(0, 0, 20_000), 0);
        conn.send("lobby", "chat", "1");
        await server.advance(5_100);
        const total = count();
        wire.length = 0;
        world.sockets[0].onmessage({ data: encode("root", "roomer:ack", "?", "", toBytes("0")).buffer });
        assert.deepEqual(acks(wire), [[0, "root", "roomer:ack", `${total}`]], "the question itself does not count");
    });

    test("are neither sent nor requested on an idle connection", async () => {
        const { server, wire, client } = await enter();
        await server.advance(3_600_000);
        assert.deepEqual([wire, client.state], [[], "open"]);
    });

    test("missing for heartbeat and timeout drop the connection", async () => {
        // The client's option alone would permit a longer silence.
        const { server, life } = await enter(1, { heartbeat: 60_000 });
        server.stall();
        const start = server.clock.now();
        await server.advance(60_000);
        const [at, state, why] = life.find(([, state]) => state === "suspended");
        assert.deepEqual([state, why], ["suspended", "timeout"]);
        assert.ok(at - start <= 47_600 && at - start > 20_000, `${at - start}`);
    });

    test("are requested with a shorter heartbeat", async () => {
        const { server, wire } = await enter(1, { heartbeat: 4_000 });
        await server.advance(4_100);
        assert.deepEqual(wire.map((each) => each.slice(1, 4)), [["root", "roomer:ack", "?"]]);
    });

    test("are never requested above the server's rate", async () => {
        const { server, wire, client, sockets } = await enter(1, { heartbeat: 20, reconnect: { minDelay: 0, maxDelay: 0 } });
        await server.advance(60_000);
        assert.ok(wire.length > 10 && wire.length <= 50, `${wire.length} questions a minute`);
        wire.length = 0;
        for (let n = 0; n < 100; n++) {
            server.cut();
            await server.advance(100);
        }
        assert.deepEqual([acks(wire), sockets.length, client.state], [[], 101, "open"]);
    });

    test("of unsent packets or going backwards are ignored", async () => {
        const world = await enter();
        const { server, sockets, room } = world;
        room.send("chat", 1);
        for (const payload of ["-1", "0", "x", "", "1e9"]) {
            sockets[0].onmessage({ data: encode("root", "roomer:ack", "", "", toBytes(payload)).buffer });
        }
        room.send("chat", 2);
        await server.advance(10_000);
        assert.equal(await room.sent, true);
    });
});

describe("a room with history", () => {
    test("has messages with positions, and hides bare positions", async () => {
        const { server, sockets, room, client } = await enter();
        const heard = record(room, "chat", "roomer:number");
        const direct = record(client, "direct");
        const deliver = (event, to, from, text) => sockets[0].onmessage({ data: encode("lobby", event, to, from, toBytes(text)).buffer });
        deliver("chat", "#1", nthId(9), "1");
        deliver("roomer:number", "#2", "", "");
        deliver("chat", client.id, nthId(9), "3");
        await server.advance(10);
        assert.deepEqual([heard, direct], [[["chat", 1, nthId(9), false, 1], ["chat", 3, nthId(9), true]], []]);
    });
});

describe("a server that shuts down", () => {
    test("sends a reconnect hint that applies once", async () => {
        const { server, life, client } = await enter();
        const states = record(client, "state");
        server.stop();
        await server.advance(100);
        assert.deepEqual([states[0][2].closeCode, states[0][2].reason], [1012, "retry=6180"]);
        const at = () => life.filter(([, state]) => state === "connecting").map(([time]) => time);
        const lostAt = life.find(([, state]) => state === "suspended")[0];
        await server.advance(6_000);
        assert.deepEqual(at(), []);
        await server.advance(60_000);
        assert.equal(at()[0] - lostAt, 6_180);
        assert.ok(at()[1] - at()[0] < 1_100, "then the usual delays");
    });

    test("may send the hint with 1013, and without it the usual delay applies", async () => {
        for (const [reason, delay] of [["retry=3000", 3_000], ["retry=soon", 250], ["too slow", 250]]) {
            const world = await enter();
            connOf(world, world.client).close(1013, reason);
            await world.server.advance(10_000);
            const [lost, back] = ["suspended", "connecting"].map((wanted) => world.life.find(([, state]) => state === wanted)[0]);
            assert.equal(back - lost, delay, reason);
        }
    });
});

describe("plain servers", () => {
    test("are recognized by the first packet only", async () => {
        const kit = setUp();
        const [{ client, room, errors }, other] = await kit.inRoom("lobby", 2);
        const heard = record(room, "roomer:hello", "roomer:ack", "roomer:new");
        const direct = record(client, "direct");
        const [conn] = kit.server.connections();
        for (const event of ["roomer:hello", "roomer:ack", "roomer:new"]) {
            for (const target of ["lobby", "elsewhere"]) {
                conn.deliver(encode(target, event, conn.id, other.client.id, toBytes("9")));
                conn.deliver(encode(target, event, "", other.client.id, toBytes("not JSON")));
            }
            assert.throws(() => room.send(event, 1), code("argument"));
            assert.throws(() => room.messages(event), code("argument"));
        }
        await kit.server.advance(1_000);
        kit.server.cut();
        await kit.server.advance(5_000);
        assert.deepEqual([heard, direct, errors, kit.server.connections()[0].url], [[], [], [], "ws://test/ws?roomer=2"]);
        assert.equal(client.id, kit.server.connections()[0].id);
    });

    test("may replace a server with sessions, and vice versa", async () => {
        const plain = setUp();
        const extended = setUp({ plain: false, clock: plain.server.clock });
        let current = extended;
        class Either {
            constructor(...args) {
                return new current.server.options.WebSocket(...args);
            }
        }
        const { client } = plain.connect({ WebSocket: Either });
        const room = client.join("lobby");
        const log = record(room, "open", "reopen");
        await plain.server.advance(1_000);
        for (current of [plain, extended, plain]) {
            [plain, extended].forEach(({ server }) => (server.cut(), server.expire()));
            await plain.server.advance(5_000);
            assert.deepEqual([client.state, room.state, current.server.members("lobby")], ["open", "open", [client.id]]);
        }
        assert.deepEqual(log.map(([event]) => event), ["open", "reopen", "reopen", "reopen"]);
    });

    test("include servers with a malformed hello, which is reported", async () => {
        const kit = setUp();
        class Bad extends kit.server.options.WebSocket {
            constructor(...args) {
                super(...args);
                let opened;
                const greet = () => {
                    opened();
                    this.onmessage({ data: encode("root", "roomer:hello", "", "x", toBytes("{")).buffer });
                };
                Object.defineProperty(this, "onopen", { set: (listener) => (opened = listener), get: () => greet });
            }
        }
        const { client, errors } = kit.connect({ WebSocket: Bad });
        const room = client.join("lobby");
        room.send("chat", 1);
        await kit.server.advance(5_000);
        assert.deepEqual([errors.map((error) => error.code), client.state, room.state, await room.sent], [["packet"], "open", "open", true]);
    });
});
