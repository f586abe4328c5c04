/** Plans: sequences of actions by an application, a server and a network on one client, in virtual time.
 *
 * Since plans are data, a failing one can be shrunk and printed as a test.
 */

import assert from "node:assert/strict";

import { connect } from "../../src/index.js";
import { createClock, createServer } from "../../src/testkit/index.js";
import { decode, encode, toBytes, toText } from "../../src/packet.js";
import { PADDED, microtasks } from "./kit.js";
import { BYTE_RATES, EXTENDED_STEPS, LAST, MEMORY, addCrowd, createExtras, range } from "./plan-extended.js";

const ROOMS = ["a", "b"];
const WAITS = [0, 1, 5, 20, 60, 300, 1_000, 2_500, 12_000, 45_000];
const CLOSES = [[1001, "server is going away"], [1008, "rate"], [1008, "no sign of life"], [1008, "login expired"], [1013, "no sign of life"], [1013, "too slow"], [1009, ""], [1011, "handler failed"], [1012, ""]];

/** Returns a source of pseudorandom numbers, the same in each run: below(n) returns a number from 0 to n - 1. */
export function createChance(seed) {
    let state = seed;
    return (below) => {
        state = (state + 0x6d2b79f5) | 0;
        let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
        mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
        return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
    };
}

/** The steps of all plans. A name with a number repeats a step, to make it more likely. */
const STEPS = {
    join: (pick) => ({ room: pick(ROOMS) }),
    join2: (pick) => ({ room: pick(ROOMS) }),
    leave: (pick) => ({ room: pick(ROOMS) }),
    leave2: (pick) => ({ room: pick(ROOMS) }),
    again: (pick) => ({ room: pick(ROOMS), turns: pick([0, 1]) }),
    send: (pick) => ({ room: pick(ROOMS), count: pick([1, 1, 2, 5, 30]) }),
    send2: (pick) => ({ room: pick(ROOMS), count: pick([1, 3]) }),
    kick: (pick) => ({ room: pick(ROOMS) }),
    put: (pick) => ({ room: pick(ROOMS) }),
    move: (pick) => ({ room: pick(ROOMS), to: pick(ROOMS) }),
    other: (pick) => ({ room: pick(ROOMS), event: pick(["join", "leave"]) }),
    forbid: (pick) => ({ room: pick(ROOMS), isForbidden: pick([true, false]) }),
    cut: () => ({}),
    close: (pick) => ({ code: pick(CLOSES) }),
    stop: () => ({}),
    start: () => ({}),
    stall: () => ({}),
    resume: () => ({}),
    sleep: (pick) => ({ time: pick([200, 15_000, 70_000]) }),
    wait: (pick) => ({ time: pick(WAITS) }),
    wait2: (pick) => ({ time: pick(WAITS.slice(0, 5)) }),
    wait3: (pick) => ({ time: pick(WAITS) }),
    turn: () => ({})
};

/** Further steps for plans with a server that supports sessions. */
const SESSION_STEPS = {
    ...STEPS,
    ...EXTENDED_STEPS,
    cut2: () => ({}),
    cut3: () => ({}),
    hang: () => ({}),
    expire: () => ({}),
    say: (pick) => ({ count: pick([1, 3, 70]) }),
    say2: (pick) => ({ count: pick([1, 3]) }),
    say3: () => ({ count: 1 }),
    admit: (pick) => ({ isAdmitted: pick([true, false]) })
};
/** Matches the steps after which the client always resumes its session. */
const GENTLE = /^(join|leave|again|send|put|other|cut|hang|say|ask|query|info|rename|post|wait|turn|crowd)\d?$/;

/** Returns the plan for a seed: with a plain server for odd seeds, and a server with sessions for even ones. */
export const draw = (seed) => addCrowd(drawSteps(seed), createChance(2 ** 30 + seed));

