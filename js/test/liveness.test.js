/** Tests of when a silent connection counts as lost.
 *
 * Bytes in transit are a sign of life, and data that has arrived is read before the timeout is checked.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { connect } from "../src/index.js";
import { encode, toBytes } from "../src/packet.js";
import { setUp } from "./support/kit.js";

/** Connects a client whose sockets the test can access, and waits until the client is idle. */
async function open(options, settings) {
    const kit = setUp(settings);
    const sockets = [];
    class Seen extends kit.server.options.WebSocket {
        constructor(...args) {
            super(...args);
            sockets.push(this);
        }
    }
    const made = kit.connect({ WebSocket: Seen, ...options });
    await kit.server.advance(1_000);
    return { kit, socket: sockets[0], sockets, ...made };
}

const lostAt = (life) => life.find(([, , why]) => why === "timeout")?.[0];

describe("progress prevents timeouts", () => {
    test("5 MB arrive at 1 Mbit/s in 42 seconds without a timeout", async () => {
        const { kit, life } = await open();
        kit.server.stall();
        await kit.server.advance(42_000);
        kit.server.connections()[0].send("root", "state", "x".repeat(5_000_000));
        kit.server.resume();
        await kit.server.advance(1_000);
        assert.equal(lostAt(life), undefined);
        // Such a message may be sent again, at half the speed.
        kit.server.stall();
        await kit.server.advance(85_000);
        kit.server.resume();
        await kit.server.advance(1_000);
        assert.equal(lostAt(life), undefined);
    });

    test("a large outgoing message extends the time for the answer", async () => {
        const { kit, client, life } = await open({ heartbeat: 5_000, timeout: 5_000 });
        kit.server.stall();
        client.root.send("state", "x".repeat(5_000_000));
        await kit.server.advance(80_000);
        kit.server.resume();
        await kit.server.advance(1_000);
        assert.equal(lostAt(life), undefined);
    });

    test("the timeout grows per connection on a slow link until a message completes", async () => {
        const { kit, client, life } = await open({ heartbeat: 1_000, timeout: 1_000 });
        // The server sends its state to each new client for 40 seconds. During that time the client receives no event.
        const losses = () => life.filter(([, , why]) => why === "timeout").length;
        let waited = 0;
        while (waited < 40_000) {
            assert.ok(losses() < 10, "it loops for ever");
            const before = losses();
            kit.server.stall();
            for (waited = 0; waited < 40_000 && losses() === before; waited += 1_000) {
                await kit.server.advance(1_000);
            }
            kit.server.resume();
            while (client.state !== "open") {
                await kit.server.advance(100);
            }
        }
        assert.ok(losses() > 0);
    });

    test("the connection lasts only while the network accepts bytes", async () => {
        const { kit, socket, life } = await open({ heartbeat: 1_000, timeout: 1_000 });
        kit.server.stall();
        let backlog = 50_000;
        Object.defineProperty(socket, "bufferedAmount", { get: () => backlog, set() {} });
        for (let n = 0; n < 100; n++) {
            await kit.server.advance(500);
            backlog -= 500;
        }
        assert.equal(lostAt(life), undefined, "fifty times the time limit, but it moves");
        await kit.server.advance(3_000);
        assert.ok(lostAt(life), "it stands still");
    });

    for (const plain of [true, false]) {
        test(`a large initial state on each connection does not reconnect endlessly: ${plain ? "the plain protocol" : "sessions"}`, async () => {
            const { kit, client } = await open({ heartbeat: 5_000, timeout: 5_000 }, { plain });
            // On each new connection, the server's state takes 17 seconds to arrive, and the client receives no event in that time.
            let losses = 0;
            for (let seconds = 0; seconds < 17; ) {
                assert.ok(losses < 10, "it loops for ever");
                kit.server.stall();
                for (seconds = 0; seconds < 17 && client.state === "open"; seconds++) {
                    await kit.server.advance(1_000);
                }
                kit.server.resume();
                losses += seconds < 17 ? 1 : 0;
                await kit.server.advance(4_000);
            }
            assert.equal(losses, 2);
            assert.equal(client.state, "open");
        });
    }
});

