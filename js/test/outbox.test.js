/** Tests of sending with the test kit's server.
 *
 * The client sends no packet to a room that is not open, does not exceed the server's rates, and the result of send() is either
 * right or corrected by an event.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { encode } from "../src/packet.js";
import { PADDED, setUp, record } from "./support/kit.js";

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

describe("messages are sent only into open rooms", () => {
    test("a refused room reports its queue as lost without affecting others", async () => {
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

    test("messages wait while joining and rejoining", async () => {
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

    test("a kick with 600 messages in flight closes only that room", async () => {
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

describe("messages accepted by send() are delivered or reported", () => {
    test("messages sent just before a cut are reported as unconfirmed", async () => {
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

    test("a delivered message is confirmed and never reported as lost", async () => {
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

    test("one probe confirms many messages", async () => {
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

    test("an unsolicited answer confirms nothing", async () => {
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

    test("messages in flight during a kick are reported", async () => {
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

    test("nothing is sent while the membership is uncertain", async () => {
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

    test("messages sent before a leave arrive and are not reported", async () => {
        const kit = setUp({ latency: 10 });
        const handled = watchHandled(kit.server);
        const [{ client, room }] = await kit.inRoom("lobby");
        await kit.server.advance(5_000);
        const lost = record(client, "lost");
        room.send("chat", "bye");
        await Promise.all([room.leave(), kit.server.advance(5_000)]);
        assert.deepEqual([handled, lost], [["bye"], []]);
    });

    test("close() reports each queued message", async () => {
        const { client } = setUp().connect();
        const lost = record(client, "lost");
        client.join("lobby").send("chat", 1);
        client.close();
        assert.deepEqual(lost.map(([, { payload, reason }]) => [payload, reason]), [[1, "unsent"]]);
    });
});

describe("reconnecting respects the server's rates", () => {
    test("60 rooms are rejoined within ten joins per second", async () => {
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

    test("100 queued messages within ten per second arrive or are reported, in order", async () => {
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

    for (const plain of [true, false]) {
        test(`60 queued messages within 2,000 bytes per second arrive or are reported, in order, ${plain ? "without" : "in"} a session`, async () => {
            const kit = setUp({ plain, latency: 5, maxMessage: 2_000, byteRate: { perSecond: 2_000 } });
            const handled = watchHandled(kit.server);
            const { client, life } = kit.connect({ codec: PADDED });
            const lost = [];
            client.on("lost", ({ payload, reason }) => void lost.push([payload, reason]));
            const room = client.join("lobby");
            await kit.server.advance(10_000);
            kit.server.cut();
            times(60, (n) => assert.equal(room.send("chat", n), "queued"));
            await kit.server.advance(240_000);
            assert.deepEqual(handled, handled.toSorted((a, b) => a - b));
            assert.equal(new Set(handled).size, handled.length);
            assert.ok(lost.every(([, reason]) => reason === "unconfirmed"));
            assert.equal(new Set([...handled, ...lost.map(([payload]) => payload)]).size, 60);
            assert.deepEqual([client.state, room.state], ["open", "open"]);
            const slowed = life.filter(([, , why]) => why === "lost").length;
            assert.ok(slowed >= 2 && slowed <= 6, `too fast ${slowed - 1} times`);
        });
    }

    test("a rate of one packet per second is respected, and recovers", async () => {
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

    test("a rate violation has a longer backoff", async () => {
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