function drawSteps(seed) {
    const plain = seed % 2 === 1;
    const below = createChance(plain ? (seed + 1) / 2 : -seed);
    const pick = (list) => list[below(list.length)];
    const names = Object.keys(plain ? STEPS : SESSION_STEPS);
    const isGentle = !plain && below(3) === 0;
    const kinds = isGentle ? names.filter((name) => GENTLE.test(name)) : below(3) ? names : names.filter((name) => !/kick|put|move|forbid/.test(name));
    const steps = Array.from({ length: 3 + below(14) }, () => {
        const name = pick(kinds);
        return { do: name.replace(/\d/, ""), ...SESSION_STEPS[name](pick, ROOMS) };
    });
    const pickUnlessGentle = (list) => (isGentle ? undefined : pick(list));
    return {
        plain,
        latency: pick([0, 1, 10, 40]),
        messageRate: pickUnlessGentle([undefined, undefined, undefined, { perSecond: 10 }]),
        joinRate: plain ? pick([undefined, undefined, undefined, { perSecond: 2, burst: 2 }]) : undefined,
        queue: pick([undefined, undefined, { messages: 4 }, ...(plain ? [] : [{ bytes: 60 }])]),
        resumeWindow: plain ? undefined : pickUnlessGentle([undefined, undefined, 2_000, 0]),
        resumeBuffer: plain ? undefined : pickUnlessGentle([undefined, undefined, 400]),
        byteRate: pickUnlessGentle(BYTE_RATES),
        steps
    };
}

/** Runs a plan. Throws if the client breaks a guarantee. */
export async function run({ plain = true, latency, messageRate, byteRate, joinRate, queue, resumeWindow, resumeBuffer, steps }) {
    const clock = createClock({ settle: microtasks });
    const isGentle = !plain && !messageRate && !byteRate && resumeWindow === undefined && resumeBuffer === undefined && steps.every((step) => GENTLE.test(step.do));
    const removes = steps.some((step) => ["kick", "move"].includes(step.do));
    const server = createServer({ plain, latency, clock, messageRate, byteRate, maxMessage: byteRate?.burst, joinRate, resumeWindow, resumeBuffer, history: plain ? 0 : MEMORY, violationRate: { perSecond: 0, burst: 0 } });
    const forbidden = new Set();
    server.allow({ setInfo: () => true, connect: (url, token) => token === "other" || world.isAdmitted, join: (conn, room) => conn.token === "other" || !forbidden.has(room) });
    const delivered = [];
    server.handle("m", (conn, message) => delivered.push([message.room, Number(message.text())]));

    const sessions = () => server.connections().filter(({ token }) => token !== "other");
    const world = { clock, server, forbidden, isAdmitted: true, isGentle, isLimited: !!(messageRate || byteRate), sessions, connection: () => sessions().at(-1), gone: new Set(), hung: new Set() };
    const other = new server.options.WebSocket("ws://test/ws?token=other");
    // An observer in `root`, which contains every client once: a client that resumes its session must not appear to leave.
    other.binaryType = "arraybuffer";
    other.onmessage = ({ data }) => {
        const { room, event, payload } = decode(data);
        event === "member_left" && room === "root" && world.gone.add(toText(payload));
    };
    world.other = (room, event) => other.readyState === 1 && other.send(encode(room, event, "", "", toBytes("")));

    // A token function can provide another token after a login has expired.
    const client = connect("ws://test/ws", { ...server.options, codec: byteRate ? PADDED : "json", token: async () => "client", ...(queue && { queue }) });
    const app = createApp(client, world, plain);
    for (const step of steps) {
        await app.steps[step.do](step);
    }
    // End all faults, and wait until everything in flight has arrived.
    server.resume();
    server.start();
    world.isAdmitted = true;
    world.hung.forEach((conn) => conn.cut());
    let rounds = 0;
    do {
        await clock.advance(10_000);
    } while (!app.isQuiet(delivered) && ++rounds < 40);
    // End the sessions whose start the client never received.
    server.expire();
    await clock.advance(100);
    app.check(delivered);
    // If the plan contains no removals, the client must never send to a room that it is not in.
    removes || assert.deepEqual(server.rejected().filter(({ message }) => message === "not a member of the room"), []);
    client.close();
    await clock.advance(1_000);
    app.checkClosed();
}

