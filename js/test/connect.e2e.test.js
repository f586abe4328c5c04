/** Tests of connect() with the real server on both runtimes. They wait for events, never for a fixed time. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { WebSocket as OtherWebSocket } from "ws";

import * as core from "../src/core.js";
import { connect } from "../src/index.js";
import { decode } from "../src/packet.js";
import { createClock } from "../src/testkit/clock.js";
import { PlainSocket } from "./support/client.js";
import { record } from "./support/kit.js";
import { startProxy } from "./support/proxy.js";
import { RUNTIMES, startServerOn } from "./support/server.js";
import { eventually } from "./support/wait.js";

const TIMEOUT = { timeout: 300_000 };
/** Options for fast reconnects. */
const EAGER = { minDelay: 20, maxDelay: 100 };

/** Resolves with the arguments of the source's next matching event. */
function next(source, event, fits = () => true) {
    return new Promise((resolve) => {
        const off = source.on(event, (...args) => {
            if (fits(...args)) {
                off();
                resolve(args);
            }
        });
    });
}

const state = (client, wanted) => (client.state === wanted ? Promise.resolve([wanted]) : next(client, "state", (now) => now === wanted));

/** Connects clients, waits until they see each other in a room, and closes them when the test ends. */
async function inRoom(t, url, name, count, options = {}) {
    const clients = Array.from({ length: count }, () => {
        const client = connect(url, { codec: "json", reconnect: EAGER, ...options });
        t.after(() => client.close());
        return { client, room: client.join(name) };
    });
    await Promise.all(clients.map(({ room }) => room.opened));
    await Promise.all(clients.map(({ room }) => complete(room, count)));
    return clients;
}

/** Resolves when the room has this number of members. */
async function complete(room, count) {
    while (room.memberSet.size < count) {
        await next(room, "new_member");
    }
}

