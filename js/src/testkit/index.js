/** An in-memory roomer server for tests of applications: real frames, but no network and no waiting.
 *
 *     import { createServer } from "roomer/testkit";
 *
 *     const server = createServer();
 *     const client = connect("ws://test/ws", { ...server.options, codec: "json" });
 *     await server.advance();             // runs everything that is due now
 *     server.cut();                       // breaks the connections
 *     await server.advance(30_000);       // the client has reconnected
 *
 * The server follows a real server's rules: a client cannot send to a room that it is not in, reserved events are never
 * forwarded, a repeated join is only acknowledged, and the server sets each message's sender. It uses the extended protocol with
 * clients that request it, so they resume their sessions after cut().
 *
 * @module testkit
 */

import { ERROR, INFO, MEMBERS, NUMBER, REPLY, TOKEN } from "../limits.js";
import { decode, encode, toBytes } from "../packet.js";
import { createApplication } from "./application.js";
import { createCloses } from "./closes.js";
import { Connection } from "./connection.js";
import { createExtended, toEntry } from "./extended.js";
import { createHistories } from "./history.js";
import { createTakes } from "./limits.js";
import { DENIED, UNKNOWN_RECEIVER, toMessage, toPayload } from "./message.js";
import { LONG_NAME, NOT_MEMBER, RESERVED, TOO_MANY_ROOMS, createNames } from "./names.js";
import { createRequests } from "./requests.js";
import { createServerSession } from "./session.js";
import { checkCloseCode, checkHandler, readSettings } from "./settings.js";
import { createSocketClass, readToken } from "./socket.js";

export { createClock } from "./clock.js";

/**
 * @param {import("./index.js").ServerSettings} [settings]
 * @returns {import("./index.js").TestServer}
 */
