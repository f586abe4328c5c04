/**
 * A roomer server in memory, for tests of applications: real frames, no network, no waiting.
 *
 *     import { createServer } from "roomer/testkit";
 *
 *     const server = createServer();
 *     const client = connect("ws://test/ws", { ...server.options, codec: "json" });
 *     await server.advance();             // runs everything that is due now
 *     server.cut();                       // breaks the connections
 *     await server.advance(30_000);       // the client has reconnected
 *
 * It follows the rules of a real server: a client cannot send to a room that it is not in, reserved events are never
 * forwarded, a repeated join is only acknowledged, and the server sets the sender of each message.
 *
 * @module testkit
 */

import { rejectUnknown } from "../error.js";
import { decode, encode, toBytes, toText } from "../packet.js";
import { createClock } from "./clock.js";
import { createBucket } from "./limits.js";
import { createSocketClass } from "./socket.js";

export { createClock };

const RESERVED = ["close", "join_ack", "leave_ack", "member_left", "new_member", "open"];

/** Returns the bytes of a payload: bytes and text as they are, anything else as JSON. */
function toPayload(value) {
    return value instanceof Uint8Array ? value : toBytes(typeof value === "string" ? value : JSON.stringify(value) ?? "");
}

/** Returns the token that a client has sent, in its address or as a subprotocol. */
function readToken(url, protocols) {
    const offered = protocols.find((each) => each.startsWith("token."));
    if (offered) {
        return toText(Uint8Array.from(atob(offered.slice(6).replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0)));
    }
    return new URL(url).searchParams.get("token") ?? undefined;
}

/**
 * @param {import("./index.js").ServerSettings} [settings]
 * @returns {import("./index.js").TestServer}
 */
