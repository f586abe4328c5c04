/** Tests that a busy program keeps its connection: the answers that its sockets have received are read before the timeout. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { WebSocket as OtherWebSocket } from "ws";

import { connect } from "../src/index.js";
import { startServer } from "./support/server.js";

/** The number of probes after which the program is busy, and for how long, in milliseconds: longer than the timeout. */
const PROBES = 2;
const BUSY = 400;

/** Keeps the program busy, and thereby prevents it from reading its sockets. */
function work() {
    const end = performance.now() + BUSY;
    while (performance.now() < end);
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
                            work();
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
