/** A registry of event listeners. An error thrown by one listener does not affect the others.
 *
 * @module events
 */

import { check, rejectUnknown, wrap } from "./error.js";

/**
 * @param {(error: RoomerError, event: string) => void} report receives errors that listeners throw, and rejections of promises
 *   that they return
 */
export function createEvents(report) {
    const entries = new Set();
    let isOver;

    /**
     * Adds a listener. Returns the function that removes it. `ended` is called once the listener has been removed, however that
     * happened.
     */
    const on = (event, listener, options, ended) => {
        const { once, signal, ...others } = options ?? {};
        rejectUnknown(others);
        check(typeof listener === "function", "not a function");
        const entry = { event, listener, once, remove };
        function remove() {
            signal?.removeEventListener("abort", remove);
            entries.delete(entry) && ended?.();
        }
        entries.add(entry);
        signal?.addEventListener("abort", remove);
        (isOver || signal?.aborted) && remove();
        return remove;
    };

    /** Returns an event's entries in an array of their own, so that listeners may be added and removed while it is iterated. */
    const find = (event) => [...entries].filter((entry) => entry.event === event);

    return {
        on,
        /** Removes all registrations of a listener for an event. */
        off: (event, listener) => find(event).forEach((entry) => entry.listener === listener && entry.remove()),
        /** Calls the event's current listeners in order. Returns their number. */
        emit(event, ...args) {
            const failed = (cause) => report(wrap("listener", cause, event), event);
            const found = find(event);
            for (const entry of found) {
                // An earlier listener may have removed this one.
                if (entries.has(entry)) {
                    entry.once && entry.remove();
                    try {
                        entry.listener(...args)?.then?.(null, failed);
                    } catch (error) {
                        failed(error);
                    }
                }
            }
            return found.length;
        },
        count: (event) => find(event).length,
        /** Removes all listeners. Listeners added later are ignored. */
        end() {
            isOver = true;
            entries.forEach((entry) => entry.remove());
        }
    };
}
