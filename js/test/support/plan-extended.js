/** Plan steps for the rest of the extended protocol: requests in both directions, info, and rooms with a history. */

import assert from "node:assert/strict";

/** Steps that require a server with sessions. A name with a number repeats a step, to make it more likely. */
export const EXTENDED_STEPS = {
    ask: (pick, rooms) => ({ room: pick(rooms), count: pick([1, 1, 3]) }),
    ask2: (pick, rooms) => ({ room: pick(rooms), count: 1 }),
    query: (pick) => ({ count: pick([1, 2]) }),
    info: () => ({}),
    rename: () => ({}),
    post: (pick, rooms) => ({ room: pick(rooms), count: pick([1, 2, 3]) }),
    away: (pick, rooms) => ({ room: pick(rooms), count: pick([1, 3, 12]) }),
    post2: (pick, rooms) => ({ room: pick(rooms), count: pick([1, 12]) })
};

/**
 * The limits on bytes from which a plan draws one, as its last draw, so that its other settings do not change. With a limit, the
 * plan's messages have different sizes.
 */
export const BYTE_RATES = [...Array(15), { perSecond: 1_000, burst: 2_000 }];

/** Returns the numbers from 0 to `count` - 1. */
export const range = (count) => Array.from({ length: count }, (_, n) => n);

/**
 * In one of 64 plans, adds many rooms that are joined together, and then left or joined again, or that the client may not join.
 * Such a plan has no rate limits: with them, the client would take minutes.
 */
export function addCrowd(plan, below) {
    const pick = (list) => list[below(list.length)];
    if (below(64)) {
        return plan;
    }
    const count = pick([20, 40, 140]);
    const wait = { do: "wait", time: pick([0, 1, 20, 60]) };
    const crowd = pick([
        [{ event: "join" }, { event: "leave" }],
        [{ event: "join" }, { event: "again", turns: 1 }],
        [{ event: "forbid", isForbidden: true }, { event: "join" }]
    ]).map((step) => ({ do: "crowd", count, ...step }));
    return { ...plan, messageRate: undefined, byteRate: undefined, joinRate: undefined, steps: plan.steps.toSpliced(below(plan.steps.length + 1), 0, crowd[0], wait, crowd[1]) };
}

/** The number of messages that a room keeps. */
export const MEMORY = 10;
/** The number of messages that a client requests. */
export const LAST = 5;

/** The errors with which a request may fail in a session that does not end. */
const GENTLE_REASONS = ["closed", "dropped"];
/** All errors with which a request may fail. */
const REASONS = [...GENTLE_REASONS, "unknown", "answer refused", "answer gone"];

/** The timeout of requests. It exceeds the duration of any network fault in a plan. */
const timeout = 3_600_000;

/**
 * @param {object} client
 * @param {object} world see plan.js
 * @param {Map<string, object>} mine the rooms that the application is in according to its own calls and events
 */
