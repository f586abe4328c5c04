/**
 * A client: its rooms, and which of them a packet is for.
 *
 * The server acknowledges joins and leaves without saying which, and puts clients into rooms and out of them by itself, with
 * the same words. So an acknowledgement that may be the answer to more than one thing is held until all that we asked
 * before is surely answered (see the outbox): the last one then tells where we are.
 *
 * @module client
 */

import { isRelative } from "./address.js";
import { RoomerError, check, checkKeys } from "./error.js";
import { createEvents } from "./events.js";
import { createLink } from "./link.js";
import { createOutbox } from "./outbox.js";
import { decode, encode } from "./packet.js";
import { LOCAL, checkName, createRoom, decodePayload } from "./room.js";

const ROOT = "root";

/** A room that nobody can join here: a server answers each wish to leave it, in which ever room the client is. */
const PROBE = "\0probe";

/**
 * How long, in milliseconds, what waits for a room waits on for the others, who lost their connections when we lost ours:
 * at least, and at most. In between it grows four times as fast as the time that we were gone: waits between attempts double,
 * and chance makes some short.
 */
const GRACE = 4_000;
const LONGEST_GRACE = 30_000;

const OPTIONS = "codec token tokenIn signal reconnect timeout heartbeat isFinal queue lazy debug WebSocket clock random";

const realClock = {
    now: () => performance.now(),
    setTimeout: (action, delay) => setTimeout(action, delay),
    clearTimeout: (timer) => clearTimeout(timer)
};

/**
 * Connects to a roomer server, and stays connected.
 *
 * @param {string | URL | (() => string | URL | Promise<string | URL>)} url
 * @param {import("./index.js").Options} [options]
 * @returns {import("./index.js").Client}
 */
