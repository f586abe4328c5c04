/**
 * One room: its state, its members and its messages.
 *
 * @module room
 */

import { RoomerError, check, createClosedError, wrap } from "./error.js";
import { createEvents } from "./events.js";
import { GRACE } from "./limits.js";
import { encode, toBytes, toText } from "./packet.js";

/** Returns true for events that only the server or this client may cause: a peer's message of such a name is dropped. */
export const isReserved = (event) => /^(close|history_lost|join|join_ack|leave|leave_ack|member_changed|member_left|new_member|open|reopen|roomer:.*)$/s.test(event);

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
 * Returns members by id. The server's list has their ids and, in a session, a list for each: the id, the info and the user. The
 * last entry may be anything.
 */
export const toMembers = (list) => new Map((Array.isArray(list) ? list : []).flatMap((entry) => {
    const [id, info = null, user] = [entry].flat();
    return typeof id === "string" ? [[id, Object.freeze({ id, info, user })]] : [];
}));

/**
 * @param {string} name
 * @param {any} codec
 * @param {object | undefined} options of join(), for the features
 * @param {(error: RoomerError) => void} report
 * @param {(item: object) => string} send sends a message, or queues it; see the outbox
 * @param {(room: object) => void} leave called at the end of the turn in which the last user has left the room
 * @param {() => boolean} isConnected
 * @param {(hook: string, ...args: any[]) => boolean} callFeatures see core.js
 */
export function createRoom(name, codec, options = {}, report, send, leave, isConnected, callFeatures) {
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
    /** The members by id. */
    let members = new Map();
    /** The number of members, where the server does not send their ids. */
    let counted;
    let left = Promise.resolve();
    let setLeft;
    let setOpen;
    let setFailed;
    const opened = new Promise((resolve, reject) => {
        setOpen = resolve;
        setFailed = reject;
    });
    // An application that does not use the promise must not see an unhandled rejection.
    opened.catch(() => {});

    const { on, off, emit, count, end } = createEvents(report);

    /** Returns a message for the outbox; one with a tag is a request. */
    const createItem = (event, payload, to, tag = "") => {
        checkName(event, isReserved(event));
        // An empty receiver would make a private message public.
        to === undefined || checkName(to, to === "");
        if (phase) {
            throw createClosedError();
        }
        return { owner: room, room: name, event, payload, to, tag, data: encode(name, event, (to ?? "") + tag, "", payload === undefined ? payload : codec.encode(payload)) };
    };

    const api = {
        name,
        opened,
        get state() {
            return phase || (isIn && isConnected() ? "open" : "joining");
        },
        get id() {
            return id;
        },
        get count() {
            return counted ?? members.size;
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
        send: (event, payload, to) => send(createItem(event, payload, to)),
        leave() {
            if (phase || --joins > 0) {
                return left;
            }
            phase = "leaving";
            queueMicrotask(() => leave(room));
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
    const change = (id, now) => {
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
            const { members: entries = list, count: number = list } = list ?? {};
            counted = typeof number === "number" ? number : undefined;
            const now = (members = toMembers(entries));
            id = ownId;
            isIn = true;
            // Before any listener runs, since a listener may send.
            isWaiting &&= api.count < 2;
            room.recalled?.(list ?? {}, emit);
            if (!wasIn) {
                wasIn = true;
                setOpen(api);
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
        received(packet, now, ...numbers) {
            if (api.count > 1) {
                othersAt = now;
            }
            const { event, from, to, payload } = packet;
            if (!isReserved(event)) {
                // A room that remembers sends its messages with a number, "#7", which is not a receiver.
                count(event) && decodePayload(codec, packet, report, (value) => emit(event, value, from, to > "$", ...numbers));
            } else if (!from) {
                if (!to && event === "new_member") {
                    toMembers([toText(payload)]).forEach((member, id) => change(id, member));
                } else if (!to && event === "member_left") {
                    change(toText(payload));
                }
                room.told?.(packet);
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
                callFeatures("closed", room, error);
                setFailed(error ?? createClosedError());
                setLeft?.();
                emit("close", error);
                end();
            }
        }
    };
    callFeatures("room", room, options);
    Object.freeze(api);
    return room;
}
