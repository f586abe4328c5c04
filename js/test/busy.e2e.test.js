/** Tests that a busy program keeps its connection: the answers that its sockets have received are read before the timeout. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { WebSocket as OtherWebSocket } from "ws";

import { connect } from "../src/index.js";
import { startServer } from "./support/server.js";

/** The number of probes after which the program is busy, and for how long, in milliseconds: longer than the timeout. */
const PROBES = 2;
const BUSY = 400;

/** The maximum time for which the program waits for the answer, in milliseconds. */
const MAX_BUSY = 10_000;

/** Returns true if bytes from a local port wait in a socket. Reads the kernel's table, since the program must not read its sockets. */
function hasUnread(port) {
    const rows = readFileSync("/proc/net/tcp", "utf8").trim().split("\n").slice(1).map((line) => line.trim().split(/\s+/));
    const hex = Number(port).toString(16).toUpperCase().padStart(4, "0");
    return rows.some(([, , remote, , queues]) => remote.endsWith(`:${hex}`) && Number(`0x${queues.split(":")[1]}`) > 0);
}

/**
 * Keeps the program busy, and thereby prevents it from reading its sockets, until the answer has arrived: on a busy machine, the
 * server may not run for a while. The wait is limited, because the program may have read the answer before it became busy.
 */
function work(port) {
    const start = performance.now();
    const elapsed = () => performance.now() - start;
    while (elapsed() < BUSY || (elapsed() < MAX_BUSY && !hasUnread(port)));
}

describe("a busy program keeps its connection", { timeout: 120_000 }, () => {
    for (const [name, Base] of Object.entries({ "Node's WebSocket": globalThis.WebSocket, "the package ws": OtherWebSocket })) {
        for (const extended of [false, true]) {
            test(`${name}, ${extended ? "with a session" : "with the plain protocol"}`, async (t) => {
                const server = await startServer();
                t.after(() => server.stop());
                let isOpen = false;
                let probes = 0;
                let sockets = 0;
                let finish;
                const finished = new Promise((resolve) => (finish = resolve));
                class Seen extends Base {
                    constructor(address, protocols = []) {
                        super(extended ? address : address.replace("roomer=2", "other=2"), protocols);
                        sockets++;
                    }
                    send(data) {
                        // An idle client sends nothing but probes.
                        if (!isOpen || probes++ === PROBES) {
                            super.send(data);
                            return isOpen && finish();
                        }
                        // Stop the server, so that the program cannot receive the answer before it is busy. Afterwards, the
                        // timer is overdue, and the answer is in the socket.
                        server.signal("SIGSTOP");
                        super.send(data);
                        setImmediate(() => {
                            server.signal("SIGCONT");
                            work(new URL(server.url).port);
                        });
                    }
                }
                const client = connect(server.url, { WebSocket: Seen, heartbeat: 20, timeout: 100 });
                t.after(() => client.close());
                await client.root.opened;
                isOpen = true;
                const states = [];
                client.on("state", (state, error) => {
                    states.push([state, error?.code]);
                    finish();
                });
                await finished;
                assert.deepEqual([states, sockets], [[], 1]);
            });
        }
    }
});
