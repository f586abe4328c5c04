/**
 * One room: its state, its members and its messages.
 *
 * @module room
 */

import { RoomerError, check, createClosedError, wrap } from "./error.js";
import { createEvents } from "./events.js";
import { GRACE } from "./limits.js";
import { createItem } from "./outbox.js";
import { toBytes, toText } from "./packet.js";

/** Returns true for events that only the server or this client may cause: a peer's message of such a name is dropped. */
export const isReserved = (event) => /^((close|history_lost|join|join_ack|leave|leave_ack|member_changed|member_left|new_member|open|reopen)$|roomer:)/.test(event);

/** Rejects reserved names, and names that UTF-8 cannot express: the server would read a different name. */
export function checkName(name, isWrong) {
    check(toText(toBytes(name)) === name && !isWrong, `name "${name}"`);
}

/** Decodes the payload of a packet and passes it to `use`, or reports that it does not fit the codec. */
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
 * Returns members by id. The server's list has their ids and, in a session, a list for each: the id, the info and the user. The
 * last entry may be anything.
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
 * Creates a room. It calls `core.leave(room)` at the end of the turn in which the last user has left the room.
 *
 * @param {object} core see core.js
 * @param {string} name
 * @param {any} codec
 */
export function createRoom(core, name, codec) {
    /** "leaving" or "closed"; "" before, when `isIn` decides. */
    let phase = "";
    let isIn;
    /** True if the room has been open. */
    let wasIn;
    /** Calls of join() that no leave() has taken back. */
    let joins = 0;
    /** True if queued messages wait for other members, which lost their connections at the same time. */
    let isWaiting;
    /** The last time at which there were other members. */
    let othersAt;
    let id = "";
    /** The members by id. */
    let members = new Map();
    /** The number of members, where the server does not send their ids. */
    let counted;
    let setLeft;
    let left = Promise.resolve();

    const { on, off, emit, count, end } = createEvents((error) => core.report(error));
    const opened = new Promise((resolve, reject) => {
        on("open", () => resolve(api));
        on("close", (error) => reject(error ?? createClosedError()));
    });
    // An application that does not use the promise must not see an unhandled rejection.
    opened.catch(() => {});

    /** Returns a message for the outbox; one with a tag is a request. */
    const createMessage = (event, payload, to, tag = "") => {
        checkName(event, isReserved(event));
        // An empty receiver would make a private message public.
        to === undefined || checkName(to, to === "");
        if (phase) {
            throw createClosedError();
        }
        return { ...createItem(event, payload === undefined ? payload : codec.encode(payload), name, (to ?? "") + tag, room), payload, to, tag };
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

    /** Emits what has changed about a member. */
    const compare = (id, before, now) => {
        if (JSON.stringify(before) !== JSON.stringify(now)) {
            emit(!before ? "new_member" : now ? "member_changed" : "member_left", id, now ?? before);
        }
    };

    /** Sets a member, or removes it. */
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
        /** Sets the number of members, where the server does not send their ids. */
        setCount: (number) => (counted = number),
        /**
         * Handles a join_ack. Emits the differences between the members before and now, so that lists which the application
         * keeps stay correct.
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
            // In a session it is an object.
            counted = list?.count ?? list;
            const now = (members = toMembers(list?.members ?? list));
            id = ownId;
            isIn = true;
            // Before any listener runs, since a listener may send.
            isWaiting &&= api.count < 2;
            room.recalled?.(list, emit);
            if (!wasIn) {
                wasIn = true;
                emit("open");
                return;
            }
            // The client itself neither leaves nor joins.
            before.delete(previousId);
            before.set(id, now.get(id));
            new Map([...before, ...now]).forEach((_, each) => compare(each, before.get(each), now.get(each)));
            wasOpen || emit("reopen", previousId);
        },
        /** Handles a message or a change of the members. */
        received(packet, ...numbers) {
            const { event, from, to, payload } = packet;
            if (api.count > 1) {
                othersAt = core.clock.now();
            }
            if (!isReserved(event)) {
                // A room that remembers sends its messages with a number, "#7", which is not a receiver.
                count(event) && decodePayload(core, codec, packet, (value) => emit(event, value, from, to > "$", ...numbers));
            } else if (!from) {
                if (!to && event === "new_member") {
                    toMembers([toText(payload)]).forEach(change);
                } else if (!to && event === "member_left") {
                    change(undefined, toText(payload));
                }
            }
        },
        /** Returns true if messages may be sent. `isLate` means that the time for waiting is over. */
        isOpen: (isLate) => !phase && isIn && (!isWaiting || isLate || api.count > 1),
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
                setLeft?.();
                emit("close", error);
                end();
            }
        }
    };
    return room;
}
