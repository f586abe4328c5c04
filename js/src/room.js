/** A room: its state, members and messages.
 *
 * @module room
 */

import { RoomerError, check, createClosedError, wrap } from "./error.js";
import { createEvents } from "./events.js";
import { GRACE } from "./limits.js";
import { toBytes, toText } from "./packet.js";

/** Returns true for events that only the server or this client may emit. A message from a peer with such a name is dropped. */
export const isReserved = (event) => /^((close|count_changed|history_lost|join|join_ack|leave|leave_ack|member_changed|member_left|new_member|open|reopen)$|roomer:)/.test(event);

/** Throws for reserved names, and for names that UTF-8 cannot represent: the server would read them as different names. */
export function checkName(name, isWrong) {
    check(toText(toBytes(name)) === name && !isWrong, `name "${name}"`);
}

/** Decodes a packet's payload and passes it to `use`, or reports that the codec cannot decode it. */
export function decodePayload(core, codec, { room, event, from, payload }, use) {
    let value;
    try {
        value = codec.decode(payload);
    } catch (cause) {
        return core.report(wrap("payload", cause, `${room}: ${event} from ${from}`));
    }
    use(value);
}

/**
 * Converts the server's member list to a map by id. An entry is an id or, in a session, a list of the id, the info, the user and
 * perhaps further values, which are ignored, as is an entry without an id.
 */
export function toMembers(list) {
    const members = new Map();
    for (const entry of Array.isArray(list) ? list : []) {
        const [id, info = null, user] = [entry].flat();
        typeof id === "string" && members.set(id, Object.freeze({ id, info, user }));
    }
    return members;
}

/**
 * Creates a room. When its last user leaves it, the room calls `core.leave(room)` at the end of the turn.
 *
 * @param {object} core see core.js
 * @param {string} name
 * @param {any} codec
 */
export function createRoom(core, name, codec) {
    /** "leaving" or "closed", or "" in all earlier states, which `isIn` distinguishes. */
    let phase = "";
    let isIn;
    /** True once the room has been open. */
    let wasIn;
    /** The number of join() calls not yet undone by leave(). */
    let joins = 0;
    /** True if queued messages wait for other members whose connections broke at the same time. */
    let isWaiting;
    /** The latest time at which the room had other members. */
    let othersAt;
    let id = "";
    /** The room's members, by id. */
    let members = new Map();
    /** The number of members, if the server does not send their ids. */
    let counted;
    let setLeft;
    let left = Promise.resolve();

    const { on, off, emit, count, end } = createEvents(core.report);
    const opened = new Promise((resolve, reject) => {
        on("open", () => resolve(api));
        on("close", (error) => reject(error ?? createClosedError()));
    });
    // Without this handler, a rejection that the application ignores would be reported as unhandled.
    opened.catch(() => {});

    /** Returns a message's outbox item. With a tag, the message is a request. */
    const createItem = (event, payload, to, tag = "") => {
        checkName(event, isReserved(event));
        // An empty receiver would make a private message public.
        to === undefined || checkName(to, to === "");
        if (phase) {
            throw createClosedError();
        }
        return { ...core.createItem(event, payload === undefined ? payload : codec.encode(payload), name, (to ?? "") + tag, room), payload, to, tag };
    };

    const api = {
        name,
        opened,
        get state() {
            return phase || (isIn && core.state === "open" ? "open" : "joining");
        },
        get id() {
            return id;
        },
        get count() {
            return members.size || +counted || 0;
        },
        members: () => [...members.keys()],
        member: (id) => members.get(id),
        memberSet: Object.freeze({
            get size() {
                return members.size;
            },
            has: (id) => members.has(id),
            [Symbol.iterator]: () => members.keys()
        }),
        send: (event, payload, to) => core.send(createItem(event, payload, to)),
        leave() {
            if (phase || --joins > 0) {
                return left;
            }
            phase = "leaving";
            queueMicrotask(() => core.leave(room));
            return (left = new Promise((resolve) => (setLeft = resolve)));
        },
        on,
        off
    };

    /** Emits the event for a member that was added, changed or removed. */
    const compare = (id, before, now) => {
        if (JSON.stringify(before) !== JSON.stringify(now)) {
            emit(!before ? "new_member" : now ? "member_changed" : "member_left", id, now ?? before);
        }
    };

    /** Stores or removes a member, and emits the event for the change. */
    const change = (now, id) => {
        const before = members.get(id);
        now ? members.set(id, now) : members.delete(id);
        compare(id, before, now);
    };

    const room = {
        name,
        api,
        codec,
        createItem,
        change,
        /** Sets the number of members, if the server does not send their ids. */
        setCount: (number) => (counted = number),
        /**
         * Handles a join_ack. If the room was open before, emits the differences between the previous and the new members, so
         * that lists kept by the application stay correct.
         */
        joined(ownId, payload) {
            const wasOpen = isIn;
            const before = members;
            const previousId = id;
            let list;
            try {
                list = JSON.parse(toText(payload));
            } catch {
                // A server may send an empty payload.
            }
            // In a session the payload is an object, otherwise a list of ids or a number.
            counted = list?.count ?? list;
            members = toMembers(list?.members ?? list);
            id = ownId;
            isIn = true;
            // Clear this before any listener runs, since a listener may send a message.
            isWaiting &&= api.count < 2;
            room.recalled?.(list, members, emit);
            if (!wasIn) {
                wasIn = true;
                emit("open");
                return;
            }
            // Do not report this client itself as a member that has left or joined.
            before.delete(previousId);
            before.set(ownId, members.get(ownId));
            new Map([...before, ...members]).forEach((_, each) => compare(each, before.get(each), members.get(each)));
            wasOpen || emit("reopen", previousId);
        },
        /** Handles a message or a membership notice. */
        received(packet, ...numbers) {
            const { event, from, to, payload } = packet;
            if (api.count > 1) {
                othersAt = core.clock.now();
            }
            if (!isReserved(event)) {
                // A room with a history sends a number such as "#7" in place of a receiver.
                count(event) && decodePayload(core, codec, packet, (value) => emit(event, value, from, to > "$", ...numbers));
            } else if (!(from || to)) {
                // Only the server sends notices without a sender and receiver.
                if (event === "new_member") {
                    toMembers([toText(payload)]).forEach(change);
                } else if (event === "member_left") {
                    change(undefined, toText(payload));
                }
            }
        },
        /**
         * Returns true if messages may be sent. `isLate` is true for messages that do not wait for other members, or no longer
         * do.
         */
        isOpen: (isLate) => !phase && isIn && (!isWaiting || isLate || api.count > 1),
        /** Counts one more user, and undoes a leave() called in the same turn. Returns the previous number of users. */
        join() {
            phase = "";
            setLeft?.();
            return joins++;
        },
        /** Called when the connection is lost, or when an acknowledgement makes the membership uncertain. */
        suspend(now) {
            // Also wait if other members left a short time ago: a server that shuts down may have closed their connections first.
            isWaiting ||= isIn && (api.count > 1 || now - othersAt < GRACE);
            isIn = false;
        },
        /**
         * Closes the room permanently. By default, `error` is undefined if the application left, and otherwise reports that the
         * server closed the room.
         */
        close(error = phase ? undefined : new RoomerError(wasIn ? "removed" : "refused", name)) {
            if (phase !== "closed") {
                phase = "closed";
                setLeft?.();
                emit("close", error);
                end();
            }
        }
    };
    return room;
}
