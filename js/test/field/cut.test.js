/** Tests that send() returns the right result, or that the client reports the loss, after any fault.
 *
 * The server or the network fails in each test.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { heardBy, startFar, toldTo } from "../support/far.js";
import { startProxy } from "../support/proxy.js";
import { RUNTIMES, startServerOn } from "../support/server.js";
import { eventually } from "../support/wait.js";

const FIVE = [1, 2, 3, 4, 5].map((n) => `message ${n}`);

const suspended = ([what, state]) => what === "state" && state === "suspended";
const answersTo = (far) => far.log.filter(([what]) => what === "said").map(([, , answer]) => answer);

/** Waits until each message has arrived or was reported as lost. Returns those that have arrived. */
async function accountedFor(sender, receiver, messages) {
    await eventually("each message was heard, or its sender told", () => {
        const known = [...heardBy(receiver), ...toldTo(sender)];
        return messages.every((message) => known.includes(message));
    });
    const heard = heardBy(receiver);
    assert.deepEqual(heard, [...new Set(heard)], "none comes twice");
    assert.deepEqual(toldTo(sender), [...new Set(toldTo(sender))], "none is reported twice");
    return heard;
}

/** Restarts the server, and lets the first client reconnect before the second. */
async function startAgain(t, runtime, server, first, second) {
    second.signal("SIGSTOP");
    const next = await startServerOn(runtime, "--listen", `127.0.0.1:${new URL(server.url).port}`);
    t.after(() => next.kill());
    await first.cameBack(first.log.findIndex(suspended));
    second.signal("SIGCONT");
    await second.cameBack(second.log.findIndex(suspended));
}

/** Connects two clients to a room, and waits until they see each other. */
async function pair(t, urls, extended) {
    const [a, b] = await Promise.all(urls.map((url) => startFar(t, { url, rooms: ["lobby"], extended }).opened()));
    await eventually("they see each other", () => [a, b].some(({ log }) => log.some(([what]) => what === "new_member")));
    return [a, b];
}

for (const runtime of RUNTIMES) {
    describe(`on ${runtime}`, { concurrency: 8, timeout: 300_000 }, () => {
        // After "stop", clients with sessions wait for the delay that the server has sent to each of them, so test these first.
        for (const extended of [true, false]) {
            const kind = extended ? "sessions" : "the plain protocol";

            for (const [how, isFirst] of extended ? [["stop", true], ["kill", false]] : [["stop", false], ["kill", false], ["stop", true], ["kill", true]]) {
                test(`a message sent during an outage (${how}) arrives if its sender reconnects ${isFirst ? "first" : "last"}: ${kind}`, async (t) => {
                    const server = await startServerOn(runtime);
                    t.after(() => server.kill());
                    const [a, b] = await pair(t, [server.url, server.url], extended);
                    await server[how]();
                    await Promise.all([a, b].map((far) => far.until("suspended", suspended)));
                    a.say("lobby", "meanwhile");
                    await a.until("queued", ([what]) => what === "said");
                    assert.deepEqual(answersTo(a), ["queued"]);
                    await startAgain(t, runtime, server, ...(isFirst ? [a, b] : [b, a]));
                    assert.deepEqual(await accountedFor(a, b, ["meanwhile"]), ["meanwhile"]);
                });
            }

            test(`messages sent just before the server is killed: ${kind}`, async (t) => {
                // A client with a session reports lost messages once the session would have ended.
                const server = await startServerOn(runtime, "--resume-window", "1s");
                t.after(() => server.kill());
                const [a, b] = await pair(t, [server.url, server.url], extended);
                server.signal("SIGSTOP");
                FIVE.forEach((message) => a.say("lobby", message));
                await eventually("all answered", () => answersTo(a).length === FIVE.length);
                assert.deepEqual(answersTo(a), FIVE.map(() => "sent"));
                await server.kill();
                await a.until("suspended", suspended);
                assert.deepEqual(await accountedFor(a, b, FIVE), []);
                assert.deepEqual(toldTo(a), FIVE, "once each, in order");
            });

            test(`messages sent just before the network is cut: ${kind}`, async (t) => {
                const server = await startServerOn(runtime);
                t.after(() => server.kill());
                const proxy = await startProxy(new URL(server.url).port);
                t.after(() => proxy.close());
                const [a, b] = await pair(t, [`ws://127.0.0.1:${proxy.port}/ws`, server.url], extended);
                for (let round = 0; round < 3; round++) {
                    const [before, messages] = [a.log.length, FIVE.map((message) => `${message} of round ${round}`)];
                    proxy.stall();
                    messages.forEach((message) => a.say("lobby", message));
                    await eventually("all answered", () => answersTo({ log: a.log.slice(before) }).length === FIVE.length);
                    proxy.cut();
                    proxy.resume();
                    await a.cameBack(before);
                    await accountedFor(a, b, messages);
                }
                if (extended) {
                    assert.deepEqual([heardBy(b), toldTo(a)], [[0, 1, 2].flatMap((round) => FIVE.map((message) => `${message} of round ${round}`)), []]);
                }
            });

            for (const how of ["stop", "kill"]) {
                test(`messages sent during a shutdown (${how}) are received or reported once: ${kind}`, async (t) => {
                    const server = await startServerOn(runtime);
                    t.after(() => server.kill());
                    const [a, b] = await pair(t, [server.url, server.url], extended);
                    const messages = Array.from({ length: 200 }, (_, n) => `message ${n}`);
                    messages.slice(0, 100).forEach((message) => a.say("lobby", message));
                    const ended = server[how]();
                    messages.slice(100).forEach((message) => a.say("lobby", message));
                    await ended;
                    await eventually("all answered", () => answersTo(a).length === messages.length);
                    await Promise.all([a, b].map((far) => far.until("suspended", suspended)));
                    await startAgain(t, runtime, server, a, b);
                    await accountedFor(a, b, messages);
                });
            }
        }
    });
}
