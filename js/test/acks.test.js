/** Tests of acknowledgements that the client has not requested, mixed with those that it has.
 *
 * They cover each order in which a client's requests about one room and the server's moves of the client can happen. After all
 * answers, client and server must agree.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { connect } from "../src/index.js";
import { createClock, createServer } from "../src/testkit/index.js";
import { code, microtasks, setUp } from "./support/kit.js";

/** The calls with which the application joins or leaves the room. */
const CALLS = {
    join: (client) => void client.join("lobby"),
    leave: (client) => void client.rooms().find(({ name }) => name === "lobby")?.leave()
};
/** The actions with which the server adds the client to a room, or removes it from one. */
const ACTS = {
    kick: (conn) => conn.kick("lobby"),
    put: (conn) => conn.join("lobby"),
    move: (conn) => conn.move("lobby", "elsewhere")
};

/** Returns all lists of the given length that consist of these items. */
const lists = (items, length) => (length ? items.flatMap((item) => lists(items, length - 1).map((list) => [item, ...list])) : [[]]);

/** Yields all interleavings of two lists. */
function* merges(a, b) {
    if (!a.length || !b.length) {
        yield [...a, ...b];
        return;
    }
    for (const rest of merges(a.slice(1), b)) {
        yield [a[0], ...rest];
    }
    for (const rest of merges(a, b.slice(1))) {
        yield [b[0], ...rest];
    }
}

test("every interleaving of three calls and two server actions converges", { timeout: 120_000 }, async () => {
    let count = 0;
    for (const isIn of [true, false]) {
        for (const calls of lists(Object.keys(CALLS), 3)) {
            for (const acts of lists(Object.keys(ACTS), 2)) {
                for (const order of merges(calls, acts)) {
                    // With a pause of 0, all steps are in flight together; with 15, each is answered before the next; with 10,
                    // they overlap in part.
                    for (const pause of [0, 10, 15]) {
                        // Alternate between plain servers and servers with sessions.
                        await one(isIn, order, pause, count % 2 === 0);
                        count++;
                    }
                }
            }
        }
    }
    assert.ok(count > 4_000);
});

async function one(isIn, order, pause, plain) {
    const server = createServer({ plain, latency: 10, clock: createClock({ settle: microtasks }) });
    const client = connect("ws://test/ws", server.options);
    isIn && client.join("lobby");
    await server.advance(5_000);
    const [conn] = server.connections();
    let joinedLast = false;
    for (const step of order) {
        if (step in CALLS) {
            // Another join() of a joined room sends no packet.
            joinedLast = step === "join" && !client.rooms().some(({ name }) => name === "lobby");
            CALLS[step](client);
        } else {
            ACTS[step](conn);
            joinedLast = false;
        }
        await null;
        pause && (await server.advance(pause));
    }
    await server.advance(5_000);
    const states = client.rooms().map(({ name, state, id }) => [name, state, id]).sort();
    const truth = conn.rooms().map((name) => [name, "open", conn.id]).sort();
    const about = `${isIn ? "in" : "out"}, ${order.join(", ")}, ${pause} ms apart, ${plain ? "plain" : "extended"}`;
    assert.deepEqual(states, truth, about);
    if (joinedLast) {
        assert.ok(server.members("lobby").includes(client.id), about);
    }
    client.close();
}

test("a kick during leave and rejoin still opens the new room", async () => {
    for (const act of ["kick", "move"]) {
        for (const turns of [0, 1]) {
            const kit = setUp({ latency: 10 });
            const [{ client, room }] = await kit.inRoom("lobby");
            await kit.server.advance(5_000);
            kit.server.connections()[0][act]("lobby", "other");
            room.leave();
            for (let n = 0; n < turns; n++) {
                await null;
            }
            const again = client.join("lobby");
            await kit.server.advance(1_000);
            assert.deepEqual([again.state, kit.server.members("lobby")], ["open", [client.id]]);
            assert.equal(await again.opened, again);
        }
    }
});

test("a kick after a rejoin closes the room on both sides", async () => {
    const kit = setUp({ latency: 10 });
    const [{ client, room }] = await kit.inRoom("lobby");
    await kit.server.advance(5_000);
    room.leave();
    await null;
    const again = client.join("lobby");
    let reason;
    again.on("close", (error) => (reason = error));
    await kit.server.advance(25);
    kit.server.connections()[0].kick("lobby");
    await kit.server.advance(1_000);
    assert.deepEqual([again.state, kit.server.members("lobby")], ["closed", []]);
    assert.ok(code("removed")(reason) || code("refused")(reason));
});
