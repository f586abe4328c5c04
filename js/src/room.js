/**
 * A room: its state, members and messages.
 *
 * @module room
 */

import { RoomerError, check, createClosedError, wrap } from "./error.js";
import { createEvents } from "./events.js";
import { GRACE } from "./limits.js";
import { toBytes, toText } from "./packet.js";

/** Returns true for events that only the server or this client may emit. A peer's message with such a name is dropped. */
export const isReserved = (event) => /^((close|history_lost|join|join_ack|leave|leave_ack|member_changed|member_left|new_member|open|reopen)$|roomer:)/.test(event);

/** Rejects reserved names, and names that UTF-8 cannot represent, which the server would read as different names. */
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
 * Converts the server's member list to a map by id. Without sessions an entry is an id; in a session it is a list of the id, the
 * info and the user. Further values may be of any type.
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
 * Creates a room. Calls `core.leave(room)` at the end of the turn when its last user leaves it.
 *
 * @param {object} core see core.js
 * @param {string} name
 * @param {any} codec
 */
export function createRoom(core, name, codec) {
    /** "leaving" or "closed"; "" before that, when `isIn` determines the state. */
    let phase = "";
    let isIn;
    /** True once the room has been open. */
    let wasIn;
    /** The number of join() calls not yet undone by leave(). */
    let joins = 0;
    /** True if queued messages wait for other members whose connections broke at the same time. */
    let isWaiting;
    /** When there last were other members. */
    let othersAt;
    let id = "";
    /** The room's members, by id. */
    let members = new Map();
    /** The number of members, if the server does not send their ids. */
    let counted;
    let setLeft;
    let left = Promise.resolve();

    const { on, off, emit, count, end } = createEvents((error) => core.report(error));
    const opened = new Promise((resolve, reject) => {
        on("open", () => resolve(api));
        on("close", (error) => reject(error ?? createClosedError()));
    });
    // Without this handler, an application that ignores the promise would cause an unhandled rejection.
    opened.catch(() => {});

    /** Returns a message's outbox item; with a tag it is a request. */
    const createMessage = (event, payload, to, tag = "") => {
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
            return typeof counted === "number" ? counted : members.size;
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
        send: (event, payload, to) => core.send(createMessage(event, payload, to)),
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

    /** Emits the events for a changed member. */
    const compare = (id, before, now) => {
        if (JSON.stringify(before) !== JSON.stringify(now)) {
            emit(!before ? "new_member" : now ? "member_changed" : "member_left", id, now ?? before);
        }
    };

    /** Sets or removes a member. */
    const change = (now, id) => {
        const before = members.get(id);
        now ? members.set(id, now) : members.delete(id);
        compare(id, before, now);
    };

    const room = {
        name,
        api,
        codec,
        createMessage,
        change,
        /** Sets the number of members, if the server does not send their ids. */
        setCount: (number) => (counted = number),
        /**
         * Handles a join_ack. Emits the differences between the previous and the new members, which keeps the application's own
         * lists correct.
         */
        joined(ownId, payload) {
            const before = members;
            const previousId = id;
            const wasOpen = isIn;
            let list;
            try {
                list = JSON.parse(toText(payload));
            } catch {
                // A server may send an empty payload.
            }
            // In a session the payload is an object.
            counted = list?.count ?? list;
            members = toMembers(list?.members ?? list);
            id = ownId;
            isIn = true;
            // Do this before any listener runs, since a listener may send.
            isWaiting &&= api.count < 2;
            room.recalled?.(list, members, emit);
            if (!wasIn) {
                wasIn = true;
                emit("open");
                return;
            }
            // This client itself neither leaves nor joins.
            before.delete(previousId);
            before.set(id, members.get(id));
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
                // Only the server sends these.
                if (event === "new_member") {
                    toMembers([toText(payload)]).forEach(change);
                } else if (event === "member_left") {
                    change(undefined, toText(payload));
                }
            }
        },
        /** Returns true if messages may be sent. `isLate` is true if they do not, or no longer, wait for other members. */
        isOpen: (isLate) => !phase && isIn && (!isWaiting || isLate || api.count > 1),
        /** Counts one more user, and undoes a leave() in the same turn. Returns the previous number of users. */
        join() {
            phase = "";
            setLeft?.();
            return joins++;
        },
        /** Handles a lost connection, or an acknowledgement that makes the membership uncertain. */
        suspend(now) {
            // A server that shuts down may close other members' connections first.
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
