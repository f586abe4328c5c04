/** Tests of listeners that close the client or join rooms, in the middle of what the client does. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { record, setUp } from "./support/kit.js";

describe("a listener that closes the client when a message is lost", () => {
    for (const plain of [false, true]) {
        test(`is notified of "closed" last, on a server with ${plain ? "the plain protocol" : "sessions"}`, async () => {
            const kit = setUp({ plain });
            const [{ client, room }] = await kit.inRoom("lobby");
            const states = [];
            client.on("state", (state) => void states.push(state));
            client.on("lost", () => client.close());
            room.send("chat", "hello");
            kit.server.stop();
            await kit.server.advance(60_000);
            assert.deepEqual([client.state, ...states], ["closed", "closed"]);
        });
    }

    test("may be called when a new session begins", async () => {
        const kit = setUp({ plain: false });
        const [{ client, room }] = await kit.inRoom("lobby");
        const states = [];
        client.on("state", (state) => void states.push(state));
        client.on("lost", () => client.close());
        room.send("chat", "hello");
        kit.server.cut();
        kit.server.expire();
        await kit.server.advance(60_000);
        assert.deepEqual([client.state, ...states], ["closed", "suspended", "connecting", "closed"]);
        assert.deepEqual(kit.server.connections(), []);
        assert.deepEqual(client.rooms(), []);
    });
});

test("a listener that closes the client when its session has resumed is notified of nothing afterwards", async () => {
    const kit = setUp({ plain: false });
    const [{ client }] = await kit.inRoom("lobby");
    const log = record(client, "state", "resumed");
    client.on("state", (state) => state === "open" && client.close());
    kit.server.cut();
    await kit.server.advance(60_000);
    assert.deepEqual(log.map(([event, state]) => (event === "state" ? state : event)), ["suspended", "connecting", "open", "closed"]);
});

test("a listener may join a room again whose messages were dropped by leave()", async () => {
    const kit = setUp();
    const { client } = kit.connect();
    await kit.server.advance();
    const room = client.join("lobby");
    room.send("chat", "too early");
    let next;
    client.on("lost", () => {
        next = client.join("lobby");
    });
    room.leave();
    await kit.server.advance(10_000);
    assert.equal(next.state, "open");
    assert.deepEqual(kit.server.members("lobby"), [client.id]);
});
