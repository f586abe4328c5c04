/**
 * One room: its state, its members and its messages.
 *
 * @module room
 */

import { findCodec } from "./codec.js";
import { RoomerError, check } from "./error.js";
import { createEvents } from "./events.js";
import { GRACE } from "./limits.js";
import { encode, toBytes, toText } from "./packet.js";
import { createStream } from "./stream.js";

/** Events that only the server or this client may cause: a peer's message of such a name is dropped. */
export const RESERVED = ["close", "join", "join_ack", "leave", "leave_ack", "member_left", "new_member", "open", "reopen"];

/** Refuses reserved names, and those that UTF-8 cannot express: the server would read another name. */
export function checkName(name, what, reserved) {
    check(toText(toBytes(name)) === name && !reserved.includes(name), `${what} cannot be "${name}"`);
}

/** Passes the payload of a packet to `use`, or reports that it does not fit the codec. */
export function decodePayload(codec, { room, event, src, payload }, report, use) {
    let value;
    try {
        value = codec.decode(payload);
    } catch (cause) {
        return report(new RoomerError("payload", `"${event}" from ${src} in room "${room}"`, { cause }));
    }
    use(value);
}

/**
 * @param {string} name
 * @param {any} codec
 * @param {object} client
 * @param {(error: RoomerError) => void} client.report
 * @param {(item: object) => string} client.send sends a message, or queues it; see the outbox
 * @param {(room: object) => void} client.leave called at the end of the turn in which the last user of the room left
 */
export function createRoom(name, codec, client) {
    codec = findCodec(codec);
    /** "leaving" or "closed"; before that, the server decides. */
    let phase = "";
    let isIn = false;
    /** True if queued messages wait for other members; see GRACE. */
    let isWaiting = false;
    /** When there were other members last. */
    let othersAt;
    let id = "";
    let ids = new Set();
    /** The number of members, where the server does not send their ids. */
    let counted;
    let left = Promise.resolve();
    let setLeft = () => {};
    let settle;
    const opened = new Promise((...functions) => (settle = functions));
    // An application that does not use the promise must not see an unhandled rejection.
    opened.catch(() => {});

    const { on, off, emit, count, clear } = createEvents((error) => client.report(error));
    const refuseUse = () => new RoomerError("closed", `join room "${name}" again`);

    const api = Object.freeze({
        name,
        opened,
        get state() {
            return phase || (isIn ? "open" : "joining");
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
            checkName(event, "an event", RESERVED);
            // An empty receiver would make a private message public.
            to === undefined || checkName(to, "a receiver", [""]);
            if (phase) {
                throw refuseUse();
            }
            const data = encode(name, event, to, "", payload === undefined ? payload : codec.encode(payload));
            return client.send({ owner: room, room: name, event, payload, to, data });
        },
        leave() {
            if (phase || --room.joins > 0) {
                return left;
            }
            phase = "leaving";
            queueMicrotask(() => client.leave(room));
            return (left = new Promise((resolve) => (setLeft = resolve)));
        },
        on,
        off,
        messages(event, options) {
            checkName(event, "an event", RESERVED);
            return createStream(on, event, options, phase === "closed");
        }
    });

    const room = {
        name,
        api,
        /** Calls of join() that no leave() has taken back. */
        joins: 0,
        /** True if the room has been open. */
        wasIn: false,
        /** The server has let us in. Members who came and went meanwhile are reported, so that the application's lists stay true. */
        joined(ownId, payload) {
            const [before, previousId, wasOpen] = [ids, id, isIn];
            let list;
            try {
                list = JSON.parse(toText(payload));
            } catch {
                // Some servers send none.
            }
            counted = typeof list === "number" ? list : undefined;
            const now = (ids = new Set(Array.isArray(list) ? list.filter((each) => typeof each === "string") : []));
            id = ownId;
            isIn = true;
            // Before any listener runs: it may send.
            isWaiting &&= api.count < 2;
            if (!room.wasIn) {
                room.wasIn = true;
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
        received(packet, now) {
            othersAt = api.count > 1 ? now : othersAt;
            const { event, src, dst, payload } = packet;
            if (!RESERVED.includes(event)) {
                count(event) && decodePayload(codec, packet, client.report, (value) => emit(event, value, src, dst !== ""));
            } else if (!src && !dst) {
                const member = toText(payload);
                const isNew = event === "new_member" && !ids.has(member) && ids.add(member);
                if (isNew || (event === "member_left" && ids.delete(member))) {
                    emit(event, member);
                }
            }
        },
        /** Returns true if the room takes messages. */
        isOpen: (isLate) => isIn && !phase && (isLate || !isWaiting || api.count > 1),
        /** Takes back a leave() of the same turn. */
        stay() {
            phase = "";
            setLeft();
        },
        /** The connection is lost, or it is not certain whether we are in. */
        suspend(now) {
            // A server that ends may close the others first.
            isWaiting ||= isIn && (api.count > 1 || now - othersAt < GRACE);
            isIn = false;
        },
        /** Closes the room for good. Without an error the application has left it. */
        close(error) {
            if (phase !== "closed") {
                phase = "closed";
                settle[1](error ?? refuseUse());
                setLeft();
                emit("close", error);
                clear();
            }
        }
    };
    return room;
}
