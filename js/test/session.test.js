/** Tests of sessions: the effects of a lost connection, and of the end of a session. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { encode, toBytes } from "../src/packet.js";
import { nthId, record, setUp } from "./support/kit.js";
import { acks, connOf, enter } from "./support/session.js";

describe("a temporarily lost connection", () => {
    test("keeps id and rooms, and delivers every message once in order", async () => {
        const world = await enter(3);
        const { server, client, room, other } = world;
        const { id } = client;
        const rooms = world.clients.map(({ room }) => record(room, "open", "reopen", "close", "new_member", "member_left"));
        const unwanted = record(client, "lost", "overflow", "error", "room");
        const log = record(client, "state", "resumed");
        const came = [record(room, "chat"), record(other.room, "chat")];
        for (let n = 0; n < 50; n++) {
            room.send("chat", n);
            other.room.send("chat", n);
            n === 20 && connOf(world, client).cut();
            n % 10 || (await server.advance(5));
        }
        assert.deepEqual([client.state, room.state, room.memberSet.size], ["suspended", "joining", 3]);
        await server.advance(5_000);
        assert.deepEqual(came.map((list) => list.map(([, n]) => n)), [Array.from({ length: 50 }, (_, n) => n), Array.from({ length: 50 }, (_, n) => n)]);
        assert.deepEqual([client.id, room.id, room.state, server.connections().length], [id, id, "open", 3]);
        assert.deepEqual([rooms.flat(), unwanted], [[], []]);
        assert.deepEqual(log.map(([event, state]) => (event === "state" ? state : event)), ["suspended", "connecting", "open", "resumed"]);
        assert.ok(log.at(-1)[1] >= 250 && log.at(-1)[1] < 300, `${log.at(-1)[1]} ms`);
    });

    test("applies joins, leaves and messages on return", async () => {
        const world = await enter(2);
        const { server, client, room, other } = world;
        const left = client.join("left");
        const late = other.client.join("late");
        await server.advance(10_000);
        const heard = record(late, "chat");
        connOf(world, client).cut();
        const joined = client.join("late");
        joined.send("chat", "x");
        const leave = left.leave();
        const undone = client.join("undone");
        const undo = undone.leave();
        await server.advance(5_000);
        await Promise.all([leave, undo]);
        assert.deepEqual([joined.state, left.state, undone.state, room.state], ["open", "closed", "closed", "open"]);
        assert.deepEqual([heard.map(([, text]) => text), server.members("left"), server.members("undone")], [["x"], [], []]);
        assert.deepEqual(connOf(world, client).rooms().sort(), ["late", "lobby", "root"]);
    });

    test("may be lost repeatedly, also before hello", async () => {
        const world = await enter(2, { reconnect: { maxDelay: 20 } });
        const { server, client, room, other } = world;
        const { id } = client;
        const heard = record(other.room, "chat");
        for (let n = 0; n < 12; n++) {
            room.send("chat", n);
            connOf(world, client).cut();
            // Vary the time of the next cut: before the attempt, in either half of the round trip, or after `hello`.
            await server.advance(n % 4 ? 1 : 2_000);
            while (n % 4 && !connOf(world, client).isConnected) {
                await server.advance(1);
            }
            await server.advance((n % 4) * 7);
        }
        await server.advance(60_000);
        assert.deepEqual([client.id, heard.map(([, n]) => n)], [id, Array.from({ length: 12 }, (_, n) => n)]);
    });

    test("delivers kicks on return", async () => {
        const world = await enter(2);
        const { server, client, room } = world;
        const conn = connOf(world, client);
        conn.cut();
        conn.kick("lobby");
        const closed = record(room, "close");
        await server.advance(5_000);
        assert.deepEqual([closed.length, closed[0][1].code, client.state], [1, "removed", "open"]);
    });
});

describe("a session that cannot be resumed", () => {
    for (const [how, end] of [["expired", ({ server }) => server.expire()], ["full", ({ server }) => server.broadcast("lobby", "chat", JSON.stringify("x".repeat(2 ** 18)))], ["on another process", ({ server }) => (server.stop(), server.start())]]) {
        test(`${how}: rejoins with a new id, and reports what may be lost`, async () => {
            const world = await enter(2);
            const { server, client, room } = world;
            const log = record(room, "reopen", "member_left", "new_member");
            const lost = record(client, "lost", "resumed");
            room.send("chat", 1);
            const sent = room.sent;
            connOf(world, client).cut();
            end(world);
            room.send("chat", 2);
            assert.deepEqual(lost, []);
            await server.advance(30_000);
            assert.deepEqual(lost.map(([event, { payload, reason }]) => [event, payload, reason]), [["lost", 1, "unconfirmed"]]);
            assert.deepEqual([await sent, await room.sent], [false, true]);
            assert.ok(log.some(([event, id]) => event === "reopen" && id === nthId(1)));
            assert.ok(server.connections().some(({ id, isConnected }) => id === client.id && isConnected));
        });
    }

    test("closed by the server: losses are reported immediately", async () => {
        for (const closeCode of [1008, 1009, 1011, 1012, 1013]) {
            const world = await enter();
            const { server, client, room } = world;
            const lost = record(client, "lost");
            room.send("chat", 1);
            connOf(world, client).close(closeCode, closeCode === 1008 ? "rate" : "");
            await server.advance(20);
            assert.equal(lost.length, 1, `${closeCode}`);
            await server.advance(5_000);
            assert.doesNotMatch(server.connections()[0].url, /session=/);
        }
    });

    test("expired: losses are reported while offline", async () => {
        const world = await enter(1, { reconnect: { maxDelay: 1_000 } });
        const { server, client, room } = world;
        const lost = record(client, "lost");
        room.send("chat", 1);
        connOf(world, client).cut();
        server.allow({ connect: () => false });
        await server.advance(30_000);
        assert.deepEqual(lost, []);
        await server.advance(1_100);
        assert.deepEqual([lost.length, lost[0][1].reason, client.state === "open"], [1, "unconfirmed", false]);
    });

    test("closed by the client while offline: unconfirmed messages are reported", async () => {
        const world = await enter();
        const { server, client, room } = world;
        const lost = record(client, "lost");
        room.send("chat", 1);
        connOf(world, client).cut();
        room.send("chat", 2);
        client.close();
        assert.deepEqual(lost.map(([, { payload, reason }]) => [payload, reason]), [[1, "unconfirmed"], [2, "unsent"]]);
        await server.advance(30_000);
        assert.deepEqual([server.connections(), server.clock.pending()], [[], 0]);
    });

    test("on a server without sessions: uses the plain protocol", async () => {
        const world = await enter(1, { settings: { resumeWindow: 0 } });
        const { server, client, room } = world;
        const log = record(room, "reopen");
        const lost = record(client, "lost");
        room.send("chat", 1);
        connOf(world, client).cut();
        assert.equal(lost.length, 1);
        await server.advance(5_000);
        assert.deepEqual(log, [["reopen", nthId(1)]]);
    });
});

describe("a half-open socket", () => {
    test("is dropped without a close frame or acknowledgements", async () => {
        const world = await enter(2);
        const { server, client, room, wire, sockets } = world;
        const log = record(client, "resumed");
        connOf(world, client).hang();
        for (let n = 0; n < 70; n++) {
            world.other.room.send("chat", n);
        }
        await server.advance(30_000);
        room.send("chat", "x");
        while (client.state === "open") {
            await server.advance(10);
        }
        wire.length = 0;
        while (client.state !== "connecting") {
            await server.advance(10);
        }
        // The old socket delivers a packet too late: the next connection attempt has already begun.
        sockets[0].onmessage({ data: encode("lobby", "chat", "", "x", toBytes("1")).buffer });
        assert.deepEqual(wire.filter(([socket, , event]) => socket === 0 && event !== "chat"), []);
        await server.advance(30);
        assert.equal(log.length, 1);
        assert.deepEqual(wire.filter(([, what]) => what === "close"), [[0, "close", undefined]], "once the new one is greeted");
    });

    test("closes with the client", async () => {
        const world = await enter();
        const { server, client, wire } = world;
        connOf(world, client).hang();
        server.allow({ connect: () => false });
        await server.advance(60_000);
        assert.equal(client.state === "open", false);
        client.close();
        assert.equal(wire.filter(([socket, what]) => socket === 0 && what === "close").length, 1);
    });
});

describe("room.sent", () => {
    test("resolves within a round trip for sent and queued messages", async () => {
        const { server, room, client, wire } = await enter();
        assert.equal(await room.sent, true, "nothing was sent");
        let isDone;
        room.send("chat", 1);
        room.sent.then((value) => (isDone = value));
        await server.advance(15);
        assert.equal(isDone, undefined);
        await server.advance(5);
        assert.equal(isDone, true);
        assert.equal(wire.filter(([, , event, to]) => event === "roomer:ack" && to === "?").length, 1);
        const late = client.join("late");
        late.send("chat", 2);
        let isLate;
        late.sent.then((value) => (isLate = value));
        await server.advance(20);
        assert.equal(isLate, undefined, "the room is open, and the message on its way");
        await server.advance(20);
        assert.equal(isLate, true);
    });

    test("on a plain server, with the next probe", async () => {
        const kit = setUp();
        const [{ room }] = await kit.inRoom("lobby");
        room.send("chat", 1);
        let isDone;
        room.sent.then((value) => (isDone = value));
        await kit.server.advance(1_000);
        assert.equal(isDone, true);
    });

    test("survives a lost connection, and is false once a message is reported", async () => {
        const world = await enter();
        const { server, client, room } = world;
        room.send("chat", 1);
        const sent = room.sent;
        connOf(world, client).cut();
        await server.advance(5_000);
        assert.equal(await sent, true);
        server.stop(1013, "too slow");
        await server.advance(50);
        room.send("chat", 2);
        const unsent = room.sent;
        const lost = record(client, "lost");
        room.leave();
        assert.equal(await unsent, false);
        assert.deepEqual(Object.keys(lost[0][1]).sort(), ["event", "payload", "reason", "room", "to"]);
    });
});

describe("many rooms at once do not cause repeated requests", () => {
    for (const count of [40, 200]) {
        test(`${count} rooms left before the server has answered their joins`, async () => {
            const { server, client, wire } = await enter(1, { settings: { latency: 150 } });
            const rooms = Array.from({ length: count }, (_, n) => client.join(`row${n}`));
            await server.advance(100);
            const left = Promise.all(rooms.map((room) => room.leave()));
            await server.advance(20_000);
            await left;
            assert.deepEqual([client.state, client.rooms().map(({ name }) => name)], ["open", ["root", "lobby"]]);
            // One acknowledgement is requested per leave, for the messages before it, and some more while the window is small.
            const asked = acks(wire).filter(([, , , to]) => to === "?").length;
            assert.ok(asked < count + 20, `asked ${asked} times`);
        });
    }

    test("refused rooms", async () => {
        const { server, client, wire } = await enter(1);
        server.allow({ join: () => false });
        const rooms = Array.from({ length: 200 }, (_, n) => client.join(`row${n}`));
        await server.advance(5_000);
        assert.deepEqual([client.state, new Set(rooms.map(({ state }) => state))], ["open", new Set(["closed"])]);
        const asked = acks(wire).filter(([, , , to]) => to === "?").length;
        assert.ok(asked < 20, `asked ${asked} times`);
    });
});

describe("unacknowledged packets", () => {
    test("are bounded: further messages are queued, then dropped", async () => {
        const { server, room, client, wire } = await enter(1, { queue: { messages: 5, bytes: 600 } });
        const over = record(client, "overflow");
        const results = Array.from({ length: 30 }, (_, n) => room.send("chat", n));
        const inFlight = results.filter((each) => each === "sent").length;
        assert.ok(inFlight > 15 && inFlight < 25, `${inFlight}`);
        assert.deepEqual([...new Set(results)], ["sent", "queued", "dropped"]);
        assert.equal(over.length, results.filter((each) => each === "dropped").length);
        const { sent } = room;
        await server.advance(100);
        assert.ok(acks(wire).filter(([, , , to]) => to === "?").length > 0);
        assert.equal(await sent, true);
    });

    test("are counted even if their room is gone", async () => {
        const world = await enter(2);
        const { server, client, room } = world;
        const heard = record(world.other.client.join("second"), "chat");
        const second = client.join("second");
        await server.advance(10_000);
        const lost = record(client, "lost");
        connOf(world, client).kick("lobby");
        room.send("chat", 1);
        await server.advance(10);
        assert.equal(lost.length, 1);
        second.send("chat", 2);
        const { sent } = second;
        connOf(world, client).cut();
        await server.advance(10_000);
        assert.deepEqual([heard.map(([, n]) => n), await sent, lost.length], [[2], true, 1]);
    });
});
