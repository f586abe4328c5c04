/** The client: its rooms, and how packets are dispatched to them.
 *
 * An acknowledgement does not name the request that it answers, and the server sends the same packets when it moves a client
 * without a request. If an acknowledgement contradicts an unconfirmed request, the client therefore holds it, and the room's
 * packets after it, until a probe confirms the request (see the outbox). The room's last acknowledgement then shows whether the
 * client is in the room.
 *
 * @module client
 */

import { isRelative } from "./address.js";
import { bytes } from "./codec.js";
import { check, createClosedError, rejectUnknown, wrap } from "./error.js";
import { GRACE, GRACE_FACTOR, LONGEST_GRACE, PROBE, ROOT } from "./limits.js";
import { decode } from "./packet.js";
import { checkName, createRoom } from "./room.js";
import { createEvents } from "./events.js";
import { createConnection } from "./connection.js";
import { createOutbox } from "./outbox.js";

const realClock = {
    now: () => performance.now(),
    setTimeout: (action, delay) => setTimeout(action, delay),
    clearTimeout: (timer) => clearTimeout(timer)
};

/**
 * Connects to a roomer server and reconnects when necessary.
 *
 * @param {string | URL | (() => string | URL | Promise<string | URL>)} url
 * @param {import("./core.js").CoreOptions} [options]
 * @returns {import("./index.js").Client}
 */
