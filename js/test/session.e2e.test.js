/** Tests of sessions with real servers, over a network that cuts, stalls, loses or half-closes connections. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { WebSocket as OtherWebSocket } from "ws";

import { connect } from "../src/index.js";
import { record } from "./support/kit.js";
import { startProxy } from "./support/proxy.js";
import { RUNTIMES, startServerOn } from "./support/server.js";
import { eventually } from "./support/wait.js";

const EAGER = { minDelay: 10, maxDelay: 100 };
const numbers = (count) => Array.from({ length: count }, (_, n) => n);

/** Network faults, applied while messages are sent in both directions. */
const FAULTS = {
    "cuts, one after the other": async (proxy, client) => {
        for (let n = 0; n < 5; n++) {
            const resumed = next(client, "resumed");
            proxy.cut();
            await resumed;
        }
    },
    "no connection for a while": async (proxy, client) => {
        proxy.drop();
        await eventually("three attempts", () => client.attempts > 3);
        const resumed = next(client, "resumed");
        proxy.resume();
        await resumed;
    },
    "a socket that is open but dead": async (proxy, client) => {
        const resumed = next(client, "resumed");
        proxy.abandon();
        await resumed;
    },
    "a network that stalls": async (proxy, client) => {
        // The next state may be a different one if the client is already reconnecting on a busy machine.
        const suspended = new Promise((resolve) => client.on("state", (state) => state === "suspended" && resolve()));
        proxy.stall();
        await suspended;
        const resumed = next(client, "resumed");
        proxy.resume();
        await resumed;
    },
    "an end of the stream in one direction": async (proxy, client) => {
        const resumed = next(client, "resumed");
        proxy.halfClose();
        await resumed;
    }
};

const next = (source, event) => new Promise((resolve) => source.on(event, (...args) => resolve(args), { once: true }));

for (const runtime of RUNTIMES) {
    describe(`on ${runtime}`, { timeout: 300_000 }, () => {
        /** Connects one client through a proxy, and another client to the same room directly. */
        async function setUp(t, options) {
            const server = await startServerOn(runtime);
            t.after(() => server.stop());
            const proxy = await startProxy(new URL(server.url).port);
            t.after(() => proxy.close());
            const urls = [`ws://127.0.0.1:${proxy.port}/ws`, server.url];
            const [near, far] = urls.map((url) => {
                const client = connect(url, { codec: "json", reconnect: EAGER, heartbeat: 50, timeout: 400, ...options });
                t.after(() => client.close());
                return client;
            });
            const rooms = [near, far].map((client) => client.join("lobby"));
            await Promise.all(rooms.map(({ opened }) => opened));
            await eventually("both are in the room", () => rooms.every(({ memberSet }) => memberSet.size === 2));
            return { server, proxy, near, far, rooms };
        }

        for (const [name, happen] of Object.entries(FAULTS)) {
            for (const WebSocket of name.startsWith("cuts") ? [globalThis.WebSocket, OtherWebSocket] : [globalThis.WebSocket]) {
                test(`${name}: 200 messages each way arrive in order, once, and no member leaves`, async (t) => {
                    const { proxy, near, far, rooms: [room, other] } = await setUp(t, { WebSocket });
                    const { id } = near;
                    const unwanted = [record(near, "lost", "overflow", "error"), record(room, "reopen", "member_left", "new_member"), record(other, "member_left", "new_member")];
                    const came = [room, other].map((each) => {
                        const list = [];
                        each.on("n", (n) => void list.push(n));
                        return list;
                    });
                    let attempts = 0;
                    near.on("state", (state) => (attempts += state === "connecting" ? 1 : 0));
                    let sent = 0;
                    const timer = setInterval(() => {
                        for (let n = 0; n < 4 && sent < 200; n++, sent++) {
                            room.send("n", sent);
                            other.send("n", sent);
                        }
                    }, 5);
                    t.after(() => clearInterval(timer));
                    await eventually("some are sent", () => sent > 20);
                    await happen(proxy, { on: near.on, get attempts() { return attempts; } });
                    await eventually("all have arrived", () => came.every(({ length }) => length >= 200));
                    assert.equal(await room.sent, true);
                    assert.deepEqual(came, [numbers(200), numbers(200)]);
                    assert.deepEqual([near.id, ...unwanted], [id, [], [], []]);
                });
            }
        }

        test("a closing client leaves immediately", async (t) => {
            const { near, far, rooms: [room, other] } = await setUp(t);
            const left = next(other, "member_left");
            const { id } = near;
            near.close();
            assert.equal((await left)[0], id);
            assert.deepEqual([room.state, far.state], ["closed", "open"]);
        });

        test("a client may await each message and leave many rooms at once", async (t) => {
            const { near, rooms: [room] } = await setUp(t, { heartbeat: 30_000, timeout: 20_000 });
            const unwanted = record(near, "state", "lost", "error");
            for (let n = 0; n < 150; n++) {
                room.send("n", n);
                assert.equal(await room.sent, true);
            }
            const many = numbers(150).map((n) => near.join(`room ${n}`));
            await Promise.all(many.map(({ opened }) => opened));
            await Promise.all(many.map((each) => each.leave()));
            assert.deepEqual(unwanted, []);
        });

        test("a stopping server sends a reconnect hint", async (t) => {
            const server = await startServerOn(runtime);
            const delays = [];
            const clock = {
                now: () => performance.now(),
                // The server's reconnect delay is up to ten seconds. Record it, but wait at most 20 ms.
                setTimeout: (action, delay) => (delays.push(delay), setTimeout(action, Math.min(delay, 20))),
                clearTimeout: (timer) => clearTimeout(timer)
            };
            const client = connect(server.url, { clock, heartbeat: false, reconnect: { retries: 1 } });
            t.after(() => client.close());
            await client.root.opened;
            const suspended = next(client, "state");
            await server.stop();
            const [state, { closeCode, reason }] = await suspended;
            assert.deepEqual([state, closeCode], ["suspended", 1012]);
            assert.ok(delays.includes(Number(/^retry=(\d+)$/.exec(reason)[1])), reason);
        });
    });
}
