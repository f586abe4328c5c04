/**
 * The session of the extended protocol: what was received in it, when to acknowledge that, and the way back on a new socket.
 * It does nothing on a server that speaks the plain protocol.
 *
 * @module session
 */

import { ACK, ACK_BYTES, ACK_DELAY, ACK_PACKETS, ROOT } from "./limits.js";
import { encode, toBytes } from "./packet.js";

/**
 * @param {import("./index.js").Clock} clock
 * @param {(item: object) => void} send writes an item to the socket
 */
export function createSession(clock, send) {
    /** Finds the session on the next socket; undefined if none is kept. */
    let token;
    let received = 0;
    let acknowledged = 0;
    /** The bytes of the packets since the last acknowledgement. */
    let bytes = 0;
    /** The time for which the server keeps the session without a socket. */
    let window;
    let timer;

    const pause = () => {
        clock.clearTimeout(timer);
        timer = undefined;
        bytes = 0;
        acknowledged = received;
    };

    const acknowledge = (to) => {
        pause();
        send({ event: ACK, to, data: encode(ROOT, ACK, to, "", toBytes(`${received}`)) });
    };

    const session = {
        /** True while the server speaks the extended protocol, false while it speaks the plain one. */
        isOn: undefined,
        /** The number of packets that the server has handled, if the session continues on the present socket. */
        handled: undefined,
        /** The silence of the server after which something is wrong. */
        heartbeat: Infinity,
        /** Returns true if the server may keep the session, without a socket for this time. */
        isKept: (time = 0) => time <= window && token,
        /** Returns what the client asks for in the query of its address. */
        query: () => `roomer=2${token ? `&session=${encodeURIComponent(token)}&received=${received}` : ""}`,
        /** Begins a session, or continues it, by the payload of `hello`; false: the server speaks the plain protocol. Undefined: ends it. */
        begin(hello) {
            session.handled = token && hello?.resumed ? hello.received : undefined;
            session.isOn = hello && true;
            // A tenth more than promised, for the way.
            session.heartbeat = hello?.heartbeat * 1.1 || Infinity;
            window = hello?.resume;
            token = hello?.session;
            received = session.handled >= 0 ? received : 0;
            pause();
        },
        /** Stops to acknowledge: the socket is not used any more. */
        pause,
        acknowledge,
        /** Counts a packet. */
        count(size) {
            if (session.isOn) {
                received++;
                bytes += size;
                if (received - acknowledged >= ACK_PACKETS || bytes >= ACK_BYTES) {
                    acknowledge();
                } else {
                    timer ??= clock.setTimeout(acknowledge, ACK_DELAY);
                }
            }
        }
    };
    return session;
}
