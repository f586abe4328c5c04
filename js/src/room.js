/**
 * One room: its state, its members and its messages.
 *
 * @module room
 */

import { findCodec } from "./codec.js";
import { RoomerError, check, createClosedError, wrap } from "./error.js";
import { createEvents } from "./events.js";
import { GRACE, MEMBERS } from "./limits.js";
import { encode, toBytes, toText } from "./packet.js";
import { createStream } from "./stream.js";

/** Returns true for events that only the server or this client may cause: a peer's message of such a name is dropped. */
export const isReserved = (event) => /^(close|(join|leave)(_ack)?|member_left|new_member|(re)?open|roomer:.*)$/s.test(event);

/** Rejects reserved names, and names that UTF-8 cannot express: the server would read a different name. */
export function checkName(name, isWrong) {
    check(toText(toBytes(name)) === name && !isWrong, `name "${name}"`);
}

/** Decodes the payload of a packet and passes it to `use`, or reports that it does not fit the codec. */
export function decodePayload(codec, { room, event, from, payload }, report, use) {
    let value;
    try {
        value = codec.decode(payload);
    } catch (cause) {
        return report(wrap("payload", cause, `${room}: ${event} from ${from}`));
    }
    use(value);
}

/**
 * @param {string} name
 * @param {any} codec
 * @param {(error: RoomerError) => void} report
 * @param {(item: object) => string} send sends a message, or queues it; see the outbox
 * @param {(room: object) => void} leave called at the end of the turn in which the last user has left the room
 * @param {() => boolean} isConnected
 * @param {() => Promise<boolean>} isHandled resolves once all messages so far are handled by the server or lost
 */
export function createRoom(name, codec, report, send, leave, isConnected, isHandled) {
    codec = findCodec(codec);
    /** "leaving" or "closed"; "" before, when `isIn` decides. */
    let phase = "";
    let isIn = false;
    /** True if the room has been open. */
    let wasIn = false;
    /** Calls of join() that no leave() has taken back. */
    let joins = 0;
    /** True if queued messages wait for other members, which lost their connections at the same time. */
    let isWaiting = false;
    /** The last time at which there were other members. */
    let othersAt;
    let id = "";
    let ids = new Set();
    /** The number of members, where the server does not send their ids. */
    let counted;
    let left = Promise.resolve();
    let setLeft;
    let settle;
    const opened = new Promise((...functions) => (settle = functions));
    // An application that does not use the promise must not see an unhandled rejection.
    opened.catch(() => {});

    const { on, off, emit, count, end } = createEvents(report);

    const api = Object.freeze({
        name,
        opened,
        get state() {
            return phase || (isIn && isConnected() ? "open" : "joining");
        },
        get sent() {
            return isHandled();
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
            checkName(event, isReserved(event));
            // An empty receiver would make a private message public.
            to === undefined || checkName(to, to === "");
            if (phase) {
                throw createClosedError();
            }
            const data = encode(name, event, to, "", payload === undefined ? payload : codec.encode(payload));
            return send({ owner: room, room: name, event, payload, to, data });
        },
        leave() {
            if (phase || --joins > 0) {
                return left;
            }
            phase = "leaving";
            queueMicrotask(() => leave(room));
            return (left = new Promise((resolve) => (setLeft = resolve)));
        },
        on,
        off,
        messages(event, options) {
            checkName(event, isReserved(event));
            return createStream(on, event, options);
        }
    });

    /** Applies a change of the members. */
    const change = (event, member) => {
        if (event === "new_member" ? !ids.has(member) && ids.add(member) : ids.delete(member)) {
            emit(event, member);
        }
    };

    /** Applies the changes that a server with sessions sends together. */
    const applyChanges = (payload) => {
        const { left = [], joined = [], count: number = counted } = JSON.parse(toText(payload));
        counted = number;
        left.forEach((member) => change("member_left", member));
        joined.forEach(([member]) => change("new_member", member));
    };

    const room = {
        name,
        api,
        /**
         * Handles a join_ack. Emits the differences between the members before and now, so that lists which the application
         * keeps stay correct.
         */
        joined(ownId, payload) {
            const [before, previousId, wasOpen] = [ids, id, isIn];
            let list;
            try {
                list = JSON.parse(toText(payload));
            } catch {
                // A server may send an empty payload.
            }
            // In a session each entry is a list itself, and begins with the id.
            const { members = list, count: number = list } = list ?? {};
            counted = typeof number === "number" ? number : undefined;
            const now = (ids = new Set(Array.isArray(members) ? members.map((each) => (members === list ? each : each[0])).filter((each) => typeof each === "string") : []));
            id = ownId;
            isIn = true;
            // Before any listener runs, since a listener may send.
            isWaiting &&= api.count < 2;
            if (!wasIn) {
                wasIn = true;
                settle[0](api);
                emit("open");
                return;
            }
            for (const member of before) {
                member === previousId || now.has(member) || emit("member_left", member);
            }
            for (const member of now) {
                member === ownId || before.has(member) || emit("new_member", member);
            }
            wasOpen || emit("reopen", previousId);
        },
        /** Handles a message or a change of the members. */
        received(packet, now) {
            if (api.count > 1) {
                othersAt = now;
            }
            const { event, from, to, payload } = packet;
            if (!isReserved(event)) {
                // A room that remembers sends its messages with a number, "#7", which is not a receiver.
                count(event) && decodePayload(codec, packet, report, (value) => emit(event, value, from, to > "$"));
            } else if (!from && !to) {
                if (event === MEMBERS) {
                    decodePayload({ decode: applyChanges }, packet, report, () => {});
                } else if (event === "new_member" || event === "member_left") {
                    change(event, toText(payload));
                }
            }
        },
        /** Returns true if messages may be sent. `isLate` means that the time for waiting is over. */
        isOpen: (isLate) => isIn && !phase && (isLate || !isWaiting || api.count > 1),
        /** Counts one user more, and undoes a leave() of the same turn. Returns the number of users before. */
        join() {
            phase = "";
            setLeft?.();
            return joins++;
        },
        /** Handles a lost connection, and an acknowledgement after which membership is uncertain. */
        suspend(now) {
            // A server that shuts down may close the connections of others first.
            isWaiting ||= isIn && (api.count > 1 || now - othersAt < GRACE);
            isIn = false;
        },
        /** Closes the room for good; without an error if the application has left it. By default the server has closed it. */
        close(error = phase ? undefined : new RoomerError(wasIn ? "removed" : "refused", name)) {
            if (phase !== "closed") {
                phase = "closed";
                settle[1](error ?? createClosedError());
                setLeft?.();
                emit("close", error);
                end();
            }
        }
    };
    return room;
}
