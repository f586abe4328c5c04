/**
 * Tests of a client that is suspended for longer than the server's timeout: it has not violated a rule, and reconnects
 * automatically.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { findNode22, startFar } from "../support/far.js";
import { observe } from "../support/observer.js";
import { RUNTIMES, startServerOn } from "../support/server.js";
import { eventually } from "../support/wait.js";

const IMPATIENT = ["--pong-wait", "1s", "--ping-period", "300ms"];

const CLIENTS = [
    { name: "Node 20's WebSocket", socket: "global" },
    { name: "the package ws", socket: "ws" },
    { name: "Node 22's WebSocket", socket: "global", node: findNode22() },
    { name: "a client that never asks for signs of life", socket: "ws", options: { heartbeat: false } }
];

for (const runtime of RUNTIMES) {
    describe(`on ${runtime}`, { concurrency: 4, timeout: 300_000 }, () => {
        for (const { name, ...client } of CLIENTS) {
            const skip = "node" in client && !client.node && "there is no Node 22 here";
            test(`a stopped process rejoins all its rooms: ${name}`, { skip }, async (t) => {
                const server = await startServerOn(runtime, ...IMPATIENT);
                t.after(() => server.kill());
                const observer = await observe(t, server.url, "lobby");
                const far = await startFar(t, { url: server.url, rooms: ["lobby", "kitchen"], ...client }).opened();
                // Repeat this, since the client must not treat the second loss as final either.
                for (let round = 0; round < 2; round++) {
                    const { id, from } = await observer.sees(far);
                    far.signal("SIGSTOP");
                    await observer.misses(id);
                    far.signal("SIGCONT");
                    await far.cameBack(from);
                }
                await observer.sees(far);
                // If the connection is lost again, the message is reported as lost; send it once more.
                let said = 0;
                await eventually("heard", () => {
                    if (said === far.log.filter(([what]) => what === "lost").length) {
                        said++;
                        far.say("lobby", "here I am");
                    }
                    return observer.heard.includes("here I am");
                });
            });
        }

        test("clients reconnect after the server was stopped", async (t) => {
            const server = await startServerOn(runtime);
            t.after(() => server.kill());
            const far = await startFar(t, { url: server.url, rooms: ["lobby", "kitchen"], options: { heartbeat: 200, timeout: 500 } }).opened();
            const { from } = far.opening();
            server.signal("SIGSTOP");
            const [, , code] = await far.until("suspended", ([what, state]) => what === "state" && state === "suspended", from);
            assert.equal(code, "timeout");
            server.signal("SIGCONT");
            await far.cameBack(from);
        });

        test("no connection closes if both are stopped, the server for longer", async (t) => {
            const server = await startServerOn(runtime, ...IMPATIENT);
            t.after(() => server.kill());
            const far = await startFar(t, { url: server.url, rooms: ["lobby"], options: { heartbeat: 200, timeout: 500 } }).opened();
            const { from } = far.opening();
            server.signal("SIGSTOP");
            await far.until("suspended", ([what, state]) => what === "state" && state === "suspended", from);
            far.signal("SIGSTOP");
            server.signal("SIGCONT");
            far.signal("SIGCONT");
            await far.cameBack(from);
        });
    });
}
