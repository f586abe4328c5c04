/** The original client for roomer servers: rooms over one WebSocket.
 *
 *     import roomer from "./roomer.js";
 *
 *     const root = roomer("ws://localhost:8080/ws");
 *     root.on("open", () => {
 *         const lobby = root.join("lobby");
 *         lobby.on("open", () => lobby.send("chat", "hello"));
 *         lobby.on("chat", (payload, src) => console.log(src, new TextDecoder().decode(payload)));
 *     });
 *
 * @module roomer
 */

import bytecursor from "./bytecursor.js";
import emitter from "./emitter.js";

const ROOT = "root";
const SOCKET_OPEN = 1;

/** Events that only the server or this client may emit. */
const RESERVED = ["close", "join", "join_ack", "leave", "leave_ack", "member_left", "new_member", "open"];

/** The emitter's own events, which are valid names on the wire but must not be forged by a peer. */
const EMITTER_EVENTS = ["newListener", "removeListener"];

const encoder = new TextEncoder();
/** Keeps a leading byte order mark, which is part of a name. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * @typedef {object} Packet
 * @property {string} room
 * @property {string} event
 * @property {string} dst the receiver's id, "" for the room
 * @property {string} src the sender's id
 * @property {Uint8Array} payload
 */

/**
 * A room: a frozen object with an event emitter's methods.
 *
 * Its events: "open"() when the client has entered the room; "close"() when the client is no longer in it, after leave(),
 * forceClose(), a rejection by the server or the end of the connection; "new_member"(id) and "member_left"(id) when others join
 * and leave. Every other event is a message from a peer or the server: event(payload as Uint8Array, the sender's id). Messages
 * named "newListener" or "removeListener" are dropped, because the emitter uses these names.
 *
 * @typedef {object} RoomMethods
 * @property {string} name
 * @property {() => boolean} open returns true if the client is in the room
 * @property {() => string} id returns this client's id, "" if the room is not open
 * @property {() => string[]} members returns the ids of all members, including this client
 * @property {(name: string) => Room} join joins the room of that name and returns it; if the room is already open or pending,
 * only returns it. Throws Error if this room is not open, TypeError if the name is not a string or has lone surrogates
 * @property {() => Room} leave asks the server to leave; "close" follows. Throws Error if not open
 * @property {(event: string, payload?: any, dst?: string | null) => Room} send sends to the other members, or only to the client
 * with the id dst. The payload may be a string, a typed array or DataView, an ArrayBuffer, a number or boolean (sent as text),
 * another object (sent as JSON) or nothing. Throws Error if the room is not open, or if the event is not a string or is reserved;
 * TypeError if dst is not a string, undefined or null, or if a name has lone surrogates. Does nothing if the connection is
 * closing
 * @property {() => Room} forceClose closes the room, open or pending, on the client only; open() already returns false when
 * "close" is emitted. The client remains a member on the server
 * @property {(keep?: string[]) => Room} clearListeners removes all listeners except those of the events in `keep`
 * @property {(packet: Packet) => void} parse handles a decoded packet as if the server had sent it, for tests
 * @property {() => Room} [purge] root only: leaves every other room that is open
 * @property {() => Readonly<Record<string, Room>>} [rooms] root only: returns the known rooms by name
 *
 * @typedef {Readonly<RoomMethods & import("./emitter.js").Emitter>} Room
 */

/** Converts a payload or a name to bytes. */
function toBytes(value) {
    if (ArrayBuffer.isView(value)) {
        return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    }
    if (value instanceof ArrayBuffer) {
        return new Uint8Array(value);
    }
    if (value && typeof value === "object") {
        return encoder.encode(JSON.stringify(value));
    }
    return encoder.encode(["string", "number", "boolean"].includes(typeof value) ? String(value) : "");
}

/** Encodes a packet: room, event, dst, src and payload, each preceded by its length. */
function encode(...fields) {
    const parts = fields.map(toBytes);
    const size = parts.reduce((sum, part) => sum + 4 + part.length, 0);
    const cursor = bytecursor(new ArrayBuffer(size));
    for (const part of parts) {
        cursor.writeUint32(part.length).writeBytes(part);
    }
    return cursor.buffer;
}

/** Decodes a packet. Throws RangeError if it is truncated, and ignores trailing bytes. */
function decode(buffer) {
    const cursor = bytecursor(buffer);
    const bytes = () => cursor.getBytes(cursor.getUint32());
    const text = () => decoder.decode(bytes());
    return { room: text(), event: text(), dst: text(), src: text(), payload: bytes() };
}

/** Parses the ids in a join_ack's payload. */
function parseIds(payload) {
    try {
        const ids = JSON.parse(decoder.decode(payload));
        return Array.isArray(ids) ? ids : [];
    } catch {
        return [];
    }
}

/** Throws for names that UTF-8 cannot represent: the server would read them as different names. */
function checkName(name) {
    if (/\p{Surrogate}/u.test(name)) {
        throw new TypeError("roomer: lone surrogate in a name");
    }
}

/** Wraps a handler for socket events: its errors, including those thrown by listeners, do not reach the socket. */
function guard(action) {
    try {
        action();
    } catch (error) {
        console.error(error);
    }
}

/**
 * Connects to a roomer server.
 *
 * @param {string} url the address of the server's WebSocket, such as "wss://example.org/ws"
 * @returns {Room} the room "root", which every client is in; it is not open before its "open" event
 * @throws {TypeError} if the url is not a string
 * @throws {Error} if there is no WebSocket; also the errors of `new WebSocket(url)`
 */