describe("messages that a server delays", () => {
    /** Sends messages that the server does not handle. Returns the seconds after which the connection counts as lost. */
    const secondsTo = async (count, settings) => {
        const { kit, client, life } = await open({}, settings);
        kit.server.stall();
        const start = kit.server.clock.now();
        for (let n = 0; n < count; n++) {
            assert.equal(client.root.send("chat", n), "sent");
        }
        await kit.server.advance(300_000);
        client.close();
        return Math.round((lostAt(life) - start) / 1_000);
    };

    test("get one second each until the timeout, and 64 at most", async () => {
        // The times are rounded, and include a second since the last message from the server. The probe after this second counts
        // as a packet too.
        assert.deepEqual([await secondsTo(0), await secondsTo(10), await secondsTo(64), await secondsTo(1_000)], [49, 60, 113, 113]);
    });

    test("get no time in a session", async () => {
        assert.deepEqual([await secondsTo(0, { plain: false }), await secondsTo(500, { plain: false })], [47, 47]);
    });
});

describe("reading before timing out", () => {
    test("a suspended program reads received packets first", async () => {
        for (const time of [20_000, 70_000, 3_600_000]) {
            const { kit, life, client } = await open();
            await kit.server.advance(29_000);
            await kit.server.sleep(time);
            await kit.server.advance(30_000);
            assert.deepEqual([client.state, life.length], ["open", 1], `${time} ms`);
        }
    });

    test("a program suspended after the probe reads the answer before timing out", async () => {
        const { kit, life } = await open();
        // The heartbeat is due: the client sends a probe. Its answer waits in the socket while the timeout passes.
        await kit.server.advance(29_000);
        kit.server.stall();
        await kit.server.advance(2_000);
        kit.server.clock.sleep(60_000);
        kit.server.resume();
        await kit.server.advance(60_000);
        assert.equal(life.length, 1);
    });

    test("a server lost during a suspension is probed once more", async () => {
        const { kit, life } = await open();
        await kit.server.advance(29_000);
        kit.server.stall();
        kit.server.clock.sleep(600_000);
        await kit.server.advance(21_000);
        assert.ok(lostAt(life) > 600_000);
    });

    test("an attempt answered during a suspension opens", async () => {
        const kit = setUp({ latency: 5 });
        const { life, client } = kit.connect();
        await kit.server.advance(1);
        await kit.server.sleep(60_000);
        await kit.server.advance(100);
        assert.deepEqual([client.state, life.length], ["open", 1]);
    });

    test("in real time, a busy loop after the probe keeps the connection", { timeout: 60_000 }, async () => {
        // As with a socket, the answer comes from a separate timer, which runs after the overdue timers.
        const sockets = [];
        class Answering {
            readyState = 0;
            bufferedAmount = 0;
            constructor() {
                sockets.push(this);
                setImmediate(() => {
                    this.readyState = 1;
                    this.onopen({});
                });
            }
            send() {
                // The event loop is blocked for much longer than the timeout, and the answer arrives only after that.
                setImmediate(() => {
                    const end = performance.now() + 400;
                    while (performance.now() < end);
                    setImmediate(() => this.onmessage?.({ data: encode("\0probe", "leave_ack", "", "me", toBytes("me")).buffer }));
                });
            }
            close() {}
        }
        const client = connect("ws://test/ws", { WebSocket: Answering, heartbeat: 20, timeout: 100 });
        const states = [];
        let answers = 0;
        await new Promise((resolve) => {
            client.on("state", (state) => {
                states.push(state);
                const { send } = sockets[0];
                sockets[0].send = function () {
                    if (++answers === 4) {
                        resolve();
                    }
                    send.call(this);
                };
            });
        });
        client.close();
        assert.deepEqual(states, ["open", "closed"].slice(0, states.length));
        assert.equal(sockets.length, 1);
    });
});
