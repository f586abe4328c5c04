/** Tests of reconnecting to real servers that reject clients, limit their rates, or read tokens from the subprotocols. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { WebSocket as OtherWebSocket } from "ws";

import { connect } from "../src/index.js";
import { record } from "./support/kit.js";
import { startProxy } from "./support/proxy.js";
import { RUNTIMES, startServerOn } from "./support/server.js";

const TIMEOUT = { timeout: 300_000 };
const EAGER = { minDelay: 10, maxDelay: 200 };
const times = (count, action) => Array.from({ length: count }, (_, n) => action(n));

/** Connects a client that is closed when the test ends. */
function enter(t, url, options) {
    const client = connect(url, { codec: "json", reconnect: EAGER, ...options });
    t.after(() => client.close());
    return client;
}

/** Resolves once the source has emitted the event with arguments that satisfy `isDone`. */
const until = (source, event, isDone) => new Promise((resolve) => {
    const off = source.on(event, (...args) => {
        if (isDone(...args)) {
            off();
            resolve();
        }
    });
});

for (const runtime of RUNTIMES) {
    describe(`on ${runtime}`, TIMEOUT, () => {
        /** Starts a server that stops when the test ends. */
        async function start(t, ...flags) {
            const server = await startServerOn(runtime, ...flags);
            t.after(() => server.stop());
            return server;
        }

        test("a refused room loses only its own 300 messages", async (t) => {
            const server = await start(t, "--max-rooms", "2");
            const client = enter(t, server.url);
            const [lobby, late] = [client.join("lobby"), client.join("late")];
            const lost = record(client, "lost");
            times(300, (n) => late.send("chat", n));
            await assert.rejects(late.opened, { code: "refused" });
            assert.deepEqual(lost.map(([, { room, reason }]) => [room, reason]), times(300, () => ["late", "unsent"]));
            await lobby.opened;
            const heard = until(lobby, "echo", () => true);
            lobby.send("echo", 1, client.id);
            await heard;
            assert.equal(client.state, "open");
        });

        test("100 queued messages at ten per second arrive or are reported in order", async (t) => {
            const server = await start(t, "--message-rate", "10");
            const hearer = enter(t, server.url);
            const hall = hearer.join("hall");
            await hall.opened;
            const heard = [];
            const client = enter(t, server.url);
            const lost = record(client, "lost");
            const room = client.join("hall");
            const all = new Promise((resolve) => {
                const look = () => heard.length + lost.length >= 100 && new Set([...heard, ...lost.map(([, { payload }]) => payload)]).size === 100 && resolve();
                hall.on("chat", (n) => (heard.push(n), look()));
                client.on("lost", look);
            });
            assert.deepEqual(new Set(times(100, (n) => room.send("chat", n))), new Set(["queued"]));
            await all;
            assert.deepEqual(heard, [...new Set(heard)].sort((a, b) => a - b));
            assert.ok(lost.every(([, { reason }]) => reason === "unconfirmed"));
        });

        test("100 queued messages of 3 KB exceed a rate of bytes once, and then arrive more slowly", async (t) => {
            // The burst is 96,000 bytes. After the first close, the client sends eight messages per second.
            const server = await start(t, "--max-message", "4096", "--byte-rate", "24000");
            const hearer = enter(t, server.url);
            const hall = hearer.join("hall");
            await hall.opened;
            const client = enter(t, server.url);
            const states = record(client, "state");
            const room = client.join("hall");
            const [heard, lost] = [[], []];
            const all = new Promise((resolve) => {
                const look = () => new Set([...heard, ...lost.map(([n]) => n)]).size === 100 && resolve();
                hall.on("chat", ([n]) => (heard.push(n), look()));
                client.on("lost", ({ payload: [n], reason }) => (lost.push([n, reason]), look()));
            });
            assert.deepEqual(new Set(times(100, (n) => room.send("chat", [n, "x".repeat(2_950)]))), new Set(["queued"]));
            await all;
            assert.deepEqual(heard, [...new Set(heard)].sort((a, b) => a - b));
            assert.deepEqual(lost.filter(([, reason]) => reason !== "unconfirmed"), []);
            assert.deepEqual(states.map(([, state, error]) => [state, error?.reason]), [["open", undefined], ["suspended", "rate"], ["connecting", undefined], ["open", undefined]]);
            assert.deepEqual([client.state, room.state], ["open", "open"]);
        });

        test("60 rooms open within a rate of joins, though the connection breaks in between", async (t) => {
            const server = await start(t, "--join-rate", "8");
            const proxy = await startProxy(Number(new URL(server.url).port));
            t.after(() => proxy.close());
            const client = enter(t, `ws://127.0.0.1:${proxy.port}/ws`);
            const states = record(client, "state");
            const tooFast = until(client, "state", (state, error) => error?.reason === "rate");
            const rooms = times(60, (n) => client.join(`room ${n}`));
            const open = () => rooms.filter(({ state }) => state === "open").length;
            const opened = (count) => new Promise((resolve) => {
                const look = () => open() >= count && resolve();
                rooms.forEach((room) => ["open", "reopen"].forEach((event) => room.on(event, look)));
                look();
            });
            await tooFast;
            await opened(20);
            const { id } = client;
            const resumed = until(client, "resumed", () => true);
            proxy.cut();
            await resumed;
            assert.ok(open() < 60);
            await opened(60);
            assert.deepEqual([client.state, client.id], ["open", id]);
            const ends = states.filter(([, , error]) => error).map(([, state, error]) => [state, error.closeCode, error.reason]);
            assert.deepEqual(ends, [["suspended", 1008, "rate"], ["suspended", 1006, ""]]);
        });

        test("a subprotocol token is checked with either WebSocket class", async (t) => {
            const server = await start(t, "--auth-token", "s3cret ÿ~?>");
            for (const WebSocket of [globalThis.WebSocket, OtherWebSocket]) {
                const tokens = ["wrong", "s3cret ÿ~?>"];
                const client = enter(t, server.url, { WebSocket, tokenIn: "protocol", token: () => tokens.shift() });
                const log = record(client, "state");
                await client.root.opened;
                assert.deepEqual(log.map(([, state, error]) => [state, error?.code]), [["suspended", "lost"], ["connecting", undefined], ["open", undefined]]);
            }
        });

        test("repeated leave and join ends in the room", async (t) => {
            const server = await start(t);
            const client = enter(t, server.url);
            const log = record(client, "room", "error", "lost");
            let room = client.join("lobby");
            for (let n = 0; n < 50; n++) {
                room.leave();
                n % 3 && (await null);
                room = client.join("lobby");
            }
            await room.opened;
            const other = enter(t, server.url);
            const seen = other.join("lobby");
            await seen.opened;
            assert.deepEqual([seen.memberSet.has(client.id), seen.memberSet.size, log], [true, 2, []]);
        });
    });
}
