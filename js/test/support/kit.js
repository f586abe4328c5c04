/**
 * Clients on the test kit's server, for unit tests.
 */

import { connect } from "../../src/index.js";
import { createServer } from "../../src/testkit/index.js";

/** Waits for promises, and not for timers, so that a test runs many plans in little time. */
export async function microtasks() {
    for (let turn = 0; turn < 8; turn++) {
        await null;
    }
}

/**
 * A server in memory, and clients on it; `life` records the states that a client goes through, and when. The server speaks the
 * plain protocol unless a test asks for sessions with `plain: false`.
 */
export function setUp(settings) {
    const server = createServer({ plain: true, ...settings });
    return {
        server,
        /** Connects, without waiting. */
        connect(options = {}) {
            const client = connect("ws://test/ws", { ...server.options, codec: "json", ...options });
            const life = [];
            const errors = [];
            client.on("state", (state, error) => life.push([server.clock.now(), state, error?.code]));
            client.on("error", (error) => errors.push(error));
            return { client, life, errors };
        },
        /** Some clients that are connected and in a room. */
        async inRoom(name, count = 1, options = {}) {
            const made = Array.from({ length: count }, () => {
                const each = this.connect(options);
                return { ...each, room: each.client.join(name) };
            });
            await server.advance();
            return made;
        }
    };
}

/** Collects the events of a client or room, as arrays [event, ...arguments], into one list. */
export function record(source, ...events) {
    const log = [];
    for (const event of events) {
        source.on(event, (...args) => void log.push([event, ...args]));
    }
    return log;
}

/** For assert.throws and assert.rejects: a RoomerError of this kind. */
export const code = (wanted) => (error) => error.name === "RoomerError" && error.code === wanted;

/** The id that the test kit gives to its nth client. */
export const nthId = (n) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
