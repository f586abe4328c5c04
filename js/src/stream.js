/**
 * Messages for `for await`.
 *
 * @module stream
 */

import { checkKeys } from "./error.js";

/**
 * Collects from now on, whether somebody iterates yet or not. When the reader falls behind, the oldest messages make way;
 * the next one tells in `missed` how many. Not a generator: that could not be ended while it waits, or before it began.
 *
 * @param {ReturnType<typeof import("./events.js").createEvents>} events
 * @param {string} event
 * @param {{signal?: AbortSignal, buffer?: number}} options
 * @param {boolean} over the room is closed already
 */
export function createStream(events, event, options = {}, over) {
    const { signal, buffer = 256 } = checkKeys(options, "signal buffer", "messages()");
    const waiting = [];
    /** Calls of next() that wait for a message, oldest first. */
    const readers = [];
    let missed = 0;

    const offMessage = events.on(event, (payload, from, direct) => {
        waiting.push({ event, payload, from, direct, missed: 0 });
        if (waiting.length > buffer) {
            waiting.shift();
            missed += 1;
        }
        serve();
    });
    const offClose = events.on("close", end);
    signal?.addEventListener("abort", cancel);

    function serve() {
        while (readers.length && (waiting.length || over)) {
            const done = !waiting.length;
            readers.shift()({ value: done ? undefined : { ...waiting.shift(), missed }, done });
            missed = done ? missed : 0;
        }
    }

    /** What has come in is still handed out. */
    function end() {
        over = true;
        offMessage();
        offClose();
        signal?.removeEventListener("abort", cancel);
        serve();
    }

    function cancel() {
        waiting.length = 0;
        end();
    }

    if (signal?.aborted) {
        cancel();
    } else if (over) {
        end();
    }

    return {
        next: () => new Promise((resolve) => {
            readers.push(resolve);
            serve();
        }),
        async return(value) {
            cancel();
            return { value, done: true };
        },
        async throw(error) {
            cancel();
            throw error;
        },
        [Symbol.asyncIterator]() {
            return this;
        }
    };
}
