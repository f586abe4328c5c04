/** Async iterators over messages, for `for await`.
 *
 * @module stream
 */

import { check, rejectUnknown } from "./error.js";
import { extendRooms } from "./feature.js";
import { readOptions } from "./options.js";
import { checkName, isReserved } from "./room.js";

/**
 * Collects messages from now on, even before the first read, until its listener is removed. If more than `buffer` messages are
 * queued, the oldest is dropped, and the next message read contains the number of dropped ones in `missed`. This is not a
 * generator, since a generator can end neither before its first read nor while a read is pending.
 *
 * @param {(event: string, listener: Function, options: object, ended: () => void) => () => void} on
 * @param {string} event
 * @param {{signal?: AbortSignal, buffer?: number}} options
 */
function createStream(on, event, options) {
    const { signal, buffer = 256, ...others } = readOptions(options);
    rejectUnknown(others);
    check(buffer >= 1, "buffer: at least 1");
    let messages = [];
    /** The resolve functions of pending reads, oldest first. */
    const readers = [];
    let missed = 0;
    let isOver;

    const stop = on(event, (payload, from, direct, number) => {
        messages.push({ event, payload, from, direct, ...(number && { number }) });
        if (messages.length > buffer) {
            messages.shift();
            missed++;
        }
        serve();
    }, { signal }, () => {
        isOver = true;
        if (signal?.aborted) {
            messages = [];
        }
        serve();
    });

    /** Passes the oldest messages to the oldest pending reads. After the end, the messages still queued can be read. */
    function serve() {
        while (readers.length && (messages.length || isOver)) {
            const message = messages.shift();
            readers.shift()({ value: message && { ...message, missed }, done: !message });
            missed = 0;
        }
    }

    return {
        next: () => new Promise((resolve) => {
            readers.push(resolve);
            serve();
        }),
        async return(value) {
            messages = [];
            stop();
            return { value, done: true };
        },
        [Symbol.asyncIterator]() {
            return this;
        }
    };
}

/** The feature behind `room.messages()`. */
export function streams(core) {
    extendRooms(core, ({ api }) => {
        api.messages = (event, options) => {
            checkName(event, isReserved(event));
            return createStream(api.on, event, options);
        };
    });
}
