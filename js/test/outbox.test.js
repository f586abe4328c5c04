/**
 * Tests of sending with the test kit's server: the client sends no packet to a room that is not open, does not exceed the
 * server's rates, and the result of send() is either right or corrected by an event.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { encode } from "../src/packet.js";
import { setUp, record } from "./support/kit.js";

/** Records each packet that a client's sockets send, as "room event". */
function watchSent(server) {
    const sent = [];
    const { send } = server.options.WebSocket.prototype;
    server.options.WebSocket.prototype.send = function (data) {
        const text = Buffer.from(data).toString();
        sent.push(text.includes("\0probe") ? "probe" : /join/.test(text) ? "join" : /leave/.test(text) ? "leave" : "message");
        send.call(this, data);
    };
    return sent;
}

/** Records the messages that reach the server, by handling their event there. */
function watchHandled(server, event = "chat") {
    const handled = [];
    server.handle(event, (conn, message) => handled.push(JSON.parse(message.text())));
    return handled;
}

const times = (count, action) => Array.from({ length: count }, (_, n) => action(n));

describe("nothing is sent into a room before it is open", () => {
    test("a room that is refused reports its queue as lost, and all else continues", async () => {
        const kit = setUp({ latency: 10 });
        kit.server.allow({ join: (conn, room) => room !== "vip" });
        const handled = watchHandled(kit.server);
        const { client } = kit.connect();
        const [vip, lobby] = [client.join("vip"), client.join("lobby")];
        const lost = record(client, "lost");
        assert.ok(times(300, (n) => vip.send("chat", n)).every((result) => result === "queued"));
        assert.equal(lobby.send("chat", "hello"), "queued");
        await kit.server.advance(5_000);
        assert.deepEqual([vip.state, lobby.state, client.state, handled, kit.server.rejected()], ["closed", "open", "open", ["hello"], []]);
        assert.deepEqual(lost.map(([, { payload, reason }]) => [payload, reason]), times(300, (n) => [n, "unsent"]));
    });

    test("while joining on an open connection, and while rejoining", async () => {
        const kit = setUp({ latency: 10 });
        const handled = watchHandled(kit.server);
        const { client } = kit.connect();
        await kit.server.advance(100);
        const room = client.join("lobby");
        assert.equal(room.send("chat", 1), "queued");
        await kit.server.advance(100);
        assert.equal(room.send("chat", 2), "sent");
        await kit.server.advance(5_000);
        kit.server.cut();
        assert.equal(room.send("chat", 3), "queued");
        await kit.server.advance(5_000);
        assert.deepEqual([handled, kit.server.rejected()], [[1, 2, 3], []]);
    });

    test("a kick while 600 messages are under way closes that room only", async () => {
        const kit = setUp({ latency: 10 });
        const [{ client, room }] = await kit.inRoom("lobby");
        const other = client.join("other");
        await kit.server.advance(5_000);
        const lost = record(client, "lost");
        times(600, (n) => room.send("chat", n));
        kit.server.connections()[0].kick("lobby");
        await kit.server.advance(5_000);
        assert.deepEqual([room.state, other.state, client.state], ["closed", "open", "open"]);
        assert.deepEqual([lost.length, kit.server.rejected().length], [600, 600]);
        assert.deepEqual(kit.server.rejected()[0], { room: "lobby", event: "chat", kind: "refused", message: "not a member of the room" });
    });
});

