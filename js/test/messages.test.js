/** Tests of messages between clients of the test kit's server: sending, the queue, and codecs. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { connect } from "../src/index.js";
import { code, record, setUp } from "./support/kit.js";
import { text } from "./support/packets.js";

describe("messages for a room whose other members are gone", () => {
    /**
     * Restarts the server while two clients are in a room. The first reconnects immediately, the second after `delay`
     * milliseconds.
     */
    async function restart(delay, isOlder) {
        const kit = setUp();
        const come = async (wait) => (await kit.inRoom("lobby", 1, { reconnect: { minDelay: wait, maxDelay: wait } }))[0];
        const b = isOlder && (await come(delay));
        const a = await come(20);
        return stopAndStart(kit, a, b || (await come(delay)));
    }

    async function stopAndStart(kit, a, b) {
        const heard = record(b.room, "chat");
        a.room.on("reopen", () => assert.equal(a.room.send("chat", "back"), "queued"));
        kit.server.stop();
        await kit.server.advance();
        assert.equal(a.room.send("chat", "meanwhile"), "queued");
        kit.server.start();
        await kit.server.advance(100);
        assert.equal(a.room.state, "open");
        return { kit, a, b, heard };
    }

    for (const isOlder of [false, true]) {
        test(`wait in order until another member is back (closed ${isOlder ? "first" : "last"})`, async () => {
            const { kit, a, heard } = await restart(1_600, isOlder);
            assert.equal(a.room.send("chat", "later"), "queued");
            await kit.server.advance(1_000);
            assert.deepEqual(heard.map(([, payload]) => payload), ["meanwhile", "back", "later"]);
            assert.equal(a.room.send("chat", "now"), "sent");
        });
    }

    test("are sent after a timeout without other members", async () => {
        const kit = setUp();
        const [a, b] = await kit.inRoom("lobby", 2);
        const handled = [];
        kit.server.handle("save", (conn, message) => handled.push(message.text()));
        kit.server.stop();
        await kit.server.advance();
        b.client.close();
        a.room.send("save", 1);
        kit.server.start();
        await kit.server.advance(500);
        assert.deepEqual([a.room.state, handled], ["open", []]);
        await kit.server.advance(10_000);
        assert.deepEqual(handled, []);
        await kit.server.advance(4_000);
        assert.deepEqual(handled, ["1"]);
    });

    test("requests to the server do not wait", async () => {
        const kit = setUp({ plain: false, retryWindow: 1_000 });
        const [a, b] = await kit.inRoom("lobby", 2);
        kit.server.onRequest("time", () => 7);
        kit.server.stop();
        await kit.server.advance();
        b.client.close();
        a.room.send("chat", "meanwhile");
        const asked = a.room.request("time");
        kit.server.start();
        await kit.server.advance(2_000);
        assert.equal(await Promise.race([asked, "waits"]), 7);
        assert.equal(a.room.send("chat", "later"), "queued");
    });

    test("do not wait without earlier members or with present ones", async () => {
        const kit = setUp();
        const [{ room }] = await kit.inRoom("lobby");
        kit.server.cut();
        room.send("chat", "alone");
        await kit.server.advance(500);
        assert.equal(room.send("chat", "again"), "sent");
        const [a, b] = await kit.inRoom("hall", 2);
        const heard = record(b.room, "chat");
        kit.server.connections().find(({ id }) => id === a.client.id).cut();
        a.room.send("chat", "back");
        await kit.server.advance(500);
        assert.deepEqual(heard.map(([, payload]) => payload), ["back"]);
    });
});

describe("send", () => {
    test("reaches all others in the room, or one", async () => {
        const kit = setUp();
        const [a, b, c] = await kit.inRoom("lobby", 3);
        const logs = [a, b, c].map(({ room }) => record(room, "chat"));
        assert.equal(a.room.send("chat", "all"), "sent");
        assert.equal(a.room.send("chat", "one", c.client.id), "sent");
        await kit.server.advance();
        assert.deepEqual(logs, [[], [["chat", "all", a.client.id, false]], [["chat", "all", a.client.id, false], ["chat", "one", a.client.id, true]]]);
    });

    test("a private message never becomes public", async () => {
        const kit = setUp();
        const [a, b] = await kit.inRoom("lobby", 2);
        const log = record(b.room, "chat");
        for (const to of ["", null, 5, 0, false, {}, ["id"], "\ud800"]) {
            assert.throws(() => a.room.send("chat", "secret", to), code("argument"));
        }
        await kit.server.advance();
        assert.deepEqual(log, []);
    });

    test("reserved events and invalid names are refused", async () => {
        const kit = setUp();
        const [{ room }] = await kit.inRoom("lobby");
        for (const event of ["open", "reopen", "close", "join", "join_ack", "leave", "leave_ack", "count_changed", "new_member", "member_left", "member_changed", "history_lost", "roomer:x", undefined, 5, "\udc00"]) {
            assert.throws(() => room.send(event, "x"), code("argument"));
        }
        assert.throws(() => room.messages("open"), code("argument"));
    });
});