export function connect(url, options) {
    const { features, codec = bytes, queue, lazy, debug, clock = realClock, ...others } = options ?? {};
    /** The rooms that the application wants to be in, by name. */
    const rooms = new Map();
    /** Acknowledgements that contradict an unconfirmed request, by room name, each followed by the room's later packets. */
    const held = new Map();
    /** This client's id on the current connection, "" until the server has sent it. */
    let id = "";
    /** The time at which queued messages stop waiting for other members to return. */
    let graceEnd;

    /** Reports an error. An error thrown by an "error" listener is not passed to that listener again. */
    const report = (error, event) => {
        (event !== "error" && emit("error", error)) || console.error(error);
    };

    const { on, off, emit } = createEvents(report);

    const core = {
        clock,
        codec,
        debug,
        emit,
        report,
        /** Emits an event about a message. For a request, emits nothing, since request() reports its failures itself. */
        lost({ room, event, payload, to, tag }, reason, name = "lost") {
            tag || emit(name, { room, event, payload, to, reason });
        },
        /**
         * Called with packets that the server has handled or, with `isLost`, that it had not confirmed when the connection broke.
         */
        settled(items, isLost) {
            items.forEach((item) => {
                item.event === "leave" && item.owner?.close();
                isLost && "payload" in item && core.lost(item, "unconfirmed");
            });
            const packets = [...held.values()].flat();
            held.clear();
            packets.forEach(route);
        },
        decode,
        received(data) {
            let packet;
            try {
                packet = core.decode(data);
            } catch (cause) {
                report(wrap("packet", cause));
            }
            core.handle(packet, data);
        },
        /** Handles a received packet, which is undefined if the data was not a packet. */
        handle(packet) {
            packet && route(packet);
        },
        isOpen: (item) => item.owner.isOpen(item.to || item.tag || graceEnd <= clock.now()),
        /** Passes a packet to its room, if there is one. Returns true if a feature has handled it. */
        deliver(packet, room) {
            room?.received(packet);
        },
        changed(state, error) {
            if (state === "open") {
                core.begin();
                core.lostAt = undefined;
            } else if (state !== "connecting") {
                // The time at which the connection was lost.
                core.lostAt ??= clock.now();
                core.end(error, state);
                state === "closed" && rooms.forEach((room) => close(room, error ?? createClosedError()));
            }
            // A listener called above may have closed the client.
            core.state === state && emit("state", state, error);
        },
        /** Starts using a new connection. */
        begin() {
            // Reached only in a new session: the server no longer keeps the previous one.
            core.end();
            id = "";
            graceEnd = clock.now() + Math.min(LONGEST_GRACE, GRACE + GRACE_FACTOR * (clock.now() - core.lostAt));
            // The server puts every client into `root` without a request.
            rooms.forEach((room, name) => name === ROOT || enter(room));
            rooms.has(ROOT) || create(ROOT).api.leave();
        },
        /** Called when the server may have dropped the state that it kept for this client. */
        end(error) {
            held.clear();
            rooms.forEach((room) => room.suspend(core.lostAt));
            core.disconnected(error?.reason === "rate");
        },
        createRoom: (name, roomCodec) => createRoom(core, name, roomCodec),
        findCodec(found) {
            check(found?.encode && found.decode, `codec "${found}"`);
            return found;
        },
        /** Leaves a room if it still has no users at the end of the turn. */
        leave(room) {
            // Skip a room that has been joined again, or that has closed.
            if (rooms.get(room.name) === room && room.api.state === "leaving") {
                // Send the request before messages are reported as lost: a listener may join the room again.
                core.request(room, "leave") ? remove(room) : close(room);
            }
        }
    };

    createOutbox(core, queue);
    createConnection(core, url, others);

    const create = (name, roomCodec = codec, options) => {
        const room = core.createRoom(name, core.findCodec(roomCodec), options);
        Object.freeze(room.api);
        rooms.set(name, room);
        return room;
    };

    const enter = (room) => core.request(room, "join", room.recall?.());

    /** Removes a room from the client, and drops its queued messages. */
    const remove = (room) => {
        // The name may belong to a newer room already, whose join the client has not sent yet.
        rooms.get(room.name) === room && rooms.delete(room.name);
        core.queue.forEach((item) => item.owner === room && core.drop(item));
    };

    const close = (room, error) => {
        remove(room);
        room.close(error);
    };

    const join = (name, options) => {
        const { codec: roomCodec, history, ...unknown } = options ?? {};
        checkName(name, name === PROBE);
        rejectUnknown(unknown);
        if (core.state === "closed") {
            throw createClosedError();
        }
        const room = rooms.get(name) ?? create(name, roomCodec, { history });
        // Join again even after an undone leave(), since the server may have removed the client in between.
        room.join() || enter(room);
        return room.api;
    };

    /** Dispatches a packet, or holds it until a probe has confirmed the request that it contradicts. */
    const route = (packet) => {
        const { room: name, event, to, from, payload } = packet;
        const isJoin = event === "join_ack";
        if (isJoin || event === "leave_ack") {
            // A peer's forged acknowledgement has a receiver, or the peer as its sender.
            if (to || (id && from !== id)) {
                return;
            }
            id = from;
            if (name === PROBE) {
                // Confirm the packets up to the first probe; the next probe confirms those after it.
                return core.confirmed([...core.sent].findIndex((item) => item.room === PROBE) + 1);
            }
            if (!isJoin) {
                rooms.get(name)?.suspend();
                // The packets still count as unconfirmed, but must not be reported as lost a second time.
                for (const item of core.sent) {
                    if (item.room === name && "payload" in item) {
                        core.lost(item, "unconfirmed");
                        delete item.payload;
                    }
                }
            }
            held.delete(name);
            if (core.find(name, isJoin ? "leave" : "join")) {
                held.set(name, []);
                core.fence();
            }
        }
        if (held.get(name)?.push(packet)) {
            return;
        }
        // Until a leave is acknowledged, packets with the room's name belong to the room object that is leaving, not to a newer
        // one.
        const left = core.find(name, "leave");
        let room = left?.api.state === "leaving" ? left : rooms.get(name);
        if (event === "leave_ack") {
            room && close(room);
        } else if (isJoin) {
            if (!room) {
                // The server has put the client into a room that it had not joined.
                room = create(name);
                emit("room", room.api);
            }
            room.joined(id, payload);
        } else {
            core.deliver(packet, room);
        }
        // The packet may have opened a room, or added a member that messages wait for.
        core.pump();
    };

    core.client = {
        get state() {
            return core.state;
        },
        get id() {
            return id;
        },
        join,
        rooms: () => [...rooms.values()].flatMap(({ api }) => (api.state === "leaving" ? [] : api)),
        on,
        off,
        start: core.start,
        close: core.close
    };
    features?.forEach((extend) => extend(core));
    core.client.root = join(ROOT);
    // During server-side rendering, a client with a relative address stays idle.
    lazy || (isRelative(url) && !globalThis.location) || core.start();
    return Object.freeze(core.client);
}
