/** Tests of a client that is suspended for longer than the server's timeout.
 *
 * It has not violated a rule, and resumes its session or reconnects automatically.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { findNode22, heardBy, startFar, toldTo } from "../support/far.js";
import { dropSilentClient, observe } from "../support/observer.js";
import { RUNTIMES, startServerOn } from "../support/server.js";
import { eventually } from "../support/wait.js";

const IMPATIENT = ["--pong-wait", "1s", "--ping-period", "300ms"];

/** Suspensions are repeated, since the client must not treat the second loss as final either. Each has a message. */
const ROUNDS = ["first", "second"];

const CLIENTS = [
    { name: "Node 20's WebSocket", socket: "global" },
    { name: "the package ws", socket: "ws" },
    { name: "Node 22's WebSocket", socket: "global", node: findNode22() },
    { name: "a client that never asks for signs of life", socket: "ws", options: { heartbeat: false } }
];

for (const runtime of RUNTIMES) {
    describe(`on ${runtime}`, { concurrency: 8, timeout: 300_000 }, () => {
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

        for (const { name, ...client } of CLIENTS) {
            const skip = "node" in client && !client.node && "there is no Node 22 here";
            test(`a stopped process resumes its session, and loses no message: ${name}`, { skip }, async (t) => {
                const server = await startServerOn(runtime, ...IMPATIENT, "--resume-window", "600s");
                t.after(() => server.kill());
                const observer = await observe(t, server.url, "lobby");
                const far = await startFar(t, { url: server.url, rooms: ["lobby", "kitchen"], extended: true, ...client }).opened();
                const { id, from } = await observer.sees(far);
                const left = [];
                observer.room.on("member_left", (member) => void left.push(member));
                let line = from;
                for (const round of ROUNDS) {
                    far.signal("SIGSTOP");
                    await dropSilentClient(server.url);
                    observer.room.send("chat", round);
                    // The client reads this line when it runs again, and may not know yet that its socket is closed.
                    far.say("lobby", round);
                    far.signal("SIGCONT");
                    line = await far.cameBack(line);
                    await eventually("all messages arrive", () => [observer.heard, heardBy(far)].every((heard) => heard.includes(round)));
                }
                assert.deepEqual([observer.heard, heardBy(far), toldTo(far)], [ROUNDS, ROUNDS, []]);
                assert.deepEqual(new Set(far.log.slice(from).filter(([what]) => what === "reopen").map(([, , own]) => own)), new Set([id]));
                assert.equal(left.includes(id), false, "the other members saw it leave");
            });
        }

        for (const { name, ...client } of CLIENTS.slice(1, 3)) {
            const skip = "node" in client && !client.node && "there is no Node 22 here";
            test(`a process stopped until its session has ended gets a new session: ${name}`, { skip }, async (t) => {
                const server = await startServerOn(runtime, ...IMPATIENT, "--resume-window", "2s");
                t.after(() => server.kill());
                const observer = await observe(t, server.url, "lobby");
                const far = await startFar(t, { url: server.url, rooms: ["lobby", "kitchen"], extended: true, ...client }).opened();
                for (const round of ROUNDS) {
                    const { id, from } = await observer.sees(far);
                    far.signal("SIGSTOP");
                    await observer.misses(id);
                    far.say("lobby", round);
                    far.signal("SIGCONT");
                    await far.cameBack(from);
                    assert.notEqual(far.id, id);
                    await eventually("heard, or reported as lost", () => [...observer.heard, ...toldTo(far)].includes(round));
                }
                assert.deepEqual(observer.heard, [...new Set(observer.heard)], "none comes twice");
            });
        }

        for (const extended of [false, true]) {
            const kind = extended ? "with sessions" : "with the plain protocol";

            test(`clients reconnect after the server was stopped: ${kind}`, async (t) => {
                const server = await startServerOn(runtime);
                t.after(() => server.kill());
                const far = await startFar(t, { url: server.url, rooms: ["lobby", "kitchen"], extended, options: { heartbeat: 200, timeout: 500 } }).opened();
                const { id, from } = far.opening();
                server.signal("SIGSTOP");
                const [, , code] = await far.until("suspended", ([what, state]) => what === "state" && state === "suspended", from);
                assert.equal(code, "timeout");
                server.signal("SIGCONT");
                await far.cameBack(from);
                assert.equal(far.id === id, extended);
            });

            test(`no connection closes if both are stopped, the server for longer: ${kind}`, async (t) => {
                const server = await startServerOn(runtime, ...IMPATIENT);
                t.after(() => server.kill());
                const far = await startFar(t, { url: server.url, rooms: ["lobby"], extended, options: { heartbeat: 200, timeout: 500 } }).opened();
                const { id, from } = far.opening();
                server.signal("SIGSTOP");
                await far.until("suspended", ([what, state]) => what === "state" && state === "suspended", from);
                far.signal("SIGSTOP");
                server.signal("SIGCONT");
                far.signal("SIGCONT");
                await far.cameBack(from);
                assert.equal(far.id === id, extended);
            });
        }
    });
}
