/** Tests of rooms with a history: missed messages arrive once and in order, or the client reports a loss. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { encode, toBytes } from "../src/packet.js";
import { code, record, setUp } from "./support/kit.js";
import { connOf } from "./support/session.js";

/** Connects a client that joins the room "lobby" with a history. `log` contains the client's events in that room. */
async function enter({ history = 20, before = 0, ...settings } = {}) {
    const kit = setUp({ plain: false, latency: 10, history: 10, ...settings });
    const { server } = kit;
    const [first] = await kit.inRoom("lobby");
    await server.advance(100);
    for (let n = 1; n <= before; n++) {
        first.room.send("n", n);
    }
    await server.advance(100);
    const { client, errors } = kit.connect();
    const room = client.join("lobby", { history });
    const log = record(room, "n", "open", "reopen", "history_lost");
    await server.advance(100);
    /** Ends the client's session, and calls `happen` before the client reconnects. */
    const away = async (happen) => {
        const conn = connOf(kit, client);
        conn.cut();
        conn.expire();
        await happen?.();
        await server.advance(5_000);
    };
    /** Returns the messages (as numbers) and other events (as names) that were received since the last call. */
    const heard = () => log.splice(0).map(([event, payload]) => (event === "n" ? payload : event));
    return { kit, server, first, client, errors, room, log, heard, away, say: (...numbers) => numbers.forEach((n) => first.room.send("n", n)) };
}

describe("a room with history", () => {
    test("sends its last messages with positions after open", async () => {
        const { room, log, first } = await enter({ before: 3, history: 2 });
        assert.deepEqual(log, [["open"], ["n", 2, first.client.id, false, 2], ["n", 3, first.client.id, false, 3]]);
        assert.deepEqual({ ...room.history, epoch: 0 }, { epoch: 0, number: 3, recovered: false });
        assert.ok(Object.isFrozen(room.history));
    });

    test("has its history when it opens", async () => {
        const kit = setUp({ plain: false, history: 10 });
        const { client } = kit.connect();
        const lobby = client.join("lobby", { history: 5 });
        let seen;
        lobby.on("open", () => (seen = lobby.history.number));
        assert.equal(lobby.history, undefined);
        await kit.server.advance();
        assert.equal(seen, 0);
    });

    test("sends missed messages to a new session once in order", async () => {
        for (const history of [0, 5]) {
            const { heard, away, say, room, server } = await enter({ before: 3, history });
            say(4, 5);
            await server.advance(100);
            assert.deepEqual(heard(), ["open", ...[1, 2, 3].slice(3 - Math.min(history, 3)), 4, 5]);
            await away(async () => {
                say(6, 7);
                await server.advance(20);
            });
            assert.deepEqual(heard(), ["reopen", 6, 7]);
            assert.equal(room.history.recovered, true);
            await away();
            assert.deepEqual(heard(), ["reopen"]);
            say(8);
            await server.advance(100);
            await away(() => say(9));
            assert.deepEqual(heard(), [8, "reopen", 9]);
        }
    });

    test("counts the client's own messages", async () => {
        const { heard, away, say, room, server } = await enter();
        say(1);
        await server.advance(100);
        room.send("n", "mine");
        await server.advance(100);
        await away(() => say(2));
        assert.deepEqual(heard(), ["open", 1, "reopen", 2]);
    });

    test("reports a gap and sends the last messages", async () => {
        const { heard, away, say, server, room } = await enter({ history: 3 });
        say(1, 2);
        await server.advance(100);
        heard();
        await away(async () => {
            say(...Array.from({ length: 12 }, (_, n) => n + 3));
            await server.advance(100);
        });
        assert.deepEqual([heard(), room.history.recovered, room.history.number], [["history_lost", "reopen", 12, 13, 14], false, 14]);
        await away(async () => {
            server.forget();
            say(15);
            await server.advance(100);
        });
        assert.deepEqual(heard(), ["history_lost", "reopen", 15]);
        await away(() => say(16));
        assert.deepEqual(heard(), ["reopen", 16]);
    });

    test("sends the rest after a cut during recovery", async () => {
        const { heard, away, say, server, client, kit } = await enter({ history: 3 });
        say(1);
        await server.advance(100);
        heard();
        await away(async () => {
            say(2, 3, 4);
            await server.advance(100);
        });
        const all = heard();
        connOf(kit, client).cut();
        await server.advance(5_000);
        assert.deepEqual([all, heard()], [["reopen", 2, 3, 4], []]);
    });

    test("emits no message twice", async () => {
        const { heard, say, server, client, kit } = await enter({ history: 5 });
        say(1, 2, 3);
        await server.advance(100);
        const conn = connOf(kit, client);
        conn.deliver(encode("lobby", "n", "#2", "x", toBytes("2")));
        conn.deliver(encode("lobby", "n", "#4", "x", toBytes("4")));
        conn.deliver(encode("lobby", "n", "", "x", toBytes("5")));
        await server.advance(100);
        assert.deepEqual(heard(), ["open", 1, 2, 3, 4, 5]);
    });

    test("is ordinary without the option or the server's support", async () => {
        for (const [settings, options] of [[{}, undefined], [{ history: 0 }, { history: 5 }], [{ plain: true }, { history: 5 }]]) {
            const kit = setUp({ plain: false, history: 10, ...settings });
            const [a] = await kit.inRoom("lobby");
            a.room.send("n", 1);
            await kit.server.advance();
            const { client, errors } = kit.connect();
            const room = client.join("lobby", options);
            const log = record(room, "n");
            await kit.server.advance();
            a.room.send("n", 2);
            await kit.server.advance();
            assert.deepEqual([log.map(([, n]) => n), room.history, errors], [[2], undefined, []]);
        }
    });

    test("requires a number as the option", async () => {
        const { client } = setUp({ plain: false }).connect();
        for (const history of [-1, "many", NaN]) {
            assert.throws(() => client.join("x", { history }), code("argument"));
        }
    });

    test("has positions in messages()", async () => {
        const { room, say, server } = await enter();
        const messages = room.messages("n");
        say(1);
        await server.advance(100);
        assert.equal((await messages.next()).value.number, 1);
    });
});

