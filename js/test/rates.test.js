/**
 * The rates that a server announces in `hello`: a client that learns them there is never too fast.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { connect, sessions } from "../src/core.js";
import { encode, toBytes } from "../src/packet.js";
import { record, setUp } from "./support/kit.js";

const times = (count, action) => Array.from({ length: count }, (_, n) => action(n));

/** Returns a number below a limit, of a series that a seed begins. */
function createChance(seed) {
    let state = seed * 2_654_435_761 + 1;
    return (limit) => {
        state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
        return Math.floor((state / 2 ** 31) * limit);
    };
}

/** A client of a server with limits, the reasons for which its connections have ended, and what another member of its room has heard. */
async function enter(settings) {
    const kit = setUp({ plain: false, latency: 20, ...settings });
    const [{ client, room, errors }, other] = await kit.inRoom("lobby", 2);
    await kit.server.advance(20_000);
    const ends = [];
    client.on("state", (state, error) => error && ends.push(error.reason ?? error.code));
    const heard = [];
    other.room.on("chat", (n) => heard.push(n));
    return { ...kit, client, room, errors, ends, heard, lost: record(client, "lost", "overflow") };
}

describe("rates in hello", () => {
    test("100 messages go at the rate of the server, from the first connection on", async () => {
        const { server, room, ends, heard, lost } = await enter({ messageRate: { perSecond: 10, burst: 20 } });
        const results = times(100, (n) => room.send("chat", n));
        assert.deepEqual(results.filter((result) => result === "sent").length, 20);
        await server.advance(5_000);
        assert.ok(heard.length >= 60 && heard.length <= 70, `neither faster nor much slower: ${heard.length}`);
        await server.advance(5_000);
        assert.deepEqual([heard, ends, lost], [times(100, (n) => n), [], []]);
    });

    test("60 rooms and 100 queued messages after a restart: back without a close, and messages do not wait for joins of other rooms", async () => {
        const { server, client, room, ends, heard, lost } = await enter({ messageRate: { perSecond: 20 }, joinRate: { perSecond: 10 } });
        const rooms = times(60, (n) => client.join(`room ${n}`));
        await server.advance(8_000);
        assert.deepEqual([rooms.filter(({ state }) => state !== "open"), ends], [[], []]);
        server.connections()[0].close(1012);
        await server.advance(30);
        times(100, (n) => room.send("chat", n));
        await server.advance(2_500);
        assert.ok(heard.length > 0 && rooms.some(({ state }) => state !== "open"));
        await server.advance(9_000);
        assert.deepEqual([rooms.filter(({ state }) => state !== "open"), heard, ends, lost], [[], times(100, (n) => n), [""], []]);
    });

    test("one packet per second is enough for everything, also before the hello of the next connection", async () => {
        const { server, client, room, ends, heard } = await enter({ messageRate: { perSecond: 1, burst: 1 } });
        const joined = client.join("other");
        times(10, (n) => room.send("chat", n));
        await server.advance(20_000);
        assert.deepEqual([joined.state, heard, ends], ["open", times(10, (n) => n), []]);
        server.connections()[0].close(1012);
        await server.advance(30);
        times(3, (n) => room.send("chat", n));
        await server.advance(30_000);
        assert.deepEqual([joined.state, heard.length, ends], ["open", 13, [""]]);
    });

    test("whatever the network delays, cuts and resumes", async () => {
        for (let seed = 0; seed < 100; seed++) {
            const below = createChance(seed);
            const rate = (most) => ({ perSecond: 1 + below(most), burst: 1 + below(most) });
            const settings = { latency: below(3) * 100, messageRate: rate(30), joinRate: rate(10) };
            const { server, client, room, errors, ends, heard, lost } = await enter(settings);
            let sent = 0;
            for (let step = 0; step < 60; step++) {
                const choice = below(8);
                if (choice < 3) {
                    room.send("chat", sent++);
                } else if (choice < 5) {
                    choice < 4 ? client.join(`room ${below(8)}`) : client.rooms().find(({ name }) => name === `room ${below(8)}`)?.leave();
                } else if (choice < 6 && !below(5)) {
                    server.connections()[0].cut();
                } else {
                    await (below(3) ? server.advance(below(2_000)) : server.sleep(below(2_000)));
                }
            }
            await server.advance(300_000);
            const about = `seed ${seed}: ${JSON.stringify(settings)}`;
            assert.deepEqual([ends.filter((reason) => reason === "rate"), errors, lost], [[], [], []], about);
            assert.deepEqual([client.state, heard], ["open", times(sent, (n) => n)], about);
        }
    });

    test("a rate of bytes counts the whole packet, and other forms of a rate are no limit", async () => {
        const run = async (limits) => {
            const sent = [];
            let socket;
            class Socket {
                readyState = 1;
                constructor() {
                    socket = this;
                    queueMicrotask(() => this.onopen());
                }
                send(data) {
                    sent.push(data);
                }
                close() {}
            }
            const client = connect("ws://test/ws", { features: [sessions], WebSocket: Socket });
            await new Promise((resolve) => setTimeout(resolve));
            const deliver = (...packet) => socket.onmessage({ data: encode(...packet).buffer });
            const id = "00000000-0000-4000-8000-000000000001";
            deliver("root", "roomer:hello", "", id, toBytes(JSON.stringify({ version: 2, session: "s", resume: 1_000, heartbeat: 25_000, limits })));
            deliver("root", "join_ack", "", id, toBytes(JSON.stringify({ members: [[id, null]] })));
            const results = times(3, () => client.root.send("chat", toBytes("x".repeat(71))));
            client.close();
            return results;
        };
        // 4 x 5 bytes of lengths, "root" and "chat", and the payload: 99.
        assert.deepEqual(await run({ byte_rate: [1, 198] }), ["sent", "sent", "queued"]);
        assert.deepEqual(await run({ byte_rate: [1, 197] }), ["sent", "queued", "queued"]);
        for (const wrong of [undefined, null, 5, "x", {}, [], [0, 0], ["x"], { 0: "x" }, [1], [0, 1], [1, -1]]) {
            assert.deepEqual(await run({ message_rate: wrong }), ["sent", "sent", "sent"], JSON.stringify(wrong));
        }
    });
});
