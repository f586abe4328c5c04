/** The server's end of an extended session in memory.
 *
 * It counts packets, acknowledges them, and retransmits unacknowledged ones on the client's next socket.
 *
 * @module testkit/session
 */

import { ACK, ACK_BYTES, ACK_DELAY, ACK_PACKETS, HELLO, ROOT } from "../limits.js";
import { encode, toBytes, toText } from "../packet.js";
import { MOST_INFO_BYTES } from "./extended.js";

/** The maximum time for which the server sends nothing, in milliseconds. */
const HEARTBEAT = 25_000;
/** The maximum number of consecutive acknowledgements from a client that acknowledge nothing new, as in a real server. */
const MOST_IDLE_ACKS = 64;
/** After a pause of this length, in milliseconds, an acknowledgement no longer counts as consecutive. */
const ACK_PAUSE = 1_000;
/** The number of newest tokens that stay valid until the client has shown that it has received one of them. */
const MOST_TOKENS = 4;

/**
 * @param {object} about
 * @param {import("./index.js").ManualClock} about.clock
 * @param {string} about.id the connection's id
 * @param {number} about.window how long the session is kept without a socket
 * @param {number} about.buffer the maximum number of bytes kept for the client
 * @param {{message: number, name: number, rooms: number}} about.limits the limits in the first packet
 * @param {() => object} about.profile returns the client's `info` and `user`, if it has any
 * @param {() => void} about.end ends the connection when the session has ended
 * @param {(code: number, reason: string) => void} about.close closes the connection
 * @param {() => void} about.beforeAck called before packets are acknowledged
 */
export function createServerSession({ clock, id, window, buffer, limits, profile, end, close, beforeAck }) {
    /** The client's current socket. */
    let socket;
    /** The packets that the client has not acknowledged, oldest first. */
    let log = [];
    let logBytes = 0;
    let acknowledged = 0;
    let idleAcks = 0;
    let lastAck;
    let received = 0;
    let unacknowledged = 0;
    let unacknowledgedBytes = 0;
    let dueAt;
    let heartbeatAt;
    let timer;
    let lastToken = 0;
    /** The tokens that the client may have received, newest last. */
    let tokens = [];

    const createToken = () => `${id}.${String(++lastToken).padStart(32, "0")}`;

    /** If there is a socket, sets the only timer to the next acknowledgement or heartbeat. */
    function schedule() {
        clock.clearTimeout(timer);
        const at = Math.min(dueAt ?? Infinity, heartbeatAt);
        timer = socket && clock.setTimeout(acknowledge, at - clock.now());
    }

    function acknowledge() {
        beforeAck();
        unacknowledged = unacknowledgedBytes = 0;
        dueAt = undefined;
        heartbeatAt = clock.now() + HEARTBEAT;
        schedule();
        socket?.deliver(encode(ROOT, ACK, "", "", toBytes(`${received}`)));
    }

    /** Drops the packets that the client has acknowledged. Returns false if the client cannot have received that many. */
    function drop(count) {
        if (!(count >= acknowledged && count <= acknowledged + log.length)) {
            return false;
        }
        log.splice(0, count - acknowledged).forEach((packet) => (logBytes -= packet.length));
        acknowledged = count;
        return true;
    }

    /** Returns false if too many consecutive acknowledgements have acknowledged nothing new. */
    function mayAcknowledge(isNew) {
        idleAcks = !isNew && clock.now() - lastAck < ACK_PAUSE ? idleAcks + 1 : 0;
        lastAck = clock.now();
        return idleAcks <= MOST_IDLE_ACKS;
    }

    function hello(isResumed) {
        const session = window ? tokens.at(-1) : null;
        const payload = { version: 2, session, resumed: isResumed, received: isResumed ? received : 0, heartbeat: HEARTBEAT, resume: window, limits: { ...limits, info: MOST_INFO_BYTES }, ...(isResumed ? {} : profile()) };
        socket.deliver(encode(ROOT, HELLO, "", id, toBytes(JSON.stringify(payload))));
        heartbeatAt = clock.now() + HEARTBEAT;
        schedule();
    }

    return {
        socket: () => socket,
        /** Returns the tokens that the client may present. */
        tokens: () => [...tokens],
        begin(first) {
            socket = first;
            tokens = [createToken()];
            hello(false);
        },
        deliver(packet) {
            log.push(packet);
            logBytes += packet.length;
            if (socket) {
                socket.deliver(packet);
            } else if (logBytes > buffer) {
                end();
            }
        },
        /** Handles an acknowledgement and returns true. Any other packet is only counted. */
        receive({ event, to, payload }, size) {
            tokens = tokens.slice(-1);
            if (event !== ACK) {
                idleAcks = 0;
                received++;
                unacknowledged++;
                unacknowledgedBytes += size;
                return false;
            }
            const before = acknowledged;
            if (!drop(Number(toText(payload)))) {
                close(1002, "acknowledged packets that were not sent");
            } else if (!mayAcknowledge(acknowledged > before)) {
                close(1002, "repeatedly acknowledged nothing new");
            } else if (to === "?") {
                acknowledge();
            }
            return true;
        },
        /** Called when a packet has been handled. Sends an acknowledgement if one is due. */
        handled() {
            if (unacknowledged >= ACK_PACKETS || unacknowledgedBytes >= ACK_BYTES) {
                acknowledge();
            } else if (unacknowledged && dueAt === undefined) {
                dueAt = clock.now() + ACK_DELAY;
                schedule();
            }
        },
        /** Keeps the session without a socket. Returns false if the session ends instead. */
        detach() {
            socket = undefined;
            schedule();
            if (!window || logBytes > buffer) {
                return false;
            }
            timer = clock.setTimeout(end, window);
            return true;
        },
        /**
         * Resumes the session on a new socket, which the client has opened with a token and its count of received packets.
         * Returns false if the session cannot be resumed.
         */
        resume(next, token, count) {
            if (!tokens.includes(token) || logBytes > buffer || !drop(count)) {
                return false;
            }
            // `hello` acknowledges packets too.
            beforeAck();
            if (logBytes > buffer) {
                return false;
            }
            const replaced = socket;
            socket = next;
            // Cut the old socket only now: the end of the session's current socket would detach the session.
            replaced?.cut();
            // Keep the older tokens: until the client has sent a packet, the socket that carries the new token may break as well.
            tokens = [token, ...tokens.filter((each) => each !== token), createToken()].slice(-MOST_TOKENS);
            return true;
        },
        /** Retransmits the packets that the client has not received. */
        resumed() {
            unacknowledged = unacknowledgedBytes = 0;
            dueAt = undefined;
            hello(true);
            log.forEach((packet) => socket.deliver(packet));
        },
        stop() {
            socket = undefined;
            clock.clearTimeout(timer);
        }
    };
}