/** Creates an application that records its calls and the events that it receives. */
function createApp(client, world, plain) {
    const { clock, server, forbidden, connection, other } = world;
    /** The rooms that the application is in according to its own calls and events, by name. */
    const mine = new Map();
    const sent = new Map();
    const lost = new Map();
    const errors = [];
    const states = [];
    /** The ids that the client has had. */
    const ids = new Set();
    /** The messages that the server has sent to the client, by the client's id. */
    const said = new Map();
    /** The messages from the server that have arrived, by the client's id. */
    const heard = new Map();
    /** The rooms from which the server may remove the client. */
    const disturbed = new Set();
    /** The rooms into which the server may move the client. */
    const offered = new Set();
    const extras = createExtras(client, { ...world, disturbed, join: (name) => join(name) }, mine);
    extras.start();
    let leaves = 0;
    let lastNumber = 0;

    function adopt(room) {
        if (mine.get(room.name) !== room) {
            assert.ok(!mine.has(room.name), `two rooms "${room.name}" at a time`);
            mine.set(room.name, room);
            let opened = room.state === "open";
            room.on("reopen", () => assert.ok(!world.isGentle, "reopened in the same session"));
            room.on("open", () => {
                assert.ok(!opened, "open twice");
                opened = true;
            });
            room.on("close", (error) => {
                if (mine.get(room.name) === room) {
                    mine.delete(room.name);
                    assert.ok(error, `room "${room.name}" closed, though no user has left it`);
                    assert.ok(error.code === "closed" || disturbed.has(room.name), `room "${room.name}" closed (${error.code}), though the server has not closed it`);
                }
            });
        }
        return room;
    }

    // Returns true for errors that must be expected: a rejected join, a message to a room that the client was removed from, or a
    // packet above the rate limit.
    const isDue = ({ code, kind, room }) => code === "rejected" && (kind === "busy" ? world.isLimited : disturbed.has(room));
    client.on("error", (error) => isDue(error) || errors.push(error.cause ?? error));
    client.on("room", (room) => {
        assert.ok(offered.has(room.name), `room "${room.name}" told as new, though the server has moved no client into it`);
        adopt(room);
    });
    const hear = (number) => heard.set(client.id, [...(heard.get(client.id) ?? []), number]);
    client.on("direct", ({ payload }) => hear(payload));
    client.on("resumed", (time) => assert.ok(ids.has(client.id) && time >= 0, "another session resumed"));
    client.on("state", (state) => {
        states.push(state);
        client.id && ids.add(client.id);
    });
    client.on("lost", ({ payload, reason }) => {
        assert.ok(["sent", "queued"].includes(sent.get(payload)?.result), "lost, but never taken");
        assert.ok(!lost.has(payload), "lost twice");
        lost.set(payload, reason);
    });

    /** Joins a room with a history. Checks the room's messages unless the server may also move the client into the room. */
    const join = (name) => {
        if (client.state !== "closed") {
            const room = client.join(name, { history: LAST });
            mine.get(name) === room || plain || offered.has(name) || extras.adopt(room);
            adopt(room);
        }
    };

    /** Undoes a join(). */
    function leave(name) {
        const room = mine.get(name);
        if (!room) {
            return;
        }
        leaves++;
        room.leave().then(() => leaves--);
        if (room.state === "leaving" || room.state === "closed") {
            mine.delete(name);
        }
    }

    const steps = {
        join: ({ room }) => join(room),
        leave: ({ room }) => leave(room),
        async again({ room, turns }) {
            leave(room);
            for (; turns; turns--) {
                await null;
            }
            join(room);
        },
        send({ room: name, count }) {
            const room = mine.get(name);
            for (; room && count; count--) {
                const payload = ++lastNumber;
                // Set this first, since the client may emit "lost" before send() returns.
                sent.set(payload, { room: name, result: "queued" });
                sent.set(payload, { room: name, result: room.send("m", payload) });
            }
        },
        kick({ room }) {
            disturbed.add(room);
            connection()?.kick(room);
        },
        put({ room }) {
            offered.add(room);
            connection()?.join(room);
        },
        move({ room, to }) {
            disturbed.add(room);
            offered.add(to);
            connection()?.move(room, to);
        },
        other: ({ room, event }) => other(room, event),
        forbid({ room, isForbidden }) {
            disturbed.add(room);
            forbidden[isForbidden ? "add" : "delete"](room);
        },
        cut: () => connection()?.cut(),
        hang() {
            const conn = connection();
            conn?.hang();
            conn && world.hung.add(conn);
        },
        expire: () => server.expire(),
        admit: ({ isAdmitted }) => (world.isAdmitted = isAdmitted),
        say({ count }) {
            for (; count; count--) {
                const number = ++lastNumber;
                for (const conn of world.sessions()) {
                    said.set(conn.id, [...(said.get(conn.id) ?? []), number]);
                    // Use a room that the client never joins: no acknowledgement can delay messages in it.
                    conn.send("c", "n", number);
                }
            }
        },
        close: ({ code }) => connection()?.close(...code),
        stop: () => server.stop(),
        start: () => server.start(),
        stall: () => server.stall(),
        resume: () => server.resume(),
        sleep: ({ time }) => server.sleep(time),
        wait: ({ time }) => clock.advance(time),
        turn: () => null,
        crowd: ({ event, count, ...step }) => range(count).forEach((n) => steps[event]({ ...step, room: `c${n}` })),
        ...extras.steps
    };

    /** Returns true if no data is in flight, as far as the application can tell. */
    function isQuiet(delivered) {
        const arrived = new Set(delivered.map(([, number]) => number));
        const isTold = ([number, { result }]) => result === "dropped" || arrived.has(number) || lost.has(number);
        return extras.isQuiet() && client.state === "open" && client.id === connection()?.id && !leaves && client.rooms().every(({ state }) => state === "open") && [...sent].every(isTold);
    }

    /** Compares the client's state with the application's calls and with the server. Requires that no data is in flight. */
    function check(delivered) {
        assert.deepEqual(errors, []);
        assert.equal(client.state, "open");
        assert.equal(leaves, 0, "a leave() that never ends");
        const open = client.rooms().map((room) => [room.name, room.state, room.id, [...room.members()].sort()]);
        const truth = connection().rooms().map((name) => [name, "open", connection().id, server.members(name).sort()]);
        assert.deepEqual(open.sort(), truth.sort());
        assert.deepEqual([...mine.keys()].sort(), client.rooms().map(({ name }) => name).filter((name) => name !== "root").sort(), "rooms that the application knows of");
        ids.add(client.id);
        for (const id of ids) {
            const [got, all] = [heard.get(id) ?? [], said.get(id) ?? []];
            assert.deepEqual(got, id === client.id ? all : all.slice(0, got.length), "messages to the client");
        }
        extras.check();
        assert.ok(!world.gone.has(client.id), "an observer has seen the client leave");
        if (world.isGentle) {
            assert.equal(ids.size, 1, "a new session without need");
            assert.deepEqual([...lost].filter(([, reason]) => reason === "unconfirmed"), [], "lost in a session");
        }
        const last = new Map();
        const seen = new Set();
        for (const [room, number] of delivered) {
            assert.ok(!seen.has(number), `message ${number} is doubled`);
            seen.add(number);
            assert.equal(sent.get(number).room, room);
            assert.ok(number > (last.get(room) ?? 0), `message ${number} has overtaken another`);
            last.set(room, number);
        }
        for (const [number, { result }] of sent) {
            const expected = seen.has(number) ? ["unconfirmed", undefined] : ["unconfirmed", "unsent"];
            if (result === "dropped") {
                assert.ok(!seen.has(number) && !lost.has(number), `message ${number} was refused`);
            } else {
                assert.ok(expected.includes(lost.get(number)), `message ${number} (${result}) ${seen.has(number) ? "arrived" : "did not arrive"}, told: ${lost.get(number)}`);
            }
        }
    }

    function checkClosed() {
        assert.deepEqual([client.state, client.rooms(), connection(), clock.pending()], ["closed", [], undefined, 0]);
    }

    return { steps, isQuiet, check, checkClosed };
}

