/**
 * A client: its rooms, and which of them a packet belongs to.
 *
 * An acknowledgement does not name its request, and the server sends the same packets when it moves clients on its own. So an
 * acknowledgement that contradicts an unconfirmed request is held, with the packets after it, until a probe confirms the request
 * (see the outbox). The last acknowledgement then shows whether the client is in the room.
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
 * Connects to a roomer server, and stays connected.
 *
 * @param {string | URL | (() => string | URL | Promise<string | URL>)} url
 * @param {import("./core.js").CoreOptions} [options]
 * @returns {import("./index.js").Client}
 */
export function connect(url, { features = [], codecs = {}, codec = bytes, queue = {}, lazy, debug, clock = realClock, ...others } = {}) {
    /** The rooms that the application wants to be in, by name. */
    const rooms = new Map();
    /** By room name: an acknowledgement of uncertain meaning, and the packets after it. */
    const held = new Map();
    /** The id of this client on this connection, "" until the server has sent it. */
    let id = "";
    /** The time at which the connection was lost, until there is a new one. */
    let lostAt;
    /** The time from which queued messages no longer wait for other members. */
    let graceEnd;

    // An error of a listener for errors is not passed to that listener again.
    const { on, off, emit } = createEvents((error, event) => (event === "error" ? console.error(error) : report(error)));

    const report = (error) => {
        emit("error", error) || console.error(error);
    };

    const trace = (what, details) => callFeatures("trace", what, details);

    /** Emits an event about a message. */
    const emitMessage = (what, name, { room, event, payload, to }, reason) => {
        const message = { room, event, payload, to, ...reason };
        trace(what, message);
        emit(name, message);
    };

    const lost = (item, reason) => {
        item.report?.(false);
        // A request reports its failure itself.
        item.tag || emitMessage("lost", "lost", item, { reason });
    };

    const transmit = ({ room, event, to, data }) => {
        trace("sent", { room, event, to, bytes: data.length });
        connection.send(data);
    };

    /** Handles items that the server has handled, or that were in flight when the connection was lost. */
    const settled = (items, isLost) => {
        for (const item of items) {
            item.event === "leave" && item.owner?.close();
            isLost && "payload" in item ? lost(item, "unconfirmed") : item.report?.(true);
        }
        const packets = [...held.values()].flat();
        held.clear();
        packets.forEach(route);
    };

    const received = (buffer, size) => {
        let packet;
        try {
            packet = decode(buffer);
        } catch (cause) {
            report(wrap("packet", cause));
        }
        packet && trace("received", packet);
        session.received?.(packet, size) || (packet && route(packet));
    };

    /** Handles the end of a connection whose session does not continue. */
    const ended = (isTooFast) => {
        held.clear();
        rooms.forEach((room) => room.suspend(lostAt));
        outbox.disconnected(isTooFast);
    };

    const changed = (state, error) => {
        trace("state", { state, error });
        const time = clock.now() - lostAt;
        const isResumed = state === "open" && session.resume?.();
        if (state === "open") {
            if (!isResumed) {
                // The session that was kept until now has ended.
                ended();
                id = "";
                graceEnd = clock.now() + Math.min(LONGEST_GRACE, GRACE + GRACE_FACTOR * time);
                // The server puts every client into root by itself.
                rooms.forEach((room, name) => name === ROOT || enter(room));
                rooms.has(ROOT) || join(ROOT).leave();
            }
            lostAt = undefined;
        } else if (state !== "connecting") {
            lostAt ??= clock.now();
            session.suspend?.(state, error, clock.now() - lostAt) || ended(error?.reason === "rate");
            state === "closed" && rooms.forEach((room) => close(room, error ?? createClosedError()));
        }
        emit("state", state, error);
        isResumed && emit("resumed", time);
    };

    /** The session: there is none, unless the feature `sessions` adds its methods. */
    const session = { isOn: false };
    const outbox = createOutbox(queue, clock, session, () => connection.isReady(), (room) => room.isOpen(clock.now() >= graceEnd), transmit, settled, lost);
    const connection = createConnection(url, others, clock, session, outbox, received, changed, trace);

    const findCodec = (name) => {
        const found = codecs[name] ?? name;
        check(found?.encode && found.decode, `there is no codec "${name}"`);
        return found;
    };

    /** Calls a method of the features that have it, until one returns true; see core.js. */
    const callFeatures = (hook, ...args) => parts.some((part) => part[hook]?.(...args));
    const parts = features.map((create) => create({ clock, session, connection, outbox, transmit, callFeatures, report, emit, codec: findCodec(codec), debug, token: others.token, id: () => id }));

    const create = (name, roomCodec = codec, options) => {
        const room = createRoom(name, findCodec(roomCodec), options, report, send, leave, () => connection.state() === "open", callFeatures);
        rooms.set(name, room);
        return room;
    };

    const enter = (room) => outbox.request(room, "join", room.recall?.());

    const send = (item) => {
        const result = outbox.send(item);
        result === "dropped" && emitMessage(result, "overflow", item);
        return result;
    };

    /** Leaves a room whose last user has left it in this turn. */
    const leave = (room) => {
        // Not if the room was joined again, or has closed since.
        if (room.api.state === "leaving" && rooms.get(room.name) === room) {
            remove(room);
            outbox.request(room, "leave") || room.close();
        }
    };

    /** Removes a room from those that the application wants to be in. */
    const remove = (room) => {
        rooms.delete(room.name);
        outbox.discard(room);
    };

    const close = (room, error) => {
        remove(room);
        room.close(error);
    };

    const join = (name, { codec: roomCodec, history, ...unknown } = {}) => {
        checkName(name, name === PROBE);
        rejectUnknown(unknown);
        if (connection.state() === "closed") {
            throw createClosedError();
        }
        const room = rooms.get(name) ?? create(name, roomCodec, { history });
        // Also after a leave() that was undone: the server may have removed the client meanwhile.
        room.join() || enter(room);
        return room.api;
    };

    /** Passes a packet on, or holds it until its meaning is certain. */
    const route = (packet) => {
        const { room: name, event, to, from, payload } = packet;
        const isJoin = event === "join_ack";
        if (isJoin || event === "leave_ack") {
            // A peer that forges an acknowledgement must set a receiver, or is the sender.
            if (to || (id && from !== id)) {
                return;
            }
            id = from;
            if (name === PROBE) {
                return outbox.confirmed();
            }
            if (!isJoin) {
                rooms.get(name)?.suspend();
                outbox.lose(name);
            }
            held.delete(name);
            if (outbox.find(name, isJoin ? "leave" : "join")) {
                held.set(name, []);
                outbox.fence();
            }
        }
        if (held.get(name)?.push(packet)) {
            return;
        }
        // Until a leave is answered, packets of that name belong to the room that is being left.
        const left = outbox.find(name, "leave");
        let room = left?.api.state === "leaving" ? left : rooms.get(name);
        if (event === "leave_ack") {
            room && close(room);
        } else if (isJoin) {
            if (!room) {
                // The server has put the client into a room that it did not join.
                room = create(name);
                emit("room", room.api);
            }
            room.joined(id, payload);
        } else if (!callFeatures("packet", packet, room)) {
            room?.received(packet, clock.now());
        }
        // A room may be open now, or have members for whom its messages wait.
        outbox.pump();
    };

    const client = {
        root: join(ROOT),
        get state() {
            return connection.state();
        },
        get id() {
            return id;
        },
        join,
        rooms: () => [...rooms.values()].flatMap(({ api }) => (api.state === "leaving" ? [] : api)),
        on,
        off,
        start: connection.start,
        close: connection.close
    };
    callFeatures("client", client);
    Object.freeze(client);
    try {
        lazy || connection.start();
    } catch (error) {
        // On a server that renders pages the client stays idle; start() throws there.
        if (error.code === "argument" && !isRelative(url)) {
            throw error;
        }
    }
    return client;
}