export function createServer(settings = {}) {
    const { latency = 0, clock = createClock(), messageRate, joinRate, strikes = { perSecond: 1, burst: 256 }, membership = () => "full", ...others } = settings;
    rejectUnknown(others);
    /** Connections by id. */
    const conns = new Map();
    /** Members by room, in the order in which they joined. @type {Map<string, Set<object>>} */
    const rooms = new Map();
    const handlers = new Map();
    let lastId = 0;
    let mayConnect = () => true;
    let mayJoin = () => true;
    let running = true;
    let stalled = false;
    /** Deliveries in flight, in both directions, in order. */
    const line = [];

    function later(action) {
        line.push({ action, at: clock.now() + latency });
        clock.setTimeout(arrive, latency);
    }

    function arrive() {
        while (!stalled && line[0]?.at <= clock.now()) {
            line.shift().action();
        }
    }

    function join(conn, name, isForced) {
        const members = rooms.get(name) ?? new Set();
        const isNew = !members.has(conn);
        // The rules apply to clients: the server itself may do everything.
        if (isNew && !isForced && !mayJoin(conn.api, name)) {
            return conn.deliver(encode(name, "leave_ack", "", conn.id, toBytes(conn.id)));
        }
        const others = [...members];
        rooms.set(name, members.add(conn));
        const mode = membership(name);
        const list = { full: [...members].map(({ id }) => id), count: members.size, own: [conn.id] }[mode];
        conn.deliver(encode(name, "join_ack", "", conn.id, toBytes(JSON.stringify(list))));
        if (isNew && mode === "full") {
            const notice = encode(name, "new_member", "", "", toBytes(conn.id));
            others.forEach((other) => other.deliver(notice));
        }
    }

    function vacate(conn, name) {
        const members = rooms.get(name);
        if (members?.delete(conn)) {
            if (!members.size) {
                rooms.delete(name);
            }
            const notice = encode(name, "member_left", "", "", toBytes(conn.id));
            membership(name) === "full" && members.forEach((other) => other.deliver(notice));
        }
    }

    function leave(conn, name) {
        vacate(conn, name);
        conn.deliver(encode(name, "leave_ack", "", conn.id, toBytes(conn.id)));
    }

    function broadcast(sender, room, event, payload) {
        const packet = encode(room, event, "", sender?.id ?? "", payload);
        rooms.get(room)?.forEach((member) => member !== sender && member.deliver(packet));
    }

    /** Handles one packet of a client. */
    function handle(conn, buffer) {
        let packet;
        try {
            packet = decode(buffer);
        } catch {
            return conn.api.close(1002, "malformed packet");
        }
        const { room, event, to, payload } = packet;
        if (!conn.takes.message() || (event === "join" && !conn.takes.join())) {
            return conn.api.close(1008, "rate");
        }
        if (event === "join") {
            join(conn, room);
        } else if (event === "leave") {
            leave(conn, room);
        } else if (RESERVED.includes(event) || (!to && !rooms.get(room)?.has(conn))) {
            // Not forwarded: the receiver would take a reserved event for one of the server, or the sender is not in that room.
            conn.takes.strike() || conn.api.close(1008, "too many violations");
        } else if (to) {
            conns.get(to)?.deliver(encode(room, event, to, conn.id, payload));
        } else if (handlers.has(event)) {
            try {
                handlers.get(event)(conn.api, { room, event, payload: payload.slice(), text: () => toText(payload) });
            } catch (error) {
                conn.api.close(1011, "handler failed");
                // advance() throws it, so that a test cannot miss it.
                throw error;
            }
        } else {
            broadcast(conn, room, event, payload);
        }
    }

    /** Returns the server's end of a new connection, or undefined if it is rejected. */
    function accept(socket, url, protocols) {
        const token = readToken(url, protocols);
        if (!running || !mayConnect(url, token)) {
            return undefined;
        }
        const id = `00000000-0000-4000-8000-${String(++lastId).padStart(12, "0")}`;
        const gone = () => {
            if (conns.delete(id)) {
                [...rooms.keys()].forEach((name) => vacate(conn, name));
            }
        };
        const takes = {
            message: createBucket(messageRate, clock.now),
            join: createBucket(joinRate, clock.now),
            strike: createBucket(strikes, clock.now)
        };
        const conn = { id, takes, deliver: socket.deliver };
        conn.api = Object.freeze({
            id,
            url,
            token,
            rooms: () => [...rooms].filter(([, members]) => members.has(conn)).map(([name]) => name),
            send: (room, event, payload) => socket.deliver(encode(room, event, id, "", toPayload(payload))),
            sendToRoom: (room, event, payload) => broadcast(conn, room, event, toPayload(payload)),
            deliver: socket.deliver,
            join: (name) => join(conn, name, true),
            /** Like a real server, sends leave_ack even if the client was not in the room. */
            kick: (name) => leave(conn, name),
            move(from, to) {
                leave(conn, from);
                join(conn, to, true);
            },
            close(code = 1000, reason = "") {
                gone();
                socket.close(code, reason);
            },
            cut() {
                gone();
                socket.cut();
            }
        });
        return {
            opened() {
                conns.set(id, conn);
                join(conn, "root", true);
            },
            received: (buffer) => conns.has(id) && handle(conn, buffer),
            ended: gone
        };
    }

    function resume() {
        stalled = false;
        for (const each of line) {
            each.at = Math.max(each.at, clock.now() + latency);
            clock.setTimeout(arrive, latency);
        }
    }

    const all = () => [...conns.values()].map(({ api }) => api);

    return Object.freeze({
        clock,
        options: Object.freeze({
            WebSocket: createSocketClass({ later, accept }),
            clock,
            random: () => 0.5
        }),
        advance: clock.advance,
        connections: all,
        members: (room) => [...(rooms.get(room) ?? [])].map(({ id }) => id),
        handle: (event, handler) => void handlers.set(event, handler),
        broadcast: (room, event, payload) => broadcast(undefined, room, event, toPayload(payload)),
        /** Sets the rules for connecting and joining; all is allowed by default. */
        allow({ connect = mayConnect, join: joins = mayJoin }) {
            mayConnect = connect;
            mayJoin = joins;
        },
        cut: () => all().forEach((conn) => conn.cut()),
        stop(code = 1001, reason = "server is going away") {
            running = false;
            all().forEach((conn) => conn.close(code, reason));
        },
        start: () => void (running = true),
        stall: () => void (stalled = true),
        resume,
        async sleep(milliseconds) {
            const wasStalled = stalled;
            stalled = true;
            clock.sleep(milliseconds);
            wasStalled || resume();
            await clock.advance();
        }
    });
}