describe("rooms with history above the server's rate", () => {
    const NAMES = Array.from({ length: 30 }, (_, n) => `room ${n}`);

    /** Starts a server whose rooms contain a member and one message each. */
    async function setUpRooms(settings) {
        const kit = setUp({ plain: false, latency: 10, history: 10, ...settings });
        const { client: first } = kit.connect();
        const say = (payload) => NAMES.forEach((name) => first.join(name).send("n", payload));
        say("old");
        await kit.server.advance(5_000);
        const { client, errors } = kit.connect();
        await kit.server.advance(1_000);
        const heard = [];
        const enter = (name) => {
            const room = client.join(name, { history: 5 });
            room.on("n", (payload) => heard.push(`${name}: ${payload}`));
            room.on("history_lost", () => heard.push(`${name} lost`));
            return room;
        };
        return { kit, client, errors, heard, enter, say };
    }

    const all = (payload) => NAMES.map((name) => `${name}: ${payload}`).sort();

    test("each get their history in turn", async () => {
        const { kit, client, errors, heard, enter, say } = await setUpRooms();
        const rooms = NAMES.map(enter);
        await kit.server.advance(100);
        assert.equal(heard.length, 16);
        assert.deepEqual(rooms.filter(({ state }) => state === "open").length, 16);
        await kit.server.advance(20_000);
        assert.deepEqual(heard.splice(0).sort(), all("old"));
        // The limit starts again in the next session.
        const conn = connOf(kit, client);
        conn.cut();
        conn.expire();
        say("missed");
        await kit.server.advance(20_000);
        assert.deepEqual([heard.sort(), errors], [all("missed"), []]);
        assert.deepEqual(rooms.map(({ state, history }) => [state, history.recovered]), NAMES.map(() => ["open", true]));
    });

    test("do not delay rooms without history", async () => {
        const { kit, enter } = await setUpRooms({ history: (name) => (name === "room 29" ? 10 : 0) });
        const rooms = NAMES.map(enter);
        await kit.server.advance(200);
        assert.deepEqual(rooms.map(({ state }) => state), NAMES.map(() => "open"));
        assert.equal(rooms[29].history.number, 1);
    });

    test("may be left and rejoined while they wait", async () => {
        const { kit, client, heard, enter } = await setUpRooms();
        const rooms = NAMES.map(enter);
        await kit.server.advance(100);
        heard.splice(0);
        // Leave a waiting room. Leave another one and join it again in the same turn. Leave an open one and join it again later.
        const gone = rooms[29].leave();
        rooms[28].leave();
        assert.equal(client.join("room 28", { history: 5 }), rooms[28]);
        rooms[0].leave();
        await null;
        const again = enter("room 0");
        assert.notEqual(again, rooms[0]);
        await kit.server.advance(100);
        await gone;
        assert.deepEqual([rooms[29].state, rooms[28].state, rooms[0].state, again.state], ["closed", "joining", "closed", "joining"]);
        await kit.server.advance(20_000);
        assert.deepEqual(heard.sort(), [...NAMES.slice(16, 29), "room 0"].map((name) => `${name}: old`).sort());
        assert.deepEqual([rooms[28].state, again.state, client.rooms().length], ["open", "open", 30]);
        client.close();
        await kit.server.advance(100);
        assert.equal(kit.server.connections().length, 1);
    });

    test("do not wait before connecting or on a plain server", async () => {
        for (const plain of [false, true]) {
            const kit = setUp({ plain, latency: 10, history: plain ? 0 : 10 });
            const { client } = kit.connect({ lazy: true });
            const rooms = NAMES.map((name) => client.join(name, { history: 5 }));
            assert.equal(kit.server.clock.pending(), 0);
            client.start();
            await kit.server.advance(200);
            assert.equal(rooms.filter(({ state }) => state === "open").length, plain ? 30 : 16);
            await kit.server.advance(20_000);
            assert.deepEqual(rooms.map(({ history }) => history?.number), NAMES.map(() => (plain ? undefined : 0)));
        }
    });

    test("may be joined while offline in a resumed session", async () => {
        const { kit, client, heard, enter } = await setUpRooms();
        connOf(kit, client).cut();
        NAMES.forEach(enter);
        await kit.server.advance(30_000);
        assert.deepEqual(heard.sort(), all("old"));
    });

    test("may be closed while they wait", async () => {
        const { kit, client, enter } = await setUpRooms();
        NAMES.forEach(enter);
        await kit.server.advance(100);
        client.close();
        kit.server.connections()[0].close();
        await kit.server.advance(20_000);
        assert.deepEqual(NAMES.map((name) => kit.server.members(name).includes(client.id)), NAMES.map(() => false));
    });
});
