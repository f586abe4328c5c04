/**
 * Network changes: the cable is pulled, one direction is cut, or the address changes.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { startFar } from "../support/far.js";
import { connectMachines, noNamespaces } from "../support/namespace.js";
import { RUNTIMES, startServerIn } from "../support/server.js";

const suspended = ([what, state]) => what === "state" && state === "suspended";

const IMPATIENT = { heartbeat: 200, timeout: 500 };
/** A client without heartbeat, which learns of the end of the network only from the server. */
const TRUSTING = { heartbeat: false, timeout: 1_000 };

for (const runtime of RUNTIMES) {
    describe(`on ${runtime}`, { concurrency: 4, timeout: 180_000, skip: noNamespaces() }, () => {
        /** Two machines with a server on one, a client of it on the other, and one of its own on the server's. */
        async function setUp(t, options, extended) {
            const { server: there, client: here } = connectMachines(t);
            const server = await startServerIn(there, runtime, "--pong-wait", "1s", "--ping-period", "300ms", "--write-wait", "1s", "--listen", `${there.address}:0`);
            t.after(() => server.kill());
            const far = await startFar(t, { url: server.url, rooms: ["lobby", "kitchen"], wrapper: here.wrapper, options, extended }).opened();
            const local = await startFar(t, { url: server.url, rooms: ["lobby"], wrapper: there.wrapper }).opened();
            /** Waits until the server has given the client up. */
            const givenUp = async (id) => local.until(`${id} left`, ([what, , member]) => what === "member_left" && member === id);
            return { there, here, server, far, local, givenUp };
        }

        for (const [name, options] of Object.entries({ impatient: IMPATIENT, trusting: TRUSTING })) {
            test(`the cable is pulled until the server gives up, and plugged in again: ${name} client`, async (t) => {
                const { here, far, givenUp } = await setUp(t, options);
                for (let round = 0; round < 2; round++) {
                    const before = far.log.length;
                    here.unplug();
                    await givenUp(far.id);
                    here.plug();
                    await far.cameBack(before);
                }
            });

            test(`the server's end is pulled: ${name} client`, async (t) => {
                const { there, far, givenUp } = await setUp(t, options);
                const before = far.log.length;
                there.unplug();
                await givenUp(far.id);
                there.plug();
                await far.cameBack(before);
            });
        }

        // Without pings of its own a client cannot know: TCP only repeats the oldest unacknowledged segment.
        test("the client receives but cannot send", async (t) => {
            const { here, far, givenUp } = await setUp(t, IMPATIENT);
            const before = far.log.length;
            here.mute();
            await givenUp(far.id);
            await far.until("suspended", suspended, before);
            here.unmute();
            await far.cameBack(before);
        });

        test("the client sends but cannot receive", async (t) => {
            const { there, far } = await setUp(t, IMPATIENT);
            const before = far.log.length;
            there.mute();
            await far.until("suspended", suspended, before);
            there.unmute();
            await far.cameBack(before);
        });

        test("the client has another address", async (t) => {
            const { here, far, givenUp } = await setUp(t, IMPATIENT);
            const [before, { id }] = [far.log.length, far];
            here.readdress("198.18.0.3");
            await far.cameBack(before);
            await givenUp(id);
            assert.notEqual(far.id, id);
        });

        test("the client has another address: its session follows", async (t) => {
            const { here, far, local } = await setUp(t, IMPATIENT, true);
            const [before, seen, { id }] = [far.log.length, local.log.length, far];
            here.readdress("198.18.0.3");
            await far.cameBack(before);
            assert.equal(far.id, id);
            assert.deepEqual(local.log.slice(seen).filter(([what]) => what === "member_left"), []);
        });
    });
}