export function createServer(settings = {}) {
    const { latency, clock, messageRate, byteRate, joinRate, violationRate, presenceOf, historyOf, announcesAway, plain, resumeWindow, resumeBuffer, retryWindow, maxMessage, maxName, maxRooms, maxRequests } = readSettings(settings);
    /** The connections by id. */
    const conns = new Map();
    /** The members by room, in the order in which they joined. @type {Map<string, Set<object>>} */
    const rooms = new Map();
    const handlers = new Map();
    const isMember = (conn, room) => !!rooms.get(room)?.has(conn);
    const application = createApplication(clock);
    const names = createNames(maxName);
    const requests = createRequests({ clock, conns, isMember, most: maxRequests, report: application.report });
    const histories = createHistories(historyOf);
    const closes = createCloses(clock.now, resumeWindow);
    let lastId = 0;
    let lastHint = 0;
    const { away, announceChange, setInfo, receiveInfo, askForToken, receiveToken, explain, report } = createExtended({ clock, conns, rooms, presenceOf, announcesAway, names, application });
    let running = true;
    let stalled = false;
    /** Deliveries in flight, in both directions, in the order in which they were sent. */
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

    const acknowledgeLeave = (conn, name) => conn.deliver(encode(name, "leave_ack", "", conn.id, toBytes(conn.id)));

    /**
     * Returns the reason if a client cannot join a room. The application's rule applies only to joins that the client requests.
     */
    function refuse(conn, name, isForced) {
        if (names.isLong(name)) {
            return LONG_NAME;
        }
        if (conn.api.rooms().length >= maxRooms) {
            return TOO_MANY_ROOMS;
        }
        return isForced || application.permits(conn, "join", name) ? undefined : DENIED;
    }

    /** Counts a rejection if the client could have avoided it, and closes the connection of a client with too many. */
    function countViolation(conn, [, , isViolation]) {
        isViolation && (conn.takes.violation() || conn.api.close(1008, "too many violations"));
    }

    function join(conn, name, isForced, payload = toBytes("")) {
        // A packet sent to the client, such as a move's leave_ack, may exceed the session's buffer and so end the connection.
        if (conns.get(conn.id) !== conn) {
            return;
        }
        const members = rooms.get(name) ?? new Set();
        const isNew = !members.has(conn);
        const reason = isNew && refuse(conn, name, isForced);
        if (reason) {
            isForced || explain(conn, { room: name, event: "join", to: "" }, reason);
            acknowledgeLeave(conn, name);
            // A join forced by the server does not count as the client's violation.
            return isForced || countViolation(conn, reason);
        }
        const others = [...members].filter((other) => other !== conn);
        rooms.set(name, members.add(conn));
        const mode = presenceOf(name);
        const list = mode === "off" ? [conn] : [...members];
        const plainSnapshot = mode === "count" ? list.length : list.map(({ id }) => id);
        const { ack, messages } = conn.session ? histories.recall(name, payload, conn.takes.recall) : { messages: [] };
        const snapshot = conn.session ? { ...(mode === "count" ? { count: list.length } : { members: list.map(toEntry), ...away(name, others) }), ...ack } : plainSnapshot;
        conn.deliver(encode(name, "join_ack", "", conn.id, toBytes(JSON.stringify(snapshot))));
        for (const { event, from, payload: bytes, number } of messages) {
            conn.deliver(from === conn.id ? encode(name, NUMBER, `#${number}`) : encode(name, event, `#${number}`, from, bytes));
        }
        isNew && members.has(conn) && announce(name, others, "new_member", conn.id, { joined: [toEntry(conn)], ...away(name, [conn]) });
    }

    /** Notifies a room's members of a membership change. */
    function announce(name, members, event, id, changes) {
        const mode = presenceOf(name);
        const news = { full: changes, count: { count: rooms.get(name)?.size ?? 0 } }[mode];
        for (const { session, deliver } of news ? members : []) {
            if (session) {
                deliver(encode(name, MEMBERS, "", "", toBytes(JSON.stringify(news))));
            } else if (mode === "full") {
                deliver(encode(name, event, "", "", toBytes(id)));
            }
        }
    }

    function vacate(conn, name) {
        const members = rooms.get(name);
        if (members?.delete(conn)) {
            if (!members.size) {
                rooms.delete(name);
            }
            announce(name, members, "member_left", conn.id, { left: [conn.id] });
        }
    }

    function leave(conn, name) {
        vacate(conn, name);
        acknowledgeLeave(conn, name);
    }

    function broadcast(sender, room, event, payload) {
        const members = rooms.get(room) ?? [];
        const from = sender?.id ?? "";
        const number = members.size ? histories.push(room, { event, from, payload: payload.slice() }) : "";
        for (const member of members) {
            const to = member.session ? number : "";
            if (member !== sender) {
                member.deliver(encode(room, event, to, from, payload));
            } else if (to) {
                member.deliver(encode(room, NUMBER, to));
            }
        }
    }

    /** Forwards a client's packet that is neither a join nor a leave. Returns the reason if it is rejected. */
    function pass(conn, packet) {
        const { room, event, to, payload } = packet;
        if (conn.session && (event === REPLY || event === ERROR)) {
            return names.isLong(room) ? LONG_NAME : requests.reply(conn, packet);
        }
        if (conn.session && event === INFO) {
            return receiveInfo(conn, payload);
        }
        // The receiver would mistake a reserved event for one sent by the server.
        if (RESERVED.includes(event) || (!plain && event.startsWith("roomer:"))) {
            return ["refused", "the event belongs to the protocol", true];
        }
        if (names.isLong(room) || names.isLong(event)) {
            return LONG_NAME;
        }
        if (conn.session && to.includes(":")) {
            return requests.ask(conn, packet);
        }
        if (to) {
            const receiver = conns.get(to);
            receiver?.deliver(encode(room, event, to, conn.id, payload));
            return receiver ? undefined : UNKNOWN_RECEIVER;
        }
        if (!isMember(conn, room)) {
            return NOT_MEMBER;
        }
        return handlers.has(event) ? application.run(conn, handlers.get(event), toMessage(packet)) : broadcast(conn, room, event, payload);
    }

    /** Handles a client's packet. */
    function handle(conn, buffer) {
        if (buffer.byteLength > maxMessage) {
            return conn.api.close(1009, "message is above the limit");
        }
        let packet;
        try {
            packet = decode(buffer);
        } catch {
            return conn.api.close(1002, "malformed packet");
        }
        const { room, event, payload } = packet;
        if (conn.session?.receive(packet, buffer.byteLength)) {
            return;
        }
        // As on a real server, a token that the server has requested does not count towards the rates.
        if (conn.isAsked && event === TOKEN) {
            return receiveToken(conn, payload);
        }
        if (!conn.takes.message() || !conn.takes.bytes(buffer.byteLength) || (event === "join" && !conn.takes.join())) {
            explain(conn, packet, ["busy", "too many packets"]);
            return conn.api.close(1008, "rate");
        }
        if (event === "join") {
            join(conn, room, false, payload);
        } else if (event === "leave") {
            leave(conn, room);
        } else {
            const reason = pass(conn, packet);
            if (reason) {
                application.reject(packet, reason);
                explain(conn, packet, reason);
                countViolation(conn, reason);
            }
        }
    }

    /** Returns the server's end of a new connection, or undefined to reject it. */
    function accept(socket, url, protocols) {
        const token = readToken(url, protocols);
        const claims = running && application.decide("connect", url, token);
        if (!claims) {
            return undefined;
        }
        const { info = null, user } = claims;
        const query = new URL(url).searchParams;
        const isExtended = !plain && query.get("roomer") === "2";
        const ended = (conn) => (code) => {
            closes.answered(conn.id, code);
            conn.socket() === socket && (code === undefined ? conn.lost() : conn.gone());
        };
        const received = (conn) => (buffer) => {
            if (conns.has(conn.id) && conn.socket() === socket) {
                handle(conn, buffer);
                conn.session?.handled();
            }
        };
        const before = isExtended && conns.get(query.get("session")?.split(".")[0]);
        const wasAway = before && !before.socket();
        if (before?.session?.resume(socket, query.get("session"), Number(query.get("received")))) {
            Object.assign(before, { url, token });
            wasAway && announceChange(before, "back");
            return { opened: before.session.resumed, received: received(before), ended: ended(before) };
        }
        const closed = isExtended && closes.find(query.get("session"), user);
        if (closed) {
            return { opened: () => socket.close(closed.code, closed.reason), received() {}, ended: (code) => closes.answered(closed.id, code) };
        }
        const id = `00000000-0000-4000-8000-${String(++lastId).padStart(12, "0")}`;
        const takes = createTakes({ message: messageRate, bytes: byteRate, join: joinRate, violation: violationRate }, clock.now);
        const session = isExtended ? createServerSession({
            clock,
            id,
            window: resumeWindow,
            buffer: resumeBuffer,
            limits: { message: maxMessage, name: maxName, rooms: maxRooms, requests: maxRequests },
            profile: () => ({ ...(conn.info !== null && { info: conn.info }), ...(conn.user !== undefined && { user: conn.user }) }),
            beforeAck: () => report(conn),
            end: () => conn.gone(),
            close: (code, reason) => conn.api.close(code, reason)
        }) : undefined;
        let plainSocket = isExtended ? undefined : socket;
        const conn = {
            id,
            url,
            token,
            takes,
            session,
            info,
            user,
            exchange: requests.createExchange(),
            deliver: session?.deliver ?? socket.deliver,
            socket: () => plainSocket ?? session?.socket(),
            gone() {
                if (conns.delete(id)) {
                    session?.stop();
                    clock.clearTimeout(conn.loginTimer);
                    requests.gone(conn);
                    [...rooms.keys()].forEach((name) => vacate(conn, name));
                }
            },
            lost: () => (session?.detach() ? announceChange(conn, "away") : conn.gone()),
            isConnected: () => conns.has(id) && !!conn.socket()
        };
        conn.api = new Connection(conn, {
            id,
            user,
            setInfo: (value) => setInfo(conn, value ?? null),
            request: (...request) => requests.request(conn, ...request),
            expiring: (milliseconds) => askForToken(conn, milliseconds),
            rooms: () => [...rooms].filter(([, members]) => members.has(conn)).map(([name]) => name),
            send: (room, event, payload) => conn.deliver(encode(room, event, id, "", toPayload(payload))),
            sendToRoom: (room, event, payload) => broadcast(conn, room, event, toPayload(payload)),
            deliver: conn.deliver,
            join: (name) => join(conn, name, true),
            /** As on a real server, leave_ack is sent even if the client is not in the room. */
            kick: (name) => leave(conn, name),
            move(from, to) {
                leave(conn, from);
                join(conn, to, true);
            },
            close(code = 1000, reason = "") {
                checkCloseCode(code);
                const last = conn.socket();
                report(conn);
                conns.has(id) && closes.keep(conn, code, reason);
                conn.gone();
                last?.close(code, reason);
            },
            cut: () => conn.socket()?.cut(),
            hang: () => conn.socket()?.hang(),
            expire: () => conn.socket() || conn.gone()
        });
        return {
            opened() {
                conns.set(id, conn);
                session?.begin(socket);
                join(conn, "root", true);
            },
            received: received(conn),
            ended: ended(conn)
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
        handle(event, handler) {
            checkHandler(event, handler);
            handlers.set(event, handler);
        },
        onRequest(event, handler) {
            checkHandler(event, handler);
            requests.handle(event, handler);
        },
        ...application.api,
        forget: histories.forget,
        broadcast: (room, event, payload) => broadcast(undefined, room, event, toPayload(payload)),
        cut: () => all().forEach((conn) => conn.cut()),
        expire: () => all().forEach((conn) => conn.expire()),
        stop(code, reason = "server is going away") {
            code === undefined || checkCloseCode(code);
            running = false;
            for (const { api, session } of [...conns.values()]) {
                if (session && code === undefined) {
                    // Spread the delays over the window, as a real server does.
                    lastHint = (lastHint + 0.618034) % 1;
                    api.close(1012, `retry=${Math.floor(lastHint * retryWindow)}`);
                } else {
                    api.close(code ?? 1001, reason);
                }
            }
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