export function createExtras(client, world, mine) {
    const { server, clock } = world;
    let last = 0;
    /** By request number, how often the request was handled. */
    const handled = new Map();
    /** By request number, the list of the request's outcomes, which must contain exactly one. */
    const outcomes = new Map();
    /**
     * By request number, the id that the client had when the server sent it this request. The client may never learn that id, if
     * its session breaks early.
     */
    const asked = new Map();
    let info = null;
    /** The number of messages sent to each room, by the room's name. */
    const newest = new Map();
    /** The numbers of the messages that have arrived, by room object. */
    const arrived = new Map();

    /** Returns the connection of the other client, which stays in rooms that this client leaves. */
    const other = () => server.connections().find(({ token }) => token === "other");

    const handle = (number, factor) => {
        handled.set(number, (handled.get(number) ?? 0) + 1);
        return new Promise((resolve) => clock.setTimeout(() => resolve(number * factor), (number % 3) * 150));
    };
    server.onRequest("r", (conn, message) => handle(message.json(), 2));

    const follow = (number, request, readAnswer) => {
        const list = [];
        outcomes.set(number, list);
        request.then((answer) => list.push(readAnswer(answer)), ({ code, kind }) => list.push(kind ? `${code} ${kind}` : code));
    };

    const steps = {
        ask({ room: name, count }) {
            for (const room = mine.get(name); room && count; count--) {
                const number = ++last;
                follow(number, room.request("r", number, { timeout }), (answer) => answer / number);
            }
        },
        query({ count }) {
            const conn = world.connection();
            for (; conn && count; count--) {
                const number = ++last;
                asked.set(number, conn.id);
                follow(number, conn.request("root", "q", number, { timeout }), (answer) => answer.json() / number);
            }
        },
        info() {
            info = { n: ++last };
            client.setInfo(info);
        },
        rename: () => other()?.setInfo(++last),
        post({ room, count }) {
            const conn = other();
            conn && (conn.rooms().includes(room) || conn.join(room));
            for (; conn && count; count--) {
                newest.set(room, (newest.get(room) ?? 0) + 1);
                conn.sendToRoom(room, "h", newest.get(room));
            }
        },
        /** Ends the client's session while the client is in a room to which the other client keeps sending. */
        async away({ room, count }) {
            world.join(room);
            steps.post({ room, count: 1 });
            await clock.advance(1_000);
            world.connection()?.cut();
            server.expire();
            steps.post({ room, count });
        }
    };

    return {
        steps,
        start: () => client.root.handle("q", (number) => handle(number, 3)),
        /** Checks the messages in a room that was joined with a history. */
        adopt(room) {
            if (arrived.has(room)) {
                // The room is being observed already: its leave() was undone.
                return;
            }
            const list = [];
            arrived.set(room, list);
            let mayMiss = true;
            // If the server has moved the client out and in, the client has no position in the history, and receives the last
            // messages again.
            let mayRepeat = false;
            room.on("reopen", () => {
                mayRepeat = world.disturbed.has(room.name);
            });
            room.on("history_lost", ({ number }) => {
                // A client that the server had removed may have requested messages from an earlier position.
                assert.ok(world.disturbed.has(room.name) || !(number - list.at(-1) <= MEMORY), `${number} of ${room.name} after ${list.at(-1)} is lost without need`);
                mayMiss = true;
            });
            room.on("h", (payload, from, direct, number) => {
                assert.deepEqual([payload, direct], [number, false]);
                assert.ok(mayRepeat || number > (list.at(-1) ?? 0), `message ${number} of ${room.name} after ${list.at(-1)}`);
                assert.ok(mayMiss || mayRepeat || number === list.at(-1) + 1, `message ${number} of ${room.name} after ${list.at(-1)}: a gap`);
                mayMiss = mayRepeat = false;
                list.push(number);
            });
        },
        isQuiet: () => [...outcomes.values()].every(({ length }) => length) && JSON.stringify(world.connection()?.info) === JSON.stringify(info),
        check() {
            for (const [number, list] of outcomes) {
                const runs = handled.get(number) ?? 0;
                assert.equal(list.length, 1, `request ${number} has ended ${list.length} times`);
                assert.ok(runs <= 1, `request ${number} was handled ${runs} times`);
                const [outcome] = list;
                if (typeof outcome === "number") {
                    assert.deepEqual([outcome > 1, runs], [true, 1], `request ${number}: ${outcome}`);
                } else {
                    const isGentle = world.isGentle && (asked.get(number) ?? client.id) === client.id;
                    const mayBe = outcome === "answer busy" ? world.isLimited : (isGentle ? GENTLE_REASONS : REASONS).includes(outcome);
                    assert.ok(mayBe, `request ${number}: ${outcome}`);
                }
            }
            assert.deepEqual(world.connection().info, info);
            const infos = new Map(server.connections().map((conn) => [conn.id, conn.info]));
            for (const room of client.rooms()) {
                for (const id of room.members()) {
                    assert.deepEqual(room.member(id).info, infos.get(id), `info of ${id} in ${room.name}`);
                }
                if (arrived.has(room)) {
                    assert.equal(arrived.get(room).at(-1), newest.get(room.name), `the last message of ${room.name}`);
                }
            }
        }
    };
}
