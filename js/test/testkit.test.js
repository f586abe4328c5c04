/** Tests that the test kit's server follows a real server's rules, and that its clock works as documented.
 *
 * connect.e2e.test.js and e2e.test.js check the same rules with real servers.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { connect } from "../src/index.js";
import { createClock, createServer } from "../src/testkit/index.js";
import { nthId, record, setUp } from "./support/kit.js";
import { decodePacket, encodePacket, text } from "./support/packets.js";

/** Opens a socket to the server. Returns it with the packets that it receives. */
async function bare(server, url = "ws://test/ws") {
    const socket = new server.options.WebSocket(url);
    socket.binaryType = "arraybuffer";
    const packets = [];
    const ends = [];
    socket.onmessage = ({ data }) => packets.push(decodePacket(data));
    socket.onclose = ({ code, reason, wasClean }) => ends.push({ code, reason, wasClean });
    await server.advance();
    return { socket, packets, ends, send: (packet) => socket.send(encodePacket(packet)) };
}

const short = ({ room, event, dst, src, payload }) => [room, event, dst, src, text(payload)];

describe("the clock", () => {
    test("runs timers ordered by time, then by creation", async () => {
        const clock = createClock();
        const log = [];
        const note = (name) => () => log.push([clock.now(), name]);
        clock.setTimeout(note("late"), 20);
        clock.setTimeout(note("early"), 10);
        clock.setTimeout(note("early too"), 10);
        clock.setTimeout(() => clock.setTimeout(note("meanwhile"), 5), 10);
        clock.clearTimeout(clock.setTimeout(note("never"), 10));
        clock.setTimeout(note("not yet"), 21);
        await clock.advance(20);
        assert.deepEqual(log, [[10, "early"], [10, "early too"], [15, "meanwhile"], [20, "late"]]);
        assert.deepEqual([clock.now(), clock.pending()], [20, 1]);
    });

    test("runs promises before time advances", async () => {
        const clock = createClock();
        const log = [];
        clock.setTimeout(async () => {
            for (let turn = 0; turn < 5; turn++) {
                await null;
            }
            clock.setTimeout(() => log.push(clock.now()), 1);
        }, 10);
        await clock.advance(30);
        assert.deepEqual(log, [11]);
    });
});

describe("the server", () => {
    test("uses real packets", async () => {
        const server = createServer();
        const a = await bare(server);
        const b = await bare(server);
        b.send({ room: "lobby", event: "join" });
        a.send({ room: "lobby", event: "join" });
        a.send({ room: "lobby", event: "join" });
        await server.advance();
        for (const event of ["join_ack", "leave_ack", "new_member", "member_left", "open", "close"]) {
            b.send({ room: "lobby", event, payload: nthId(1) });
            b.send({ room: "lobby", event, dst: nthId(1), payload: nthId(1) });
        }
        b.send({ room: "lobby", event: "chat", src: "forged", payload: "hi" });
        b.send({ room: "anywhere", event: "psst", dst: nthId(1), payload: "you" });
        b.send({ room: "lobby", event: "leave" });
        b.send({ room: "nowhere", event: "leave" });
        b.send({ room: "lobby", event: "chat", payload: "from outside" });
        await server.advance();
        b.socket.close();
        await server.advance();
        const [idA, idB] = [nthId(1), nthId(2)];
        assert.deepEqual(a.packets.map(short), [
            ["root", "join_ack", "", idA, JSON.stringify([idA])],
            ["root", "new_member", "", "", idB],
            ["lobby", "join_ack", "", idA, JSON.stringify([idB, idA])],
            ["lobby", "join_ack", "", idA, JSON.stringify([idB, idA])],
            ["lobby", "chat", "", idB, "hi"],
            ["anywhere", "psst", idA, idB, "you"],
            ["lobby", "member_left", "", "", idB],
            ["root", "member_left", "", "", idB]
        ]);
        assert.deepEqual(b.packets.map(short), [
            ["root", "join_ack", "", idB, JSON.stringify([idA, idB])],
            ["lobby", "join_ack", "", idB, JSON.stringify([idB])],
            ["lobby", "new_member", "", "", idA],
            ["lobby", "leave_ack", "", idB, idB],
            ["nowhere", "leave_ack", "", idB, idB]
        ]);
        assert.deepEqual(b.ends, [{ code: 1005, reason: "", wasClean: true }]);
    });

    test("byteRate counts the bytes of whole packets, including joins and rejected packets", async () => {
        const server = createServer({ maxMessage: 100, byteRate: { perSecond: 10, burst: 100 } });
        const a = await bare(server);
        const send = (room, event, size) => a.send({ room, event, payload: "x".repeat(size - 20 - room.length - event.length) });
        send("lobby", "join", 30);
        send("lobby", "chat", 30);
        send("nowhere", "chat", 40);
        await server.advance(1_000);
        send("lobby", "chat", 10 + 20);
        await server.advance();
        assert.deepEqual(a.ends, [{ code: 1008, reason: "rate", wasClean: true }]);
        const b = await bare(server);
        b.send({ room: "lobby", event: "join", payload: "x".repeat(71) });
        await server.advance(2_900);
        b.send({ room: "lobby", event: "chat" });
        await server.advance(1_000);
        assert.deepEqual([b.ends, server.members("lobby")], [[], [nthId(2)]]);
        // The bucket holds 10 bytes: the same message is now above the rate, as is any larger one.
        b.send({ room: "lobby", event: "chat" });
        await server.advance();
        assert.deepEqual(b.ends, [{ code: 1008, reason: "rate", wasClean: true }]);
    });

    test("closes the connection after a frame that is not a packet", async () => {
        const server = createServer();
        const a = await bare(server);
        a.socket.send(new Uint8Array([1, 2, 3]));
        await server.advance();
        assert.deepEqual([a.ends[0].code, server.connections()], [1002, []]);
    });

    test("runs handlers instead of forwarding", async () => {
        const kit = setUp();
        const seen = [];
        kit.server.handle("chat", (conn, message) => {
            seen.push([conn.id, message.room, message.event, message.text(), [...message.payload].length]);
            conn.sendToRoom(message.room, "chat", { shouted: message.text().toUpperCase() });
            conn.send(message.room, "noted");
        });
        const [a, b] = await kit.inRoom("lobby", 2, { codec: "text" });
        const logs = [a, b].map(({ room }) => record(room, "chat", "noted"));
        a.room.send("chat", "hi");
        await kit.server.advance();
        assert.deepEqual(seen, [[a.client.id, "lobby", "chat", "hi", 2]]);
        assert.deepEqual(logs, [[["noted", "", "", true]], [["chat", '{"shouted":"HI"}', a.client.id, false]]]);
    });

    test("lists the connections with their addresses", async () => {
        const kit = setUp();
        const { client } = kit.connect({ token: "t" });
        client.join("lobby");
        await kit.server.advance();
        const [conn] = kit.server.connections();
        assert.deepEqual([conn.url, conn.rooms(), kit.server.members("lobby"), kit.server.members("none")], ["ws://test/ws?token=t&roomer=2", ["root", "lobby"], [client.id], []]);
    });

    test("a stalled network delivers late and in order, with its latency", async () => {
        const server = createServer({ latency: 100 });
        const client = connect("ws://test/ws", { ...server.options, codec: "json" });
        const log = record(client.root, "n");
        await server.advance(99);
        assert.equal(client.state, "connecting");
        await server.advance(101);
        server.stall();
        [1, 2].forEach((n) => server.broadcast("root", "n", n));
        client.root.send("self", 3, client.id);
        await server.advance(1_000);
        assert.deepEqual(log, []);
        server.resume();
        server.broadcast("root", "n", 4);
        await server.advance(100);
        assert.deepEqual(log.map(([, n]) => n), [1, 2, 4]);
    });

    test("stop() sends its code and rejects clients, and start() accepts them again", async () => {
        const server = createServer();
        const a = await bare(server);
        server.stop();
        await server.advance();
        assert.deepEqual(a.ends, [{ code: 1001, reason: "server is going away", wasClean: true }]);
        const b = await bare(server);
        assert.deepEqual(b.ends, [{ code: 1006, reason: "", wasClean: false }]);
        server.start();
        const c = await bare(server);
        assert.equal(c.socket.readyState, 1);
        server.cut();
        assert.deepEqual(c.ends, [{ code: 1006, reason: "", wasClean: false }]);
    });

    test("its socket is as strict as a real one", async () => {
        const server = createServer();
        const { WebSocket } = server.options;
        assert.throws(() => new WebSocket("nonsense"), SyntaxError);
        assert.throws(() => new WebSocket("ws://test/ws").send("x"));
        const { socket, packets } = await bare(server);
        const before = packets.length;
        socket.close();
        assert.equal(socket.readyState, 2);
        server.broadcast("root", "late");
        socket.send(new Uint8Array(1));
        await server.advance();
        assert.deepEqual([packets.length, socket.readyState], [before, 3]);
    });
});