describe("the queue", () => {
    test("keeps messages sent while offline in order, after the joins", async () => {
        const kit = setUp();
        const [b] = await kit.inRoom("lobby");
        const log = record(b.room, "chat");
        const a = kit.connect();
        const room = a.client.join("lobby");
        assert.deepEqual([room.send("chat", 1), room.send("chat", 2)], ["queued", "queued"]);
        await kit.server.advance();
        kit.server.connections().find(({ id }) => id === a.client.id).cut();
        assert.deepEqual([room.send("chat", 3), a.client.join("late").send("chat", "nobody")], ["queued", "queued"]);
        await kit.server.advance(1_000);
        assert.deepEqual(log.map(([, payload]) => payload), [1, 2, 3]);
        assert.equal(room.send("chat", 4), "sent");
        await kit.server.advance();
        assert.deepEqual(log.map(([, payload]) => payload), [1, 2, 3, 4], "nothing twice");
    });

    test("is bounded in messages and bytes, and rejects the newest", async () => {
        for (const queue of [{ messages: 3 }, { bytes: 3 * 49 }, { bytes: 4 * 49 - 1 }]) {
            const kit = setUp();
            const [b] = await kit.inRoom("lobby");
            const log = record(b.room, "chat");
            const { client } = kit.connect({ queue, codec: "text" });
            const lost = record(client, "overflow");
            const room = client.join("lobby");
            // 20 bytes, "lobby", "chat", and a payload of 20 bytes make 49 bytes per packet.
            const results = [1, 2, 3, 4].map((n) => room.send("chat", JSON.stringify("x".repeat(17) + n)));
            assert.deepEqual(results, ["queued", "queued", "queued", "dropped"]);
            const [reason] = Object.keys(queue);
            assert.deepEqual(lost, [["overflow", { room: "lobby", event: "chat", payload: JSON.stringify("x".repeat(17) + 4), to: undefined, reason }]]);
            await kit.server.advance();
            assert.deepEqual(log.map(([, payload]) => payload.at(-1)), ["1", "2", "3"]);
            // The queue is empty again, so it accepts a message.
            kit.server.cut();
            assert.equal(room.send("chat", '"again"'), "queued");
        }
    });

    test("is sent before messages of state and room listeners", async () => {
        const kit = setUp();
        const [b] = await kit.inRoom("lobby");
        const log = record(b.room, "chat");
        const { client } = kit.connect();
        const room = client.join("lobby");
        room.send("chat", "first");
        client.on("state", () => void room.send("chat", "second"));
        room.on("open", () => void room.send("chat", "third"));
        await kit.server.advance();
        assert.deepEqual(log.map(([, payload]) => payload), ["first", "second", "third"]);
    });

    test("of size 0 drops immediately", async () => {
        const { client } = setUp().connect({ queue: { messages: 0 } });
        assert.equal(client.root.send("chat", 1), "dropped");
    });

    test("accepts one oversized message when empty", async () => {
        const kit = setUp();
        const [a, b] = await kit.inRoom("lobby", 2, { queue: { bytes: 1_000 } });
        const log = record(b.room, "chat");
        const large = "x".repeat(2_000);
        assert.deepEqual([1, 2, 3].map(() => a.room.send("chat", large)), ["sent", "queued", "dropped"]);
        await kit.server.advance(1_000);
        assert.equal(log.length, 2);
        const late = a.client.join("late");
        assert.deepEqual([large, "small"].map((text) => late.send("chat", text)), ["queued", "dropped"]);
    });

    test("bounds messages held back by a stalled network", async () => {
        const kit = setUp();
        const [a, b] = await kit.inRoom("lobby", 2, { queue: { bytes: 1_000 } });
        const lost = record(a.client, "overflow");
        const log = record(b.room, "chat");
        kit.server.stall();
        const results = Array.from({ length: 10 }, () => a.room.send("chat", "x".repeat(250)));
        const kinds = ["sent", "queued", "dropped"].map((kind) => results.filter((result) => result === kind).length);
        assert.deepEqual(kinds, [4, 3, 3], "under way, then waiting, then no more");
        assert.deepEqual(results, results.toSorted().reverse());
        assert.equal(lost.length, 3);
        kit.server.resume();
        await kit.server.advance();
        assert.equal(log.length, 7);
        assert.equal(a.room.send("chat", "x".repeat(5_000)), "sent", "one big message is no backlog");
        await kit.server.advance();
        assert.equal(log.length, 8);
    });

    test("drops the messages of a room that is left", async () => {
        const kit = setUp();
        const { client } = kit.connect({ queue: { messages: 2 } });
        const room = client.join("lobby");
        room.send("chat", 1);
        room.send("chat", 2);
        const log = record(client, "overflow", "lost");
        await room.leave();
        assert.equal(client.root.send("chat", 3), "queued");
        assert.deepEqual(log, [1, 2].map((payload) => ["lost", { room: "lobby", event: "chat", payload, to: undefined, reason: "unsent" }]));
    });
});

