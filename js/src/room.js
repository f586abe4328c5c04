/**
 * One room: who is in it, and what is said there.
 *
 * @module room
 */

import { findCodec } from "./codec.js";
import { RoomerError, check } from "./error.js";
import { createEvents } from "./events.js";
import { toText } from "./packet.js";
import { createStream } from "./stream.js";

/** Events that only this client brings about: a peer's message of such a name is not passed on. */
export const LOCAL = ["close", "join", "join_ack", "leave", "leave_ack", "member_left", "new_member", "open", "reopen"];

/** Refuses names that UTF-8 cannot express: the server would read another name. */
export function checkName(name, what) {
    check(typeof name === "string" && !/\p{Surrogate}/u.test(name), `${what} must be a string without lone surrogates`);
}

/** The ids in the payload of a join_ack; a server that only counts members sends their number. */
function parseIds(payload) {
    try {
        const list = JSON.parse(toText(payload));
        return typeof list === "number" ? list : list.filter((id) => typeof id === "string");
    } catch {
        return [];
    }
}

/** The payload in a list, or nothing if it does not fit; then that is reported. */
export function decodePayload(codec, { room, event, src, payload }, report) {
    try {
        return [findCodec(codec).decode(payload)];
    } catch (cause) {
        report(new RoomerError("payload", `"${event}" from ${src} in room "${room}" does not fit the codec`, { cause }));
    }
}

/**
 * @param {string} name
 * @param {any} codec
 * @param {object} client what the room asks of its client
 * @param {(error: RoomerError) => void} client.report
 * @param {(event: string, dst: string | undefined, payload: Uint8Array, value: any) => string} client.send
 * @param {(left: () => Promise<void>) => Promise<void>} client.leave one who joined is done; left() gives the promise for when we are out
 */
export function createRoom(name, codec, client) {
    codec = findCodec(codec);
    let state = "joining";
    let id = "";
    let ids = new Set();
    let wasOpen = false;
    let settle;
    const opened = new Promise((resolve, reject) => (settle = { resolve, reject }));
    // Whoever does not ask need not hear of a failure.
    opened.catch(() => {});
    /** Number of members, where the server tells no more. */
    let counted;
    let left = {};
    let stateBefore;

    const events = createEvents((cause, event) => {
        client.report(new RoomerError("listener", `a listener of "${event}" in room "${name}" has thrown`, { cause }));
    });

    const api = Object.freeze({
        name,
        opened,
        get state() {
            return state;
        },
        get id() {
            return id;
        },
        get count() {
            return counted ?? ids.size;
        },
        members: () => [...ids],
        memberSet: Object.freeze({
            get size() {
                return ids.size;
            },
            has: (member) => ids.has(member),
            [Symbol.iterator]: () => ids.values()
        }),
        send(event, payload, to) {
            checkName(event, "an event");
            check(!LOCAL.includes(event), `the event "${event}" is reserved`);
            // Anything else as receiver is a mistake, and must not make a private message public.
            if (to !== undefined) {
                checkName(to, "a receiver");
                check(to, "a receiver must not be empty; leave it out to send to the room");
            }
            if (state === "leaving" || state === "closed") {
                throw new RoomerError("closed", `room "${name}" is ${state}; join it again to send`);
            }
            return client.send(event, to, payload === undefined ? new Uint8Array() : codec.encode(payload), payload);
        },
        leave() {
            if (state === "closed" || state === "leaving") {
                return left.promise ?? Promise.resolve();
            }
            return client.leave(() => {
                left.promise = new Promise((resolve) => (left.resolve = resolve));
                stateBefore = state;
                state = "leaving";
                return left.promise;
            });
        },
        on: events.on,
        off: events.off,
        messages(event, options) {
            check(!LOCAL.includes(event), `"${event}" is no message; use on()`);
            return createStream(events, event, options, state === "closed");
        }
    });

    return {
        name,
        api,
        state: () => state,
        /**
         * The server has let us in. Returns what tells the application: others who came and went meanwhile are announced, so
         * that lists stay true.
         */
        joined(ownId, payload) {
            const before = ids;
            const was = state;
            const previousId = id;
            id = ownId;
            const list = parseIds(payload);
            counted = Array.isArray(list) ? undefined : list;
            ids = new Set(counted === undefined ? list : []);
            state = "open";
            const now = ids;
            return () => {
                if (!wasOpen) {
                    wasOpen = true;
                    settle.resolve(api);
                    events.emit("open");
                    return;
                }
                for (const member of before) {
                    member === previousId || now.has(member) || events.emit("member_left", member);
                }
                for (const member of now) {
                    member === ownId || before.has(member) || events.emit("new_member", member);
                }
                if (was !== "open") {
                    events.emit("reopen", previousId);
                }
            };
        },
        came(payload) {
            const member = toText(payload);
            if (!ids.has(member)) {
                ids.add(member);
                events.emit("new_member", member);
            }
        },
        went(payload) {
            const member = toText(payload);
            if (ids.delete(member)) {
                events.emit("member_left", member);
            }
        },
        said(event, payload, from, direct) {
            if (!LOCAL.includes(event) && events.has(event)) {
                const value = decodePayload(codec, { room: name, event, src: from, payload }, client.report);
                value && events.emit(event, value[0], from, direct);
            }
        },
        leaving: () => (state = "leaving"),
        /** The last one who left has thought better of it, or another has come. */
        stay() {
            state = stateBefore;
            left.resolve();
            left = {};
        },
        /** The connection is lost, or was never there; the client will join again. */
        suspend() {
            stateBefore = "joining";
            state = state === "leaving" ? state : stateBefore;
        },
        /** Out, for good. Without an error it was our own wish. */
        close(error) {
            if (state !== "closed") {
                state = "closed";
                settle.reject(error ?? new RoomerError("closed", `room "${name}" was left before it opened`));
                left.resolve?.();
                events.emit("close", error);
                events.clear();
            }
        }
    };
}