test("memory stays flat over hours of churn", async () => {
    const { default: v8 } = await import("node:v8");
    const { default: vm } = await import("node:vm");
    v8.setFlagsFromString("--expose-gc");
    const collect = vm.runInNewContext("gc");
    const kit = setUp({ latency: 5 });
    const [a, b] = await kit.inRoom("lobby", 2, { queue: { messages: 20 } });
    const controller = new AbortController();
    /** Simulates one minute in which clients join and leave. */
    async function minute(n) {
        for (let turn = 0; turn < 10; turn++) {
            const name = `room ${n} ${turn}`;
            const room = a.client.join(name);
            room.on("chat", () => {}, { signal: controller.signal });
            const messages = room.messages("chat", { signal: controller.signal });
            b.client.join(name).send("chat", "x".repeat(1_000));
            await kit.server.advance(3_000);
            await messages.next();
            room.leave();
            b.client.rooms().find((each) => each.name === name).leave();
            if (turn % 3 === 0) {
                kit.server.cut();
                a.room.send("chat", "y".repeat(1_000));
            }
            await kit.server.advance(3_000);
        }
    }
    const heap = async () => {
        a.life.length = b.life.length = 0;
        // The test runner keeps a record of each promise for one turn after the promise was collected.
        for (let turn = 0; turn < 3; turn++) {
            collect();
            await new Promise((resolve) => setImmediate(resolve));
        }
        collect();
        return process.memoryUsage().heapUsed;
    };
    // After these minutes, the code and data of V8's compiler no longer grow.
    for (let n = 0; n < 30; n++) {
        await minute(n);
    }
    // A leak grows in every period. The engine's own data grows in some periods and shrinks in others.
    const grown = [];
    for (let period = 0, before = await heap(); period < 3; period++) {
        for (let n = 0; n < 50; n++) {
            await minute(1_000 + 50 * period + n);
        }
        const now = await heap();
        grown.push(now - before);
        before = now;
    }
    assert.ok(Math.min(...grown) < 250_000, `grown by ${grown} bytes in 50 minutes each`);
    assert.deepEqual([a.client.state, a.client.rooms().length, kit.server.clock.pending()], ["open", 2, 2]);
    assert.deepEqual([...a.errors, ...b.errors], []);
});
