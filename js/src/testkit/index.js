/**
 * A roomer server in memory, for tests of applications: real frames, no network, no waiting.
 *
 *     import { createServer } from "roomer/testkit";
 *
 *     const server = createServer();
 *     const client = connect("ws://test/ws", { ...server.options, codec: "json" });
 *     await server.advance();             // everything that is due now has happened
 *     server.cut();                       // the connections break
 *     await server.advance(30_000);       // the client is back
 *
 * It keeps the rules of a real server: who is not in a room can send nothing to it, reserved events never pass, a repeated
 * join is only acknowledged, and each message comes from whom the server says.
 *
 * @module testkit
 */

import { refuse } from "../error.js";
import { decode, encode, toBytes, toText } from "../packet.js";
import { createClock } from "./clock.js";
import { createBucket } from "./limits.js";
import { createSocketClass } from "./socket.js";

export { createClock };

const RESERVED = ["close", "join_ack", "leave_ack", "member_left", "new_member", "open"];

/** What may be sent as a payload: bytes, text, or anything else as JSON. */
function toPayload(value) {
    return value instanceof Uint8Array ? value : toBytes(typeof value === "string" ? value : JSON.stringify(value) ?? "");
}

/** The token that a client came with, in its address or as a subprotocol. */
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
    refuse(others);
    /** Connections by id. */
    const conns = new Map();
    /** Members by room, in the order in which they came. @type {Map<string, Set<object>>} */
    const rooms = new Map();
    const handlers = new Map();
    let lastId = 0;
    let mayConnect = () => true;
    let mayJoin = () => true;
    let running = true;
    let stalled = false;
    /** What is on its way, both ways, in order. */
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
        // Rules are for clients: what the server itself does is allowed.
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

    /** One packet of a client. */
    function handle(conn, buffer) {
        let packet;
        try {
            packet = decode(buffer);
        } catch {
            return conn.api.close(1002, "malformed packet");
        }
        const { room, event, dst, payload } = packet;
        if (!conn.takes.message() || (event === "join" && !conn.takes.join())) {
            return conn.api.close(1008, "rate");
        }
        if (event === "join") {
            join(conn, room);
        } else if (event === "leave") {
            leave(conn, room);
        } else if (RESERVED.includes(event) || (!dst && !rooms.get(room)?.has(conn))) {
            // Never forwarded: a client would take it for the server's word, or is not in that room.
            conn.takes.strike() || conn.api.close(1008, "too many violations");
        } else if (dst) {
            conns.get(dst)?.deliver(encode(room, event, dst, conn.id, payload));
        } else if (handlers.has(event)) {
            try {
                handlers.get(event)(conn.api, { room, event, payload: payload.slice(), text: () => toText(payload) });
            } catch (error) {
                conn.api.close(1011, "handler failed");
                // advance() throws it: a test must not pass over it.
                throw error;
            }
        } else {
            broadcast(conn, room, event, payload);
        }
    }

    /** The server's end of a new connection. */
    function accept(link, url, protocols) {
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
        const conn = { id, takes, deliver: link.deliver };
        conn.api = Object.freeze({
            id,
            url,
            token,
            rooms: () => [...rooms].filter(([, members]) => members.has(conn)).map(([name]) => name),
            send: (room, event, payload) => link.deliver(encode(room, event, id, "", toPayload(payload))),
            sendToRoom: (room, event, payload) => broadcast(conn, room, event, toPayload(payload)),
            deliver: link.deliver,
            join: (name) => join(conn, name, true),
            /** As a real server does, it says so even if there was nothing to leave. */
            kick: (name) => leave(conn, name),
            move(from, to) {
                leave(conn, from);
                join(conn, to, true);
            },
            close(code = 1000, reason = "") {
                gone();
                link.close(code, reason);
            },
            cut() {
                gone();
                link.cut();
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
        /** Who may connect, and who may join; all by default. */
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
