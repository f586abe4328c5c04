/** Tests that a message arrives even if its transfer takes longer than the timeouts: bytes in transit are signs of life. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { startFar } from "../support/far.js";
import { connectMachines, noNamespaces } from "../support/namespace.js";
import { observe } from "../support/observer.js";
import { RUNTIMES, startServerIn, startServerOn } from "../support/server.js";
import { startSlowLink } from "../support/slow-link.js";
import { eventually } from "../support/wait.js";

/** Shorter timeouts than the client's defaults, and a queue for large messages. A message is visible only once it is complete. */
const CLIENT = { heartbeat: 4_000, timeout: 4_000, queue: { bytes: 20_000_000 } };

/** A client whose heartbeat and timeout together are shorter than the transfer of a message. */
const HASTY = { heartbeat: 500, timeout: 500, queue: { bytes: 20_000_000 } };

/** The server's timeouts, which are shorter than the transfer of a message. */
const limits = (pongWait) => ["--pong-wait", pongWait, "--ping-period", "300ms", "--write-wait", pongWait, "--max-backlog", "20000000"];

const chat = ([what]) => what === "chat";
const timedOut = ([what, state, code]) => what === "state" && state === "suspended" && code === "timeout";

for (const runtime of RUNTIMES) {
    describe(`on ${runtime}`, { concurrency: 4, timeout: 300_000 }, () => {
        /**
         * By name, functions that start a server, and return the addresses of a fast and a slow link to it, and the size of a
         * message.
         */
        const LINKS = {
            "through a slow proxy": async (t) => {
                // Here, neither side can observe the progress of the 3 MB in the kernel's buffers. They take 1.2 s to empty. The
                // rest of the limit allows for a proxy that a busy machine does not run for a while.
                const server = await startServerOn(runtime, ...limits("4s"));
                t.after(() => server.kill());
                const url = await startSlowLink(t, new URL(server.url).port, 2_500_000);
                return { near: { url: server.url }, slow: { url }, size: 12_000_000 };
            },
            "through a slow cable": async (t) => {
                const { server: there, client: here } = connectMachines(t);
                there.throttle(4_000_000);
                here.throttle(4_000_000);
                const server = await startServerIn(there, runtime, ...limits("2s"), "--listen", `${there.address}:0`);
                t.after(() => server.kill());
                const { url } = server;
                return { near: { url, wrapper: there.wrapper }, slow: { url, wrapper: here.wrapper }, size: 2_000_000 };
            }
        };
        for (const [name, link] of Object.entries(LINKS)) {
            const skip = name.includes("cable") && noNamespaces();
            for (const socket of ["ws", "global"]) {
                for (const direction of ["received", "sent"]) {
                    test(`${direction} ${name}: ${socket}`, { skip }, async (t) => {
                        const { near, slow, size } = await link(t);
                        const people = await Promise.all([near, slow].map((at) => startFar(t, { rooms: ["lobby"], options: CLIENT, socket, ...at }).opened()));
                        const [from, to] = direction === "sent" ? people.reverse() : people;
                        await to.until("sees the other", ([what, , id]) => id === from.id && what === "new_member" || from.log.some(([seen, , other]) => seen === "new_member" && other === to.id));
                        from.sayMuch("lobby", size);
                        const [, , length] = await to.until("it arrives", (line) => {
                            assert.deepEqual(people.flatMap(({ log }) => log).filter(([what, state]) => what === "state" && state !== "open" || what === "close"), []);
                            return chat(line);
                        });
                        assert.equal(length, size);
                    });
                }
            }
        }

        for (const extended of [false, true]) {
            const kind = extended ? "with a session" : "with the plain protocol";

            /** Starts a server with an observer, and returns a client that is connected by a slow link. */
            const setUp = async (t, bytesPerSecond, onMember) => {
                const server = await startServerOn(runtime, ...limits("4s"));
                t.after(() => server.kill());
                const observer = await observe(t, server.url, "lobby");
                observer.room.on("new_member", (id) => onMember?.(observer.room, id));
                const url = await startSlowLink(t, new URL(server.url).port, bytesPerSecond);
                return { observer, far: startFar(t, { url, rooms: ["lobby"], extended, options: HASTY }) };
            };

            test(`a message that takes longer than the client's timeout is sent without a reconnect: ${kind}`, async (t) => {
                const { observer, far } = await setUp(t, 2_500_000);
                await far.opened();
                far.sayMuch("lobby", 8_000_000);
                await eventually("it arrives", () => observer.heard.length);
                assert.deepEqual(observer.heard.map(({ length }) => length), [8_000_000]);
                assert.deepEqual(far.log.filter(([what, state]) => what === "state" && state !== "open" || what === "close"), []);
            });

            // A client cannot observe the progress of a message that it receives. It becomes more patient with each timeout.
            test(`a state that takes longer than the client's timeout, and is sent at each join, is received in the end: ${kind}`, async (t) => {
                const { far } = await setUp(t, 1_000_000, (room, id) => room.send("chat", "x".repeat(3_000_000), id));
                const [, , length] = await far.until("it arrives", chat);
                assert.equal(length, 3_000_000);
                assert.ok(far.log.some(timedOut), "it arrived within the first timeout");
                assert.deepEqual(far.log.filter(([what, state]) => what === "close" || state === "closed"), []);
            });
        }
    });
}
