/** Tests of a client whose messages are delayed by a room's rate, on `roomer serve`. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import * as core from "../../src/core.js";
import { connect } from "../../src/index.js";
import { startServe } from "../support/serve.js";
import { eventually } from "../support/wait.js";

const NUMBERS = Array.from({ length: 60 }, (_, number) => number);

describe("messages that a rate delays", { timeout: 60_000 }, () => {
    /** Starts a server, and sends more to a room than its rate permits. Returns the room, and what was received and lost. */
    async function sendTooFast(t) {
        const server = await startServe('[[room]]\npattern = "slow"\nrate = "40 burst 5"\n');
        const [client, listener] = [1, 2].map(() => connect(server.url, { codec: "json" }));
        t.after(() => {
            client.close();
            listener.close();
            return server.stop();
        });
        const [room, other] = await Promise.all([client, listener].map((each) => each.join("slow").opened));
        const [received, lost] = [new Set(), new Set()];
        other.on("n", (number) => received.add(number));
        client.on("lost", ({ payload }) => lost.add(payload));
        assert.deepEqual(NUMBERS.filter((number) => room.send("n", number) !== "sent"), []);
        return { client, room, received, lost };
    }

    test("are handled before leave() resolves", async (t) => {
        const { room, received, lost } = await sendTooFast(t);
        await room.leave();
        await eventually("all are received", () => received.size === NUMBERS.length);
        assert.deepEqual([...lost], []);
    });

    test("do not time out the connection of a client without sessions", async (t) => {
        const server = await startServe('[[room]]\npattern = "slow"\nrate = "20 burst 1"\n');
        // The messages are delayed by three seconds together. A busy machine may not run the server for almost as long.
        const client = core.connect(server.url, { codec: core.json, heartbeat: 300, timeout: 2_000 });
        const listener = connect(server.url, { codec: "json" });
        t.after(() => {
            client.close();
            listener.close();
            return server.stop();
        });
        const [room, other] = await Promise.all([client, listener].map((each) => each.join("slow").opened));
        const [received, events] = [[], []];
        other.on("n", (number) => received.push(number));
        client.on("state", (state) => events.push(state));
        client.on("lost", ({ payload }) => events.push(payload));
        assert.deepEqual(NUMBERS.filter((number) => room.send("n", number) !== "sent"), []);
        await eventually("all are received", () => received.length >= NUMBERS.length);
        assert.deepEqual([received, events], [NUMBERS, []]);
    });

    test("are reported as lost by close() if the server has not confirmed them", async (t) => {
        const { client, received, lost } = await sendTooFast(t);
        client.close();
        assert.ok(lost.size);
        await eventually("each is received or reported", () => NUMBERS.every((number) => received.has(number) || lost.has(number)));
    });
});