describe("what send() answers comes true or is taken back", () => {
    test("sent just before a cut: reported as unconfirmed, and not sent again", async () => {
        const kit = setUp({ latency: 10 });
        const handled = watchHandled(kit.server);
        const [{ client, room }] = await kit.inRoom("lobby");
        await kit.server.advance(5_000);
        const lost = record(client, "lost");
        assert.deepEqual(times(5, (n) => room.send("chat", n, n ? undefined : client.id)), times(5, () => "sent"));
        kit.server.connections()[0].cut();
        assert.deepEqual(lost.map(([, message]) => message), times(5, (n) => ({ room: "lobby", event: "chat", payload: n, to: n ? undefined : client.id, reason: "unconfirmed" })));
        await kit.server.advance(60_000);
        assert.deepEqual([handled, lost.length, room.state], [[], 5, "open"]);
    });

    test("a message that has arrived is confirmed within a second or so, and never reported as lost", async () => {
        const kit = setUp({ latency: 10 });
        const [{ client, room }] = await kit.inRoom("lobby");
        await kit.server.advance(5_000);
        const sent = watchSent(kit.server);
        const lost = record(client, "lost");
        room.send("chat", 1);
        await kit.server.advance(1_020);
        assert.deepEqual(sent, ["message", "probe"]);
        kit.server.cut();
        await kit.server.advance(5_000);
        assert.deepEqual(lost, []);
    });

    test("many are asked about at once, few by one question", async () => {
        const kit = setUp({ latency: 10 });
        const [{ room }] = await kit.inRoom("lobby");
        await kit.server.advance(5_000);
        const sent = watchSent(kit.server);
        times(63, (n) => room.send("chat", n));
        assert.ok(!sent.includes("probe"));
        room.send("chat", 64);
        assert.equal(sent.at(-1), "probe");
        await kit.server.advance(100);
        room.send("big", "x".repeat(70_000));
        assert.equal(sent.at(-1), "probe");
        await kit.server.advance(5_000);
        assert.equal(sent.filter((what) => what === "probe").length, 2);
    });

    test("an answer to a probe that was not sent confirms nothing", async () => {
        const kit = setUp({ latency: 10 });
        const [{ client, room }] = await kit.inRoom("lobby");
        await kit.server.advance(5_000);
        const lost = record(client, "lost");
        const [conn] = kit.server.connections();
        room.send("chat", 1);
        conn.deliver(encode("\0probe", "leave_ack", "", conn.id));
        await kit.server.advance(20);
        conn.cut();
        assert.deepEqual(lost.map(([, { payload, reason }]) => [payload, reason]), [[1, "unconfirmed"]]);
    });

    test("removed from the room while messages are in flight: reported", async () => {
        const kit = setUp({ latency: 10 });
        const handled = watchHandled(kit.server);
        const [{ client, room }] = await kit.inRoom("lobby");
        await kit.server.advance(5_000);
        const lost = record(client, "lost");
        kit.server.connections()[0].kick("lobby");
        assert.equal(room.send("chat", 1), "sent");
        await kit.server.advance(5_000);
        assert.deepEqual([handled, lost.map(([, { payload, reason }]) => [payload, reason])], [[], [[1, "unconfirmed"]]]);
    });

    test("nothing is sent while it is uncertain whether the client is in the room", async () => {
        const kit = setUp({ latency: 10 });
        const { client } = kit.connect();
        await kit.server.advance(100);
        const lost = record(client, "lost");
        const room = client.join("lobby");
        await kit.server.advance(20);
        assert.equal(room.state, "open");
        // The leave_ack might be the answer to the join, which has not been confirmed yet.
        kit.server.connections()[0].kick("lobby");
        await kit.server.advance(10);
        assert.deepEqual([room.state, room.send("chat", 1)], ["joining", "queued"]);
        await kit.server.advance(5_000);
        assert.deepEqual([room.state, client.state, lost.map(([, { reason }]) => reason), kit.server.rejected()], ["closed", "open", ["unsent"], []]);
    });

    test("sent, then left: arrived, and not reported", async () => {
        const kit = setUp({ latency: 10 });
        const handled = watchHandled(kit.server);
        const [{ client, room }] = await kit.inRoom("lobby");
        await kit.server.advance(5_000);
        const lost = record(client, "lost");
        room.send("chat", "bye");
        await Promise.all([room.leave(), kit.server.advance(5_000)]);
        assert.deepEqual([handled, lost], [["bye"], []]);
    });

    test("closed with messages in the queue: each is reported", async () => {
        const { client } = setUp().connect();
        const lost = record(client, "lost");
        client.join("lobby").send("chat", 1);
        client.close();
        assert.deepEqual(lost.map(([, { payload, reason }]) => [payload, reason]), [[1, "unsent"]]);
    });
});

describe("coming back keeps the server's limits", () => {
    test("60 rooms against ten joins per second: all open again, whether joined slowly or at once", async () => {
        for (const pause of [200, 0]) {
            const kit = setUp({ latency: 5, joinRate: { perSecond: 10 } });
            const { client, life } = kit.connect();
            const rooms = [];
            for (let n = 0; n < 60; n++) {
                rooms.push(client.join(`room ${n}`));
                pause && (await kit.server.advance(pause));
            }
            await kit.server.advance(120_000);
            assert.deepEqual([client.state, rooms.filter(({ state }) => state === "open").length], ["open", 60], `joined ${pause} ms apart`);
            kit.server.cut();
            await kit.server.advance(120_000);
            assert.deepEqual([client.state, rooms.filter(({ state }) => state === "open").length], ["open", 60]);
            const count = life.length;
            await kit.server.advance(600_000);
            assert.equal(life.length, count, "no more of it");
        }
    });

    test("100 queued messages against ten per second: all arrive or are reported, in order, none twice", async () => {
        const kit = setUp({ latency: 5, messageRate: { perSecond: 10 } });
        const handled = watchHandled(kit.server);
        const { client, life } = kit.connect();
        const lost = [];
        client.on("lost", ({ payload, reason }) => void lost.push([payload, reason]));
        const room = client.join("lobby");
        await kit.server.advance(10_000);
        kit.server.cut();
        times(100, (n) => assert.equal(room.send("chat", n), "queued"));
        await kit.server.advance(120_000);
        assert.deepEqual(handled, handled.toSorted((a, b) => a - b));
        assert.equal(new Set(handled).size, handled.length);
        assert.ok(lost.every(([, reason]) => reason === "unconfirmed"));
        const known = new Set([...handled, ...lost.map(([payload]) => payload)]);
        assert.equal(known.size, 100);
        assert.ok(lost.length <= 24, `few were under way: ${lost.length}`);
        assert.ok(life.filter(([, , why]) => why === "lost").length <= 2, "too fast once at most");
    });

    test("a limit of one packet per second is respected as well, and quiet minutes restore the full rate", async () => {
        const kit = setUp({ latency: 5, messageRate: { perSecond: 1, burst: 3 } });
        const handled = watchHandled(kit.server);
        const [{ client, room }] = await kit.inRoom("lobby");
        await kit.server.advance(5_000);
        const lost = [];
        client.on("lost", ({ payload }) => void lost.push(payload));
        const taken = times(100, (n) => room.send("chat", n)).filter((result) => result !== "dropped");
        await kit.server.advance(600_000);
        assert.equal(client.state, "open");
        assert.equal(new Set([...handled, ...lost]).size, taken.length);
        assert.ok(["sent", "queued"].includes(room.send("chat", 100)));
        for (let n = 0; n < 6; n++) {
            await kit.server.advance(70_000);
            room.send("chat", 101 + n);
        }
        await kit.server.advance(70_000);
        assert.equal(room.send("chat", "quick"), "sent");
    });

    test("the wait after it is longer than after others", async () => {
        const kit = setUp();
        const { client } = kit.connect();
        await kit.server.advance(10_000);
        kit.server.connections()[0].close(1008, "rate");
        await kit.server.advance(1_000);
        assert.equal(client.state, "suspended");
        await kit.server.advance(500);
        assert.equal(client.state, "open");
    });
});