export function connect(url, options = {}) {
    checkKeys(options, OPTIONS, "connect()");
    const { clock = realClock, codec = "bytes" } = options;
    /** The rooms that we want to be in, by name. */
    const rooms = new Map();
    /** Rooms whose leave is not answered yet, oldest first, by name: till then the name's traffic is theirs. */
    const leaving = new Map();
    /** Ours on this connection, "" until the server has told. */
    let id = "";
    /** When the connection was lost that is not back yet. */
    let lostAt;
    let grace = 0;

    const events = createEvents((cause, event) => {
        const error = new RoomerError("listener", `a listener of "${event}" has thrown`, { cause });
        if (event === "error") {
            console.error(error);
        } else {
            report(error);
        }
    });

    function report(error) {
        events.emit("error", error) || console.error(error);
    }

    const tell = options.debug === true ? (record) => console.debug("roomer", record) : options.debug;
    tell && events.on(PROBE, tell);
    /** What happens, for the option `debug`. */
    const debug = (what, details) => tell && events.emit(PROBE, { what, ...details });

    const outbox = createOutbox(checkKeys(options.queue ?? {}, "messages bytes", "queue"), clock, {
        entries: () => rooms.values(),
        isReady: () => link.isReady(),
        transmit({ entry, data, kind, event = kind, to }) {
            debug("sent", { room: entry.room.name, event, to, bytes: data.length });
            link.send(data);
        },
        probe() {
            debug("sent", { room: PROBE, event: "leave" });
            link.send(encode(PROBE, "leave"));
        },
        settled({ entry, kind }) {
            const { held, room: { name } } = entry;
            if (kind === "leave") {
                closeLeft(entry);
                // Put into it again since: a room that we have not asked for.
                leaving.has(name) || rooms.has(name) || held?.forEach(route);
            } else if (held && !outbox.hasten(entry)) {
                entry.held = undefined;
                if (held.length) {
                    held.forEach(route);
                } else if (rooms.get(name) === entry) {
                    putOut(entry);
                }
            }
        },
        lost({ entry, event, payload, to }, reason) {
            const room = entry.room.name;
            debug("lost", { room, event, to, reason });
            events.emit("lost", { room, event, payload, to, reason });
        }
    });

    const link = createLink(url, options, clock, {
        probe: outbox.probe,
        underWay: outbox.underWay,
        debug,
        opened() {
            id = "";
            grace = Math.min(LONGEST_GRACE, GRACE + 4 * (clock.now() - lostAt)) || 0;
            lostAt = undefined;
            // The server has put us into root already.
            rooms.forEach((entry, name) => name === ROOT || ask(entry));
            rooms.has(ROOT) || depart(createEntry(ROOT));
        },
        received(buffer) {
            let packet;
            try {
                packet = decode(buffer);
            } catch (cause) {
                return report(new RoomerError("packet", "the server has sent what is no packet; is this its address?", { cause }));
            }
            const { room, event, src, dst, payload } = packet;
            debug("received", { room, event, from: src, to: dst, bytes: payload.length });
            route(packet);
        },
        changed(state, error) {
            debug("state", { state, error });
            if (state === "suspended" || state === "closed") {
                for (const { room } of [...leaving.values()].flat()) {
                    room.close();
                }
                leaving.clear();
                const all = [...rooms.values()];
                lostAt ??= clock.now();
                for (const entry of all) {
                    entry.held = undefined;
                    // A server that ends may close the others first.
                    entry.hadOthers ||= entry.isIn && (entry.room.api.count > 1 || clock.now() - entry.aloneAt < GRACE);
                    entry.isIn = false;
                    entry.room.suspend();
                }
                outbox.close(error?.reason === "rate");
                if (state === "closed") {
                    all.forEach((entry) => close(entry, error ?? new RoomerError("closed", "this client was closed; connect() makes a new one")));
                }
            }
            events.emit("state", state, error);
        }
    });

    /** Asks to be let into a room, or out of it. What may be the answer to more than that is held till it is clear. */
    function wish(kind, entry) {
        const { name } = entry.room;
        const isFence = outbox.isUnsure(name);
        entry.held = isFence && !entry.isIn ? [] : undefined;
        outbox.ask({ entry, kind, data: encode(name, kind), isFence });
    }

    const ask = (entry) => link.isReady() && wish("join", entry);

    /** Forgets a room that we wanted, and closes it. */
    function close(entry, error) {
        if (rooms.get(entry.room.name) === entry) {
            rooms.delete(entry.room.name);
        }
        entry.isIn = false;
        outbox.forget(entry);
        entry.room.close(error);
    }

    /** The server does not want us in a room. */
    function putOut(entry) {
        const { name } = entry.room;
        close(entry, new RoomerError(entry.wasIn ? "removed" : "refused", `the server has not let us ${entry.wasIn ? "stay in" : "into"} room "${name}"`));
    }

    function createEntry(name, roomCodec = codec) {
        const entry = { waiting: [], quietUntil: 0, isIn: false, wasIn: false, joins: 0 };
        entry.room = createRoom(name, roomCodec, {
            report,
            send(event, to, bytes, payload) {
                const result = outbox.send({ entry, event, to, payload, data: encode(name, event, to, "", bytes) });
                if (result === "dropped") {
                    debug("dropped", { room: name, event, to, why: "the queue is full" });
                    events.emit("overflow", { room: name, event, payload, to });
                }
                return result;
            },
            /** One who joined is done; the last one leaves, unless another joins before this turn is over. */
            leave(left) {
                if (--entry.joins > 0) {
                    return Promise.resolve();
                }
                entry.isLast = true;
                queueMicrotask(() => entry.isLast && depart(entry));
                return left();
            }
        });
        return entry;
    }

    /** Leaves a room for good. */
    function depart(entry) {
        const { name } = entry.room;
        entry.isLast = entry.isIn = false;
        if (rooms.get(name) === entry) {
            rooms.delete(name);
        }
        outbox.forget(entry);
        if (link.isReady()) {
            entry.room.leaving();
            leaving.set(name, [...(leaving.get(name) ?? []), entry]);
            wish("leave", entry);
        } else {
            entry.room.close();
        }
    }

    function closeLeft(entry) {
        const { name } = entry.room;
        const others = leaving.get(name)?.filter((each) => each !== entry);
        if (others?.length) {
            leaving.set(name, others);
        } else {
            leaving.delete(name);
        }
        entry.room.close();
    }

    function join(name, roomOptions = {}) {
        checkName(name, "a room");
        checkKeys(roomOptions, "codec", "join()");
        check(name !== PROBE, "this room is reserved");
        if (link.state() === "closed") {
            throw new RoomerError("closed", "this client was closed; connect() makes a new one");
        }
        let entry = rooms.get(name);
        if (!entry) {
            entry = createEntry(name, roomOptions.codec);
            rooms.set(name, entry);
            ask(entry);
        } else if (entry.isLast) {
            // Said before anything went out: nobody hears of it. Asked again, lest we were put out meanwhile.
            entry.isLast = false;
            entry.room.stay();
            ask(entry);
        }
        entry.joins++;
        return entry.room.api;
    }

    /** Hands a packet to its room, unless a peer pretends to be the server: it cannot do without a dst or its own src. */
    function route(packet) {
        const { room: name, event, dst, src, payload } = packet;
        const gone = leaving.get(name) ?? [];
        const [left] = gone;
        const entry = rooms.get(name);
        const unsure = [...gone, entry].filter((each) => each?.held);
        const isIn = event === "join_ack";
        if (isIn || event === "leave_ack") {
            if (dst || (id && src !== id)) {
                return;
            }
            id = src;
            if (name === PROBE) {
                outbox.confirmed();
                return;
            }
            isIn || outbox.doubt(name);
            for (const each of unsure) {
                each.held = isIn ? [packet] : [];
            }
            if (left) {
                isIn || left.held || closeLeft(left);
            } else if (isIn) {
                letIn(entry, packet);
            } else if (entry && !entry.held) {
                letOut(entry);
            }
            return;
        }
        for (const { held } of unsure) {
            held.length && held.push(packet);
        }
        if (entry?.held?.length) {
            // Heard when it opens.
        } else if (event === "new_member" || event === "member_left") {
            if (!dst && !src) {
                (left ?? entry)?.room[event === "new_member" ? "came" : "went"](payload);
                if (event === "member_left") {
                    entry && entry.room.api.count < 2 && (entry.aloneAt = clock.now());
                } else if (entry?.quietUntil) {
                    entry.quietUntil = 0;
                    outbox.pump();
                }
            }
        } else if (left || entry) {
            (left ?? entry).room.said(event, payload, src, dst !== "");
        } else if (dst && !LOCAL.includes(event)) {
            const value = decodePayload(codec, packet, report);
            value && events.emit("direct", { room: name, event, payload: value[0], from: src });
        }
    }

    function letIn(entry, { room: name, payload }) {
        if (!entry) {
            // The server has put us into a room that we have not asked for.
            entry = createEntry(name);
            rooms.set(name, entry);
            events.emit("room", entry.room.api);
        }
        if (!entry.held && rooms.get(name) === entry) {
            entry.isIn = entry.wasIn = true;
            const announce = entry.room.joined(id, payload);
            // The first one back would speak to an empty room.
            const isAlone = entry.hadOthers && entry.room.api.count < 2;
            entry.quietUntil = isAlone ? clock.now() + grace : 0;
            entry.hadOthers = isAlone;
            announce();
            outbox.pump();
        }
    }

    function letOut(entry) {
        const isSure = !outbox.hasten(entry);
        if (isSure) {
            putOut(entry);
        } else {
            // Perhaps it is older than our wish to be in: its answer will tell.
            entry.held = [];
            entry.isIn = false;
            entry.room.suspend();
        }
    }

    const root = createEntry(ROOT);
    root.joins = 1;
    rooms.set(ROOT, root);
    const client = Object.freeze({
        root: root.room.api,
        get state() {
            return link.state();
        },
        get id() {
            return id;
        },
        join,
        rooms: () => [...rooms.values()].filter(({ isLast }) => !isLast).map(({ room }) => room.api),
        on: events.on,
        off: events.off,
        start: link.start,
        close: link.close
    });
    try {
        options.lazy || link.start();
    } catch (error) {
        // Where pages are rendered on a server there is nothing to connect to or with: start() tells.
        if (error.code === "argument" && !isRelative(url)) {
            throw error;
        }
    }
    return client;
}
