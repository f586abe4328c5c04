/**
 * A client: its rooms, and which of them a packet is for.
 *
 * @module client
 */

import { RoomerError, check } from "./error.js";
import { createEvents } from "./events.js";
import { createLink } from "./link.js";
import { decode, encode } from "./packet.js";
import { createQueue } from "./queue.js";
import { checkName, createRoom } from "./room.js";

const ROOT = "root";

/** A room that nobody can join here: a server answers each wish to leave it, in which ever room the client is. */
const PROBE = "\0probe";

/**
 * Connects to a roomer server, and stays connected.
 *
 * @param {string | URL | (() => string | URL | Promise<string | URL>)} url
 * @param {import("./index.js").Options} [options]
 * @returns {import("./index.js").Client}
 */
export function connect(url, options = {}) {
    /** The rooms that we want to be in, by name. */
    const rooms = new Map();
    /** Rooms whose leave is not answered yet, oldest first, by name: till then the name's traffic is theirs. */
    const leaving = new Map();
    const queue = createQueue(options.queue);
    const codec = options.codec ?? "bytes";
    /** Ours on this connection, "" until the server has told. */
    let id = "";

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

    const link = createLink(url, options, {
        probe: encode(PROBE, "leave"),
        opened() {
            id = "";
            for (const name of rooms.keys()) {
                // The server has put us there already.
                name === ROOT || link.send(encode(name, "join"));
            }
            if (!rooms.has(ROOT)) {
                leave(createEntry(ROOT));
            }
            for (const { data } of queue.takeAll()) {
                link.send(data);
            }
        },
        received(buffer) {
            try {
                route(decode(buffer));
            } catch (cause) {
                report(new RoomerError("packet", "the server has sent what is no packet; is this its address?", { cause }));
            }
        },
        changed(state, error) {
            if (state === "suspended" || state === "closed") {
                const gone = [...leaving.values()].flat();
                leaving.clear();
                gone.forEach(({ room }) => room.close());
                for (const { room } of [...rooms.values()]) {
                    if (state === "suspended") {
                        room.suspend();
                    } else {
                        forget(room.name);
                        room.close(error ?? new RoomerError("closed", "this client was closed; connect() makes a new one"));
                    }
                }
            }
            events.emit("state", state, error);
        }
    });

    /** Forgets a room and what it still wanted to say. */
    function forget(name) {
        queue.drop(rooms.get(name).room);
        rooms.delete(name);
    }

    function createEntry(name, roomCodec = codec) {
        const entry = { unanswered: 1 };
        entry.room = createRoom(name, roomCodec, {
            report,
            send(event, dst, bytes, payload) {
                const data = encode(name, event, dst, "", bytes);
                // A network that stalls must not fill the memory either.
                if (link.backlog() <= queue.bytes) {
                    if (link.send(data)) {
                        return "sent";
                    }
                    if (queue.push(entry.room, data)) {
                        return "queued";
                    }
                }
                events.emit("overflow", { room: name, event, payload, to: dst });
                return "dropped";
            },
            leave() {
                forget(name);
                leave(entry);
            }
        });
        return entry;
    }

    function leave(entry) {
        const { name } = entry.room;
        if (link.send(encode(name, "leave"))) {
            entry.unanswered = entry.room.state() === "open" ? 1 : 2;
            entry.room.leaving();
            leaving.set(name, [...(leaving.get(name) ?? []), entry]);
        } else {
            entry.room.close();
        }
    }

    function join(name, { codec: roomCodec } = {}) {
        checkName(name, "a room");
        check(name !== PROBE, "this room is reserved");
        if (link.state() === "closed") {
            throw new RoomerError("closed", "this client was closed; connect() makes a new one");
        }
        if (!rooms.has(name)) {
            rooms.set(name, createEntry(name, roomCodec));
            link.send(encode(name, "join"));
        }
        return rooms.get(name).room.api;
    }

    /** Hands a packet to its room, unless a peer pretends to be the server: it cannot do without a dst or its own src. */
    function route({ room: name, event, dst, src, payload }) {
        const [first] = leaving.get(name) ?? [];
        let entry = first ?? rooms.get(name);
        if (event === "join_ack" || event === "leave_ack") {
            if (dst || (id && src !== id)) {
                return;
            }
            id = src;
            if (event === "join_ack" && !entry) {
                // The server has put us into a room that we have not asked for.
                rooms.set(name, (entry = createEntry(name)));
                events.emit("room", entry.room.api);
            }
            if (entry) {
                answered(entry, first, event === "join_ack", payload);
            }
        } else if (event === "new_member" || event === "member_left") {
            if (!dst && !src) {
                entry?.room[event === "new_member" ? "came" : "went"](payload);
            }
        } else {
            entry?.room.said(event, payload, src, dst !== "");
        }
    }

    /** One of a room's wishes, to join or to leave, has its answer. */
    function answered(entry, isLeaving, isIn, payload) {
        const { room } = entry;
        if (isLeaving) {
            // If a join was refused, there are two acks of a leave.
            if (--entry.unanswered === 0) {
                const others = leaving.get(room.name).slice(1);
                if (others.length) {
                    leaving.set(room.name, others);
                } else {
                    leaving.delete(room.name);
                }
                room.close();
            }
        } else if (isIn) {
            room.joined(id, payload);
        } else {
            const was = room.state();
            forget(room.name);
            room.close(new RoomerError(was === "open" ? "removed" : "refused", `the server has not let us ${was === "open" ? "stay in" : "into"} room "${room.name}"`));
        }
    }

    const root = createEntry(ROOT);
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
        rooms: () => [...rooms.values()].map(({ room }) => room.api),
        on: events.on,
        off: events.off,
        close: link.close
    });
    link.start();
    return client;
}