describe("codecs", () => {
    /** Sends these payloads from one client to another. Returns the payloads received, and the errors. */
    async function exchange(codec, payloads) {
        const kit = setUp();
        const [a, b] = await kit.inRoom("lobby", 2, { codec });
        const log = record(b.room, "data");
        payloads.forEach((payload) => a.room.send("data", payload));
        await kit.server.advance();
        return log.map(([, payload]) => payload);
    }

    test("bytes: buffers and views arrive as separate Uint8Arrays", async () => {
        const bytes = new Uint8Array([0, 1, 2, 3]);
        const sent = [bytes, bytes.subarray(1, 3), new DataView(bytes.buffer, 2), bytes.buffer, "hellö", undefined];
        const expected = [[0, 1, 2, 3], [1, 2], [2, 3], [0, 1, 2, 3], [...Buffer.from("hellö")], []];
        const came = await exchange("bytes", sent);
        assert.deepEqual(came.map((payload) => [...payload]), expected);
        assert.ok(came.every((payload) => payload.constructor === Uint8Array && payload.buffer.byteLength === payload.length));
    });

    test("bytes is the default; objects are refused with advice", async () => {
        const kit = setUp();
        const client = connect("ws://test/ws", kit.server.options);
        for (const wrong of [{}, [1], 5, true, null]) {
            assert.throws(() => client.root.send("data", wrong), (error) => code("argument")(error) && /codec: "json"/.test(error.message));
        }
        const log = record(client.root, "data");
        await kit.server.advance();
        kit.server.broadcast("root", "data", "text");
        await kit.server.advance();
        assert.deepEqual(log.map(([, payload]) => [payload.constructor, text(payload)]), [[Uint8Array, "text"]]);
    });

    test("text: strings only", async () => {
        assert.deepEqual(await exchange("text", ["hellö 🚪", "", "\ufeffmark", undefined]), ["hellö 🚪", "", "\ufeffmark", ""]);
        const { client } = setUp().connect({ codec: "text" });
        assert.throws(() => client.root.send("data", { x: 1 }), code("argument"));
    });

    test("json: any JSON value", async () => {
        const sent = [{ x: [1, null, "ö"] }, 5, "text", null, false, [], undefined];
        assert.deepEqual(await exchange("json", sent), sent);
        const { client } = setUp().connect({ codec: "json" });
        for (const wrong of [() => {}, Symbol("x")]) {
            assert.throws(() => client.root.send("data", wrong), code("argument"));
        }
    });

    test("custom codecs, also per room", async () => {
        const reverse = { encode: (value) => Buffer.from([...value].reverse().join("")), decode: (bytes) => [...text(bytes)].reverse().join("") };
        assert.deepEqual(await exchange(reverse, ["abc"]), ["abc"]);
        const kit = setUp();
        const [{ client }] = await kit.inRoom("lobby", 1, { codec: "json" });
        const room = client.join("plain", { codec: "text" });
        const log = record(room, "data");
        await kit.server.advance();
        kit.server.broadcast("plain", "data", "{no json");
        await kit.server.advance();
        assert.deepEqual(log[0].slice(0, 2), ["data", "{no json"]);
    });

    test("an unknown codec is refused before the room is joined", () => {
        for (const codec of ["xml", "toString", 5, {}, { encode() {} }]) {
            assert.throws(() => setUp().connect({ codec }), code("argument"));
            const { client } = setUp().connect();
            assert.throws(() => client.join("lobby", { codec }), code("argument"));
            assert.equal(client.rooms().length, 1);
        }
    });

    test("an undecodable payload is an error event, and later ones are received", async () => {
        const kit = setUp();
        const [{ room, errors }] = await kit.inRoom("lobby");
        const log = record(room, "data");
        kit.server.broadcast("lobby", "data", "{no json");
        kit.server.broadcast("lobby", "data", { x: 1 });
        kit.server.broadcast("lobby", "unheard", "{no json");
        await kit.server.advance();
        assert.deepEqual([errors.map((error) => [error.code, error.cause.constructor]), log.length], [[["payload", SyntaxError]], 1]);
    });
});
