/** Adds event listeners to frozen objects.
 *
 * @module emitter
 */

/** The events that report added and removed listeners. */
const ADDED = "newListener";
const REMOVED = "removeListener";

/**
 * @typedef {(...args: any[]) => void} Listener
 *
 * @typedef {object} Entry
 * @property {Listener} listener the function as it was registered
 * @property {boolean} once true to remove it before it runs
 * @property {boolean} [done] true if a `once` listener has been called
 *
 * @typedef {Map<string, Entry[]>} Registry listeners by event; lists are replaced, never changed
 */

/**
 * The methods that `emitter()` adds to its target. Arguments of the wrong type are ignored: chainable methods then return the
 * emitter, `emit` returns false and `listeners` an empty array.
 *
 * @typedef {object} Emitter
 * @property {(type: string, listener: Listener) => any} addListener appends a listener, after emitting "newListener"(type,
 * listener)
 * @property {(type: string, listener: Listener) => any} on the same as addListener
 * @property {(type: string, listener: Listener) => any} once appends a listener that is removed before its only call
 * @property {(type: string, listener: Listener) => any} removeListener removes the listener (its latest registration, if there
 * are several), then emits "removeListener"(type, listener)
 * @property {(type: string, listener: Listener) => any} off the same as removeListener
 * @property {(type?: string) => any} removeAllListeners removes all listeners for one event, or for all events
 * @property {(type: string, ...args: any[]) => boolean} emit calls the event's listeners in order, synchronously, and returns
 * true if there were any. Listeners added or removed during the calls do not affect them; an exception stops the calls and
 * propagates
 * @property {(type?: string) => Listener[]} listeners returns the functions registered for one event, or for all events
 */

/**
 * Returns a frozen copy of an object with an event emitter's methods.
 *
 * @template {object} T
 * @param {T} [target] the new object's properties
 * @param {Registry} [registry] stores the listeners; a caller that passes its own map can see which events have listeners
 * @returns {Readonly<T & Emitter>}
 */
function emitter(target, registry = new Map()) {
    const entriesOf = (type) => registry.get(type) ?? [];

    function add(type, listener, once) {
        if (typeof type === "string" && typeof listener === "function") {
            emit(ADDED, type, listener);
            registry.set(type, [...entriesOf(type), { listener, once }]);
        }
        return self;
    }

    function drop(type, entry) {
        const before = entriesOf(type);
        const after = before.filter((other) => other !== entry);
        if (after.length === before.length) {
            return;
        }
        if (after.length) {
            registry.set(type, after);
        } else {
            registry.delete(type);
        }
        emit(REMOVED, type, entry.listener);
    }

    function emit(type, ...args) {
        const entries = entriesOf(type);
        for (const entry of entries) {
            if (entry.once) {
                if (entry.done) {
                    continue;
                }
                entry.done = true;
                drop(type, entry);
            }
            entry.listener.apply(self, args);
        }
        return entries.length > 0;
    }

    function addListener(type, listener) {
        return add(type, listener, false);
    }

    function removeListener(type, listener) {
        drop(type, entriesOf(type).findLast((entry) => entry.listener === listener));
        return self;
    }

    function removeAllListeners(type) {
        const types = type === undefined ? [...registry.keys()] : [type];
        // Remove the "removeListener" listeners last: they must be notified of all other removals.
        types.sort((a, b) => Number(a === REMOVED) - Number(b === REMOVED));
        for (const each of types) {
            for (const entry of entriesOf(each)) {
                drop(each, entry);
            }
        }
        return self;
    }

    const self = Object.freeze({
        ...target,
        addListener,
        on: addListener,
        once: (type, listener) => add(type, listener, true),
        removeListener,
        off: removeListener,
        removeAllListeners,
        emit,
        listeners(type) {
            const entries = type === undefined ? [...registry.values()].flat() : entriesOf(type);
            return entries.map((entry) => entry.listener);
        }
    });
    return self;
}

export default Object.freeze(emitter);
