/** Clients on the test kit's server, for unit tests. */

import { connect } from "../../src/index.js";
import { toBytes, toText } from "../../src/packet.js";
import { createServer } from "../../src/testkit/index.js";

const PADDING = [10, 1_900, 0, 700, 1_500, 300];
/** A codec for JSON whose numbers become payloads of different sizes, by appended spaces. */
export const PADDED = {
    encode: (value) => toBytes(JSON.stringify(value) + " ".repeat(PADDING[value % PADDING.length] || 0)),
    decode: (data) => JSON.parse(toText(data))
};

const turned = Promise.resolve();

/** Waits for promises but not for timers, so that a test can run many plans quickly. */
export async function microtasks() {
    for (let turn = 0; turn < 8; turn++) {
        await turned;
    }
}

/**
 * Starts an in-memory server. It uses the plain protocol unless a test requests sessions with `plain: false`. `life` records each
 * client's states with their times.
 */
export function setUp(settings) {
    const server = createServer({ plain: true, ...settings });
    return {
        server,
        /** Connects a client, and does not wait for the connection. */
        connect(options = {}) {
            const client = connect("ws://test/ws", { ...server.options, codec: "json", ...options });
            const life = [];
            const errors = [];
            client.on("state", (state, error) => life.push([server.clock.now(), state, error?.code]));
            client.on("error", (error) => errors.push(error));
            return { client, life, errors };
        },
        /** Connects clients that join a room, and waits until all are in it. */
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

/** Records these events of a client or room in a list, as arrays [event, ...arguments]. */
export function record(source, ...events) {
    const log = [];
    for (const event of events) {
        source.on(event, (...args) => void log.push([event, ...args]));
    }
    return log;
}

/** Returns a predicate for a RoomerError with this code, for assert.throws and assert.rejects. */
export const code = (wanted) => (error) => error.name === "RoomerError" && error.code === wanted;

/** Returns the id that the test kit assigns to its nth client. */
export const nthId = (n) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;

/** Returns an object that will contain the promise's result or error. */
export function follow(promise) {
    const seen = {};
    promise.then((value) => (seen.value = value), (error) => (seen.error = error));
    return seen;
}

/** Returns the error of a failed request as an array, for assertions: its name, code and kind. */
export const reason = ({ error }) => error && [error.name, error.code, error.kind];