function roomer(url) {
    if (typeof url !== "string") {
        throw new TypeError("roomer: url must be a string");
    }
    if (!globalThis.WebSocket) {
        throw new Error("roomer: no WebSocket here; use Node 22 or newer, start Node 20 with --experimental-websocket, or set globalThis.WebSocket");
    }
    const socket = new globalThis.WebSocket(url);
    /** The rooms that join() returns, by name. @type {Map<string, Room>} */
    const known = new Map();
    /** All rooms that are open or pending. @type {Set<Room>} */
    const alive = new Set();
    /**
     * Rooms for which a leave_ack is pending, by name. Until it arrives, packets with that name belong to the leaving room.
     *
     * @type {Map<string, Room>}
     */
    const leaving = new Map();

    /** Sends a packet if the socket is open. Returns true if it was. */
    function transmit(...fields) {
        const data = encode(...fields);
        const ready = socket.readyState === SOCKET_OPEN;
        if (ready) {
            socket.send(data);
        }
        return ready;
    }

    function createRoom(name) {
        const listeners = new Map();
        let isOpen = false;
        let id = "";
        let members = new Set();

        function clear() {
            isOpen = false;
            id = "";
            members = new Set();
        }

        /** Emits "close" and removes the room, at most once. */
        function close() {
            if (!alive.delete(room)) {
                return;
            }
            try {
                room.emit("close");
            } finally {
                clear();
                if (known.get(name) === room) {
                    known.delete(name);
                }
            }
        }

        function checkOpen() {
            if (!isOpen) {
                throw new Error(`roomer: room "${name}" is not open`);
            }
        }

        function handle({ event, src, payload }) {
            switch (event) {
                case "join_ack":
                    id = src;
                    members = new Set(parseIds(payload));
                    isOpen = true;
                    room.emit("open");
                    break;
                case "new_member": {
                    const member = decoder.decode(payload);
                    if (!members.has(member)) {
                        members.add(member);
                        room.emit("new_member", member);
                    }
                    break;
                }
                case "member_left": {
                    const member = decoder.decode(payload);
                    if (members.delete(member)) {
                        room.emit("member_left", member);
                    }
                    break;
                }
                case "leave_ack":
                    leaving.delete(name);
                    close();
                    break;
                default:
                    if (!EMITTER_EVENTS.includes(event)) {
                        room.emit(event, payload, src);
                    }
            }
        }

        const methods = {
            name,
            open: () => isOpen,
            id: () => id,
            members: () => [...members],
            join(other) {
                checkOpen();
                if (typeof other !== "string") {
                    throw new TypeError("roomer: the name of a room must be a string");
                }
                checkName(other);
                const found = known.get(other);
                // A room that is leaving cannot be joined again; the next join() creates a new room object.
                if (alive.has(found) && leaving.get(other) !== found) {
                    return found;
                }
                transmit(other, "join", "", "", "");
                return createRoom(other);
            },
            leave() {
                checkOpen();
                // Send only one leave request: the server could apply a second one to a room of that name joined in between.
                if (leaving.get(name) !== room && transmit(name, "leave", id, id, id)) {
                    leaving.set(name, room);
                }
                return room;
            },
            send(event, payload, dst) {
                checkOpen();
                if (typeof event !== "string") {
                    throw new Error("roomer: the event must be a string");
                }
                if (RESERVED.includes(event)) {
                    throw new Error(`roomer: the event "${event}" is reserved`);
                }
                // An invalid receiver must not make a private message public.
                if (typeof (dst ?? "") !== "string") {
                    throw new TypeError("roomer: dst must be a string");
                }
                checkName(event);
                checkName(dst ?? "");
                transmit(name, event, dst, id, payload);
                return room;
            },
            forceClose() {
                if (alive.has(room)) {
                    clear();
                    close();
                }
                return room;
            },
            clearListeners(keep) {
                for (const type of [...listeners.keys()]) {
                    if (!Array.isArray(keep) || !keep.includes(type)) {
                        room.removeAllListeners(type);
                    }
                }
                return room;
            },
            parse: (packet) => guard(() => handle(packet))
        };
        const rootMethods = {
            purge() {
                for (const other of alive) {
                    if (other !== room && other.open()) {
                        other.leave();
                    }
                }
                return room;
            },
            rooms() {
                const rooms = Object.create(null);
                for (const [key, value] of known) {
                    rooms[key] = value;
                }
                return Object.freeze(rooms);
            }
        };

        /** @type {Room} */
        const room = emitter(name === ROOT ? { ...methods, ...rootMethods } : methods, listeners);
        known.set(name, room);
        alive.add(room);
        return room;
    }

    /** Dispatches a packet to its room. */
    function route(packet) {
        const room = leaving.get(packet.room) ?? known.get(packet.room);
        if (packet.event === "leave_ack") {
            leaving.delete(packet.room);
        }
        if (alive.has(room)) {
            room.parse(packet);
        }
    }

    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => guard(() => route(decode(data)));
    // Node 20 emits only "error" if it cannot connect. The socket is unusable after either event.
    socket.onclose = socket.onerror = () => {
        for (const room of alive) {
            guard(room.forceClose);
        }
    };
    return createRoom(ROOT);
}

export default Object.freeze(roomer);
