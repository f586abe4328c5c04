/** Tests of the limits of requests: the server's number of unanswered requests, and the queue. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { connect } from "../src/index.js";
import { follow, reason, setUp } from "./support/kit.js";
import { connOf, enter } from "./support/session.js";

describe("a request above the server's limit", () => {
    test("waits if 64 are unanswered, without delaying other messages", async () => {
        const { server, room, client, other, errors } = await enter(2);
        let handling = 0;
        let most = 0;
        const begin = () => (most = Math.max(most, ++handling));
        const finish = (message) => new Promise((resolve) => server.clock.setTimeout(() => resolve(message.json(), handling--), 500));
        server.onRequest("wait", (conn, message) => {
            begin();
            return finish(message);
        });
        other.room.handle("where", () => "here");
        const heard = [];
        other.room.on("chat", (text) => heard.push(text));
        const asked = Array.from({ length: 300 }, (_, n) => follow(room.request("wait", n)));
        const where = follow(room.request("where", 1, { to: other.room.id }));
        room.send("chat", "hello");
        await server.advance(400);
        assert.deepEqual([heard, where.value, most, asked.filter(({ value }) => value !== undefined)], [["hello"], "here", 64, []]);
        await server.advance(9_000);
        assert.deepEqual([asked.map(({ value }) => value), most, handling, errors], [asked.map((_, n) => n), 64, 0, []]);
        // Requests to members have the same limit. If one of them is given up, the next one is sent.
        const never = other.room.handle("never", () => new Promise(() => {}));
        const given = new AbortController();
        const all = Array.from({ length: 70 }, (_, n) => follow(room.request("never", n, { to: other.room.id, signal: given.signal, timeout: 30_000 })));
        const last = follow(room.request("where", 1, { to: other.room.id, timeout: 60_000 }));
        await server.advance(1_000);
        assert.deepEqual([all.map(reason), reason(last)], [Array(70).fill(undefined), undefined]);
        never();
        connOf({ server }, client).cut();
        await server.advance(1_000);
        assert.equal(reason(last), undefined, "a session that continues has the same requests");
        given.abort();
        other.client.close();
        await server.advance(1_000);
        // The server does not know that the client has given up, and still counts those requests.
        assert.deepEqual([reason(all[69]), reason(last)], [["RoomerError", "aborted", undefined], ["RoomerError", "answer", "busy"]]);
    });

    test("does not use the message queue", async () => {
        const { server, room, errors } = await enter();
        const answers = [];
        server.onRequest("wait", () => new Promise((resolve) => answers.push(resolve)));
        const given = new AbortController();
        const asked = Array.from({ length: 1_064 }, (_, n) => follow(room.request("wait", n, { timeout: 60_000, signal: n ? undefined : given.signal })));
        await server.advance(1_000);
        const above = follow(room.request("wait"));
        assert.deepEqual([answers.length, room.send("chat", "hi"), room.send("chat", "x".repeat(2 ** 20))], [64, "sent", "sent"]);
        await server.advance(1_000);
        assert.deepEqual([reason(above), asked.map(reason)], [["RoomerError", "dropped", undefined], Array(1_064).fill(undefined)]);
        // If a request ends while there is no connection, a waiting request takes its place, not a message.
        server.cut();
        given.abort();
        assert.deepEqual([room.send("chat", 1), room.send("chat", 2), errors], ["queued", "queued", []]);
        await server.advance(1_000);
        answers.splice(0).forEach((answer) => answer(1));
        await server.advance(1_000);
        assert.deepEqual([reason(asked[0])[1], asked.filter(({ value }) => value).length, answers.length], ["aborted", 63, 64]);
    });

    test("does not use the message queue before connecting either", async () => {
        const kit = setUp({ plain: false });
        kit.server.onRequest("wait", (conn, message) => message.json());
        const { client } = kit.connect();
        const lobby = client.join("lobby");
        const asked = Array.from({ length: 1_064 }, (_, n) => follow(lobby.request("wait", n)));
        assert.deepEqual([lobby.send("chat", "hi"), reason(follow(lobby.request("wait")))], ["queued", undefined]);
        await kit.server.advance(5_000);
        assert.deepEqual(asked.map(({ value }) => value), asked.map((_, n) => n));
    });
});

describe("the server's number of unanswered requests", () => {
    /** Connects with a server that permits this number of requests, whose handler ends each after 100 ms. */
    const setUpWith = async (maxRequests) => {
        const world = await enter(2, { settings: { maxRequests } });
        let handling = 0;
        const most = [];
        world.server.onRequest("wait", () => {
            most.push(++handling);
            return new Promise((resolve) => world.server.clock.setTimeout(() => resolve(handling--), 100));
        });
        return { ...world, most };
    };

    test("is announced in hello", async () => {
        const { server, room, client, most } = await setUpWith(2);
        const asked = Array.from({ length: 5 }, () => follow(room.request("wait")));
        await server.advance(1_000);
        assert.deepEqual([asked.map(({ value }) => value > 0), Math.max(...most)], [Array(5).fill(true), 2]);
        const conn = connOf({ server }, client);
        room.handle("never", () => new Promise(() => {}));
        const fromServer = Array.from({ length: 3 }, () => follow(conn.request("lobby", "never")));
        await server.advance(1_000);
        assert.deepEqual(fromServer.map((each) => reason(each)?.[2]), [undefined, undefined, "busy"]);
    });

    test("may be 0, which fails requests", async () => {
        const { kit, server, room, other, most } = await setUpWith(0);
        const early = kit.connect().client.join("lobby");
        const asked = [room.request("wait"), room.request("wait", 1, { to: other.room.id }), early.request("wait")].map(follow);
        await null;
        await null;
        assert.deepEqual(asked.map(reason), [...Array(2).fill(["RoomerError", "answer", "busy"]), undefined]);
        await server.advance(50);
        assert.deepEqual([reason(asked[2]), most], [["RoomerError", "answer", "busy"], []]);
    });
});

test("a full queue drops a request without an event", async () => {
    const kit = setUp({ plain: false });
    const client = connect("ws://test/ws", { ...kit.server.options, codec: "json", queue: { messages: 1 } });
    const events = [];
    client.on("overflow", () => events.push("overflow"));
    const lobby = client.join("lobby");
    const [first, second] = [lobby.request("x"), lobby.request("x")].map(follow);
    await kit.server.advance(1_000);
    assert.deepEqual([reason(first).slice(1), reason(second).slice(1), events], [["answer", "unknown"], ["dropped", undefined], []]);
});