for (const runtime of RUNTIMES) {
    const start = (...flags) => startServerOn(runtime, ...flags);

    describe(`on ${runtime}`, TIMEOUT, () => {
        let server;
        before(async () => (server = await start()));
        after(() => server?.stop());

        test("chat, whispers, members, leave and join", async (t) => {
            const [a, b, c] = await inRoom(t, server.url, "lobby", 3);
            const overheard = record(c.room, "chat");
            const heard = [next(b.room, "chat"), next(b.room, "chat", (payload, from, direct) => direct)];
            a.room.send("chat", { text: "hellö 🚪" });
            a.room.send("chat", "psst", b.client.id);
            // This server's rooms have a history, so its messages have numbers.
            assert.deepEqual(await Promise.all(heard), [[{ text: "hellö 🚪" }, a.client.id, false, 1], ["psst", a.client.id, true]]);

            const left = next(b.room, "member_left");
            const back = next(b.room, "new_member");
            await a.room.leave();
            const again = a.client.join("lobby");
            await again.opened;
            assert.deepEqual([(await left)[0], (await back)[0], a.room.state], [a.client.id, a.client.id, "closed"]);
            assert.deepEqual(again.members().sort(), [a, b, c].map(({ client }) => client.id).sort());
            assert.equal(overheard.length, 1);
        });

        test("messages() yields bytes in for await", async (t) => {
            const [a, b] = await inRoom(t, server.url, "stream", 2, { codec: "bytes" });
            const controller = new AbortController();
            const messages = b.room.messages("data", { signal: controller.signal });
            const sent = [new Uint8Array([0, 255]), new Uint8Array(), new Uint8Array(70_000).fill(7)];
            sent.forEach((bytes) => a.room.send("data", bytes));
            const came = [];
            for await (const { payload, from } of messages) {
                assert.equal(from, a.client.id);
                if (came.push(payload) === sent.length) {
                    controller.abort();
                }
            }
            assert.deepEqual(came, sent);
        });

        test("an abort closes the connection, and members are notified", async (t) => {
            const controller = new AbortController();
            const [a] = await inRoom(t, server.url, "abort", 1);
            const came = next(a.room, "new_member");
            const b = connect(server.url, { signal: controller.signal });
            b.join("abort");
            await came;
            const left = next(a.room, "member_left");
            controller.abort();
            await left;
            assert.equal(b.state, "closed");
        });

        for (const [protocol, Base, answer] of [["plain", PlainSocket, "\0probe leave_ack"], ["extended", globalThis.WebSocket, "root roomer:ack"]]) {
            test(`keep-alive probes are answered repeatedly: ${protocol}`, async (t) => {
                let answers = 0;
                let enough;
                const done = new Promise((resolve) => (enough = resolve));
                class Counting extends Base {
                    constructor(url) {
                        super(url);
                        this.addEventListener("message", ({ data }) => {
                            const { room, event } = decode(data);
                            if (`${room} ${event}` === answer && ++answers === 3) {
                                enough();
                            }
                        });
                    }
                }
                const [{ client }] = await inRoom(t, server.url, "probed", 1, { WebSocket: Counting, heartbeat: 20 });
                const log = record(client, "state", "error", "room");
                await done;
                assert.deepEqual(log, []);
            });
        }

        test("a stalled network is detected, and a plain client reconnects", async (t) => {
            const proxy = await startProxy(new URL(server.url).port);
            t.after(() => proxy.close());
            const url = `ws://127.0.0.1:${proxy.port}/ws`;
            // The client's clock advances only while the network is stalled, so a busy machine cannot cause a timeout.
            const clock = createClock();
            const [{ client, room }] = await inRoom(t, url, "stalled", 1, { clock, WebSocket: PlainSocket });
            const log = record(room, "open", "reopen", "close");
            const { id } = client;
            proxy.stall();
            const suspended = state(client, "suspended");
            await clock.advance(60_000);
            const [, error] = await suspended;
            assert.equal(error.code, "timeout");
            assert.equal(room.send("chat", "waits"), "queued");
            const [b] = await inRoom(t, server.url, "stalled", 1);
            const heard = next(b.room, "chat");
            const reopened = next(room, "reopen");
            proxy.resume();
            await clock.advance(EAGER.maxDelay);
            await reopened;
            assert.equal((await heard)[0], "waits");
            assert.deepEqual(log, [["reopen", id]]);
        });

        test("a lost plain connection is reestablished", async (t) => {
            const proxy = await startProxy(new URL(server.url).port);
            t.after(() => proxy.close());
            const [{ client, room }] = await inRoom(t, `ws://127.0.0.1:${proxy.port}/ws`, "cut", 1, { WebSocket: PlainSocket });
            const { id } = client;
            for (let n = 0; n < 3; n++) {
                const reopened = next(room, "reopen");
                proxy.cut();
                await reopened;
            }
            assert.notEqual(client.id, id);
            assert.ok(room.memberSet.has(client.id));
        });

        test("WebSocket classes of packages work, including their failures", async (t) => {
            const proxy = await startProxy(new URL(server.url).port);
            t.after(() => proxy.close());
            const [a, b] = await inRoom(t, `ws://127.0.0.1:${proxy.port}/ws`, "injected", 2, { WebSocket: OtherWebSocket });
            const heard = next(b.room, "chat");
            a.room.send("chat", { x: 1 });
            assert.deepEqual((await heard)[0], { x: 1 });
            const resumed = [next(a.client, "resumed"), next(b.client, "resumed")];
            proxy.cut();
            await Promise.all(resumed);
            const late = connect(server.url, { WebSocket: OtherWebSocket });
            late.close();
            const nobody = connect("ws://127.0.0.1:1/ws", { WebSocket: OtherWebSocket, reconnect: { ...EAGER, retries: 2 } });
            assert.equal((await state(nobody, "closed"))[1].code, "gave_up");
        });
    });

    describe(`on ${runtime}, when the server restarts`, TIMEOUT, () => {
        for (const [how, code] of [["kill", 1006], ["stop", 1001]]) {
            test(`${how}: all clients rejoin all their rooms, and send their queued messages`, async (t) => {
                let server = await start();
                t.after(() => server?.stop());
                const { port } = new URL(server.url);
                // When a server stops, clients with sessions spread their reconnects over ten seconds.
                const clients = await inRoom(t, server.url, "lobby", 20, { WebSocket: how === "stop" ? PlainSocket : globalThis.WebSocket });
                const others = clients.map(({ client }) => client.join("other"));
                await Promise.all(others.map((room) => room.opened));
                const logs = clients.map(({ room }) => record(room, "open", "reopen", "close"));
                const heard = clients.map(({ room }) => record(room, "chat"));

                const suspended = clients.map(({ client }) => state(client, "suspended"));
                await server[how]();
                server = undefined;
                for (const [, error] of await Promise.all(suspended)) {
                    assert.deepEqual([error.code, error.closeCode], ["lost", code]);
                }
                assert.ok(clients.every(({ room }) => room.state === "joining"));
                // A server that is killed cannot announce that members leave.
                assert.ok(how === "stop" || clients.every(({ room }) => room.memberSet.size === 20));
                assert.equal(clients[0].room.send("chat", "meanwhile"), "queued");

                const reopened = [...clients.map(({ room }) => room), ...others].map((room) => next(room, "reopen"));
                server = await start("--listen", `127.0.0.1:${port}`);
                await Promise.all(reopened);
                const ids = clients.map(({ client }) => client.id);
                for (const { room } of clients) {
                    // Announcements of later joins and earlier leaves may still be arriving.
                    await eventually("all members", () => room.memberSet.size === 20 && ids.every((id) => room.memberSet.has(id)));
                }
                assert.ok(logs.every((log) => log.length === 1 && log[0][0] === "reopen"));

                const after = clients.slice(1).map(({ room }) => next(room, "chat", (payload) => payload === "after"));
                clients[0].room.send("chat", "after");
                await Promise.all(after);
                assert.ok(heard.every((log) => log.filter(([, payload]) => payload === "meanwhile").length <= 1), "at most once each");
            });
        }
    });

    describe(`on ${runtime}, a server that refuses`, TIMEOUT, () => {
        test("a missing server is retried up to the limit", async () => {
            const server = await start();
            await server.stop();
            const client = connect(server.url, { reconnect: { ...EAGER, retries: 3 } });
            const log = record(client, "state");
            await state(client, "closed");
            assert.deepEqual(log.map(([, now]) => now), [...Array.from({ length: 3 }, () => ["suspended", "connecting"]).flat(), "closed"]);
            await assert.rejects(client.root.opened, { code: "gave_up" });
        });

        test("a wrong token is rejected, and a fresh one from a function accepted", async (t) => {
            const server = await start("--auth-token", "s3cret&more");
            t.after(() => server.stop());
            const tokens = ["old", "s3cret&more"];
            const client = connect(server.url, { token: async () => tokens.shift(), reconnect: EAGER });
            t.after(() => client.close());
            const log = record(client, "state");
            await client.root.opened;
            assert.deepEqual(log.map(([, now, error]) => [now, error?.code]), [["suspended", "lost"], ["connecting", undefined], ["open", undefined]]);
        });

        test("an oversized message closes with 1009, and the client reconnects", async (t) => {
            const server = await start("--max-message", "1000");
            t.after(() => server.stop());
            // A client with a session knows the limit, and would not send a message above it.
            const client = core.connect(server.url, { reconnect: { minDelay: 5 } });
            t.after(() => client.close());
            const room = await client.join("big").opened;
            const lost = next(client, "state");
            const reopened = next(room, "reopen");
            room.send("chat", "x".repeat(2_000));
            const [, error] = await lost;
            await reopened;
            // The server stops reading in the middle of the message, so its close frame may be lost to a TCP reset.
            assert.ok([1009, 1006].includes(error.closeCode), error.message);
        });

        test("a failing handler closes with 1011, and the client reconnects", async (t) => {
            const server = await start("--panic-event");
            t.after(() => server.stop());
            const [{ client, room }] = await inRoom(t, server.url, "panic", 1);
            const lost = next(client, "state");
            const reopened = next(room, "reopen");
            room.send("panic");
            assert.equal((await lost)[1].closeCode, 1011);
            await reopened;
        });

        test("a join above the room limit closes only that room", async (t) => {
            const server = await start();
            t.after(() => server.stop());
            const [{ client }] = await inRoom(t, server.url, "first", 1);
            const rooms = Array.from({ length: 1_100 }, (_, n) => client.join(`room ${n}`));
            await assert.rejects(rooms.at(-1).opened, { code: "refused" });
            assert.equal(rooms[0].state, "open");
        });
    });
}
