/** Tests that a message arrives even if its transfer takes longer than the timeouts: bytes in transit are signs of life. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { startFar } from "../support/far.js";
import { connectMachines, noNamespaces } from "../support/namespace.js";
import { RUNTIMES, startServerIn, startServerOn } from "../support/server.js";
import { startSlowLink } from "../support/slow-link.js";

/** Shorter timeouts than the client's defaults, and a queue for large messages. A message is visible only once it is complete. */
const CLIENT = { heartbeat: 4_000, timeout: 4_000, queue: { bytes: 20_000_000 } };

/** The server's timeouts, which are shorter than the transfer of a message. */
const limits = (pongWait) => ["--pong-wait", pongWait, "--ping-period", "300ms", "--write-wait", pongWait, "--max-backlog", "20000000"];

const chat = ([what]) => what === "chat";

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
    });
}
