/**
 * Listeners by event. Whatever a listener throws, the others hear the event.
 *
 * @module events
 */

import { check, checkKeys } from "./error.js";

/**
 * @param {(error: unknown, event: string) => void} failed hears what listeners throw, and of promises they return that reject
 */
export function createEvents(failed) {
    /** @type {Map<string, Set<{listener: Function, drop: () => void}>>} */
    const lists = new Map();

    /** Adds a listener; returns the function that removes it. */
    function on(event, listener, options = {}) {
        const { once, signal } = checkKeys(options, "once signal", "on()");
        check(typeof listener === "function", "a listener must be a function");
        const call = once ? (...args) => (drop(), listener(...args)) : listener;
        const entry = { listener, call, drop };
        function drop() {
            const list = lists.get(event);
            if (list?.delete(entry) && !list.size) {
                lists.delete(event);
            }
            signal?.removeEventListener("abort", drop);
        }
        if (!signal?.aborted) {
            lists.set(event, (lists.get(event) ?? new Set()).add(entry));
            signal?.addEventListener("abort", drop);
        }
        return drop;
    }

    return {
        on,
        /** Removes a listener by itself, however often it is there. */
        off(event, listener) {
            for (const entry of [...(lists.get(event) ?? [])]) {
                if (entry.listener === listener) {
                    entry.drop();
                }
            }
        },
        /** Calls those who listen now, in order; tells whether there was one. */
        emit(event, ...args) {
            const list = lists.get(event);
            for (const entry of [...(list ?? [])]) {
                // One that an earlier listener has removed hears nothing any more.
                if (list.has(entry)) {
                    try {
                        entry.call(...args)?.then?.(null, (error) => failed(error, event));
                    } catch (error) {
                        failed(error, event);
                    }
                }
            }
            return !!list;
        },
        has: (event) => lists.has(event),
        /** Forgets all listeners. */
        clear() {
            for (const list of lists.values()) {
                for (const entry of [...list]) {
                    entry.drop();
                }
            }
        }
    };
}
