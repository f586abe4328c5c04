/**
 * Messages for `for await`.
 *
 * @module stream
 */

import { rejectUnknown } from "./error.js";

/**
 * Collects messages from now on, even before the first read. When more than `buffer` wait, the oldest is dropped, and the
 * next one carries the count in `missed`. This is not a generator: a generator can end neither before its first read nor
 * while a read is pending.
 *
 * @param {(event: string, listener: Function) => () => void} on
 * @param {string} event
 * @param {{signal?: AbortSignal, buffer?: number}} options
 * @param {boolean} isOver true if the room is closed already
 */
export function createStream(on, event, { signal, buffer = 256, ...others } = {}, isOver) {
    rejectUnknown(others);
    const messages = [];
    /** Resolve functions of pending reads, oldest first. */
    const readers = [];
    let missed = 0;

    const offs = [
        on(event, (payload, from, direct) => {
            messages.push({ event, payload, from, direct });
            if (messages.length > buffer) {
                messages.shift();
                missed++;
            }
            serve();
        }),
        // Messages that wait can still be read.
        on("close", () => end())
    ];
    signal?.addEventListener("abort", end);
    (isOver || signal?.aborted) && end();

    function serve() {
        while (readers.length && (messages.length || isOver)) {
            const [message] = messages.splice(0, 1);
            readers.shift()({ value: message && { ...message, missed }, done: !message });
            missed = 0;
        }
    }

    /** Takes no more messages; if cancelled, also drops those that wait. */
    function end(isCancelled) {
        isOver = true;
        isCancelled && messages.splice(0);
        offs.forEach((off) => off());
        signal?.removeEventListener("abort", end);
        serve();
    }

    return {
        next: () => new Promise((resolve) => {
            readers.push(resolve);
            serve();
        }),
        async return(value) {
            end(true);
            return { value, done: true };
        },
        [Symbol.asyncIterator]() {
            return this;
        }
    };
}
