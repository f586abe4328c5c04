/** Tests of network changes: the cable is unplugged, one direction is blocked, or the address changes. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { heardBy, startFar, toldTo } from "../support/far.js";
import { connectMachines, noNamespaces } from "../support/namespace.js";
import { RUNTIMES, startServerIn } from "../support/server.js";
import { eventually } from "../support/wait.js";

const suspended = ([what, state]) => what === "state" && state === "suspended";

const IMPATIENT = { heartbeat: 200, timeout: 500 };
/** Options of a client without a heartbeat: it detects a network failure only when the server closes the connection. */
const TRUSTING = { heartbeat: false, timeout: 1_000 };

for (const runtime of RUNTIMES) {
    describe(`on ${runtime}`, { concurrency: 8, timeout: 300_000, skip: noNamespaces() }, () => {
        /** Sets up two machines: one with the server and a local client, and one with a remote client. */
        async function setUp(t, options, { extended = false, window = "30s" } = {}) {
            const { server: there, client: here } = connectMachines(t);
            const flags = ["--pong-wait", "1s", "--ping-period", "300ms", "--write-wait", "1s", "--resume-window", window];
            const server = await startServerIn(there, runtime, ...flags, "--listen", `${there.address}:0`);
            t.after(() => server.kill());
            const join = (isExtended) => startFar(t, { url: server.url, rooms: ["lobby", "kitchen"], wrapper: here.wrapper, options, extended: isExtended }).opened();
            const far = await join(extended);
            // With a session, the local client receives every member_left, even if a busy machine does not run this client for
            // a while, and the server drops its socket.
            const local = await startFar(t, { url: server.url, rooms: ["lobby"], wrapper: there.wrapper, extended: true }).opened();
            /** Waits until the local client sees that the server has dropped the remote client. */
            const givenUp = async (id) => local.until(`${id} left`, ([what, , member]) => what === "member_left" && member === id);
            /** Waits until the server has dropped a new suspended client, and therefore also each client without a network. */
            const silentOneGivenUp = async () => {
                const silent = await startFar(t, { url: server.url, rooms: ["lobby"], wrapper: there.wrapper }).opened();
                const { id } = silent.opening();
                silent.signal("SIGSTOP");
                await givenUp(id);
            };
            /** Starts another remote client, with a session. Waits until the local client sees it. */
            const joinWithSession = async () => {
                const kept = await join(true);
                await local.until("the client with a session", ([what, room, member]) => what === "new_member" && room === "lobby" && member === kept.id);
                return { kept, keptBefore: kept.opening(), seen: local.log.length };
            };
            return { there, here, far, local, givenUp, silentOneGivenUp, joinWithSession };
        }

        /** Checks that a client has returned to its session, and that no message was lost or duplicated in either direction. */
        async function checkKept({ kept, keptBefore, seen }, local) {
            await kept.cameBack(keptBefore.from);
            await eventually("both messages arrive", () => [kept, local].every((each) => heardBy(each).length));
            assert.deepEqual([kept, local].map((each) => [heardBy(each), toldTo(each)]), [[["to the client"], []], [["from the client"], []]]);
            assert.equal(kept.id, keptBefore.id);
            assert.equal(local.log.slice(seen).some(([what, , member]) => what === "member_left" && member === kept.id), false);
        }

        for (const [name, options] of Object.entries({ impatient: IMPATIENT, trusting: TRUSTING })) {
            test(`the cable is unplugged until the server times out: ${name} client`, async (t) => {
                const { here, far, givenUp } = await setUp(t, options);
                for (let round = 0; round < 2; round++) {
                    const { id, from } = far.opening();
                    here.unplug();
                    await givenUp(id);
                    here.plug();
                    await far.cameBack(from);
                }
            });

            test(`the server's cable is unplugged: ${name} client`, async (t) => {
                const { there, far, givenUp } = await setUp(t, options);
                const { id, from } = far.opening();
                there.unplug();
                await givenUp(id);
                there.plug();
                await far.cameBack(from);
            });
        }

        for (const [name, options] of Object.entries({ impatient: IMPATIENT, trusting: TRUSTING })) {
            test(`a session resumes, and loses no message, once the cable is plugged in again: ${name} client`, async (t) => {
                const { here, far, local, silentOneGivenUp } = await setUp(t, options, { extended: true, window: "600s" });
                const { id, from } = far.opening();
                here.unplug();
                await silentOneGivenUp();
                [far, local].forEach((each) => each.say("lobby", "meanwhile"));
                await Promise.all([far, local].map((each) => each.until("said", ([what]) => what === "said")));
                here.plug();
                await far.cameBack(from);
                await eventually("both messages arrive", () => [far, local].every((each) => heardBy(each).length));
                assert.deepEqual([far, local].map((each) => [heardBy(each), toldTo(each)]), [[["meanwhile"], []], [["meanwhile"], []]]);
                assert.equal(far.id, id);
                assert.equal(local.log.some(([what, , member]) => what === "member_left" && member === id), false);
            });

            test(`a client gets a new session if the cable was unplugged for too long: ${name} client`, async (t) => {
                const { here, far, local, givenUp } = await setUp(t, options, { extended: true, window: "2s" });
                const { id, from } = far.opening();
                here.unplug();
                await givenUp(id);
                far.say("lobby", "meanwhile");
                here.plug();
                await far.cameBack(from);
                assert.notEqual(far.id, id);
                await eventually("heard, or reported as lost", () => heardBy(local).length || toldTo(far).length);
            });
        }

        // Without its own probes a client cannot detect this: TCP only retransmits the oldest unacknowledged segment.
        test("clients with and without a session receive but cannot send", async (t) => {
            const { here, far, local, givenUp, joinWithSession } = await setUp(t, IMPATIENT, { window: "600s" });
            const session = await joinWithSession();
            const { kept, keptBefore } = session;
            const { id, from } = far.opening();
            here.mute();
            kept.say("lobby", "from the client");
            local.say("lobby", "to the client");
            await givenUp(id);
            await Promise.all([far.until("suspended", suspended, from), kept.until("suspended", suspended, keptBefore.from)]);
            here.unmute();
            await far.cameBack(from);
            await checkKept(session, local);
        });

        test("clients with and without a session send but cannot receive", async (t) => {
            const { there, far, local, joinWithSession } = await setUp(t, IMPATIENT, { window: "600s" });
            const session = await joinWithSession();
            const { kept, keptBefore } = session;
            const { from } = far.opening();
            there.mute();
            kept.say("lobby", "from the client");
            local.say("lobby", "to the client");
            await Promise.all([far.until("suspended", suspended, from), kept.until("suspended", suspended, keptBefore.from)]);
            there.unmute();
            await far.cameBack(from);
            await checkKept(session, local);
        });

        test("the client's address changes", async (t) => {
            const { here, far, givenUp } = await setUp(t, IMPATIENT);
            const { id, from } = far.opening();
            here.readdress("198.18.0.3");
            await far.cameBack(from);
            await givenUp(id);
            assert.notEqual(far.id, id);
        });

        test("the session survives a change of address", async (t) => {
            const { here, far, local } = await setUp(t, IMPATIENT, { extended: true });
            const [{ id, from }, seen] = [far.opening(), local.log.length];
            here.readdress("198.18.0.3");
            await far.cameBack(from);
            assert.equal(far.id, id);
            assert.deepEqual(local.log.slice(seen).filter(([what]) => what === "member_left"), []);
        });
    });
}