/** Returns the error with which a plan fails; undefined if it does not fail. */
async function failure(plan) {
    try {
        await run(plan);
    } catch (error) {
        return error;
    }
}

/** Removes from a failing plan all steps without which it still fails. */
export async function shrink(plan) {
    let smallest = plan;
    const tryOne = async (smaller) => {
        const fails = await failure(smaller);
        smallest = fails ? smaller : smallest;
        return fails;
    };
    for (let goes = true; goes; ) {
        goes = false;
        for (let n = smallest.steps.length; n--; ) {
            goes = !!(await tryOne({ ...smallest, steps: smallest.steps.toSpliced(n, 1) })) || goes;
        }
    }
    for (const option of ["messageRate", "byteRate", "joinRate", "queue", "resumeWindow", "resumeBuffer"]) {
        smallest[option] && (await tryOne({ ...smallest, [option]: undefined }));
    }
    return smallest;
}

/** Runs the plans for these seeds. The first failing plan is shrunk and printed as a test. */
export async function runSeeds(first, count) {
    for (let seed = first; seed < first + count; seed++) {
        const plan = draw(seed);
        if (await failure(plan)) {
            Error.stackTraceLimit = 10;
            const smallest = await shrink(plan);
            const { message } = await failure(smallest);
            const steps = smallest.steps.map((step) => `        ${JSON.stringify(step)}`).join(",\n");
            const { steps: _, ...settings } = smallest;
            const shown = JSON.stringify(settings).slice(1, -1);
            throw new Error(`seed ${seed}: ${message}\n\ntest("seed ${seed}", () => run({\n    ${shown},\n    "steps": [\n${steps}\n    ]\n}));`);
        }
    }
}
