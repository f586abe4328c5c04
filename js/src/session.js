/**
 * The feature of sessions, in the extended protocol: what was received in a session, when to acknowledge that, and the way back to
 * it on a new socket. It does nothing on a server that speaks the plain protocol.
 *
 * @module session
 */

import { hangUp } from "./connection.js";
import { wrap } from "./error.js";
import { ACK, ACK_BYTES, ACK_DELAY, ACK_PACKETS, ASK_INTERVAL, HELLO, MEMBERS, ROOT } from "./limits.js";
import { encode, toBytes, toText } from "./packet.js";
import { decodePayload, toMembers } from "./room.js";

/** @param {object} core see core.js */
export const sessions = ({ clock, session, connection, outbox, transmit, callFeatures, report }) => {
    /** True once the socket's first packet has shown which protocol the server speaks. */
    let isGreeted;
    /** Finds the session on the next socket; undefined if none is kept. */
    let token;
    /** The number of packets that the server has handled, if the session continues on the current socket. */
    let handled;
    /** The silence of the server after which something is wrong. */
    let heartbeat;
    let received;
    let acknowledged;
    /** The bytes of the packets since the last acknowledgement. */
    let bytes;
    /** The time for which the server keeps the session without a socket. */
    let window;
    let timer;
    /** Sockets that were given up for silence while the server may keep the session: a close frame would end it. */
    const abandoned = [];

    const pause = () => {
        clock.clearTimeout(timer);
        timer = undefined;
        bytes = 0;
        acknowledged = received;
    };

    const acknowledge = (to) => {
        pause();
        transmit({ event: ACK, to, data: encode(ROOT, ACK, to, "", toBytes(`${received}`)) });
    };

    /** Begins a session, or continues it, by the payload of `hello`; false: the server speaks the plain protocol. Undefined: ends it. */
    const begin = (hello) => {
        handled = token && hello?.resumed ? hello.received : undefined;
        // Undefined until the server has shown which protocol it speaks.
        session.isOn = hello && true;
        // A tenth more than promised, for the network.
        heartbeat = hello?.heartbeat * 1.1 || Infinity;
        window = hello?.resume;
        token = hello?.session;
        received = handled >= 0 ? received : 0;
        pause();
        abandoned.splice(0).forEach((old) => hangUp(old));
    };

    const greet = (packet) => {
        let hello = false;
        try {
            hello = packet?.event === HELLO && JSON.parse(toText(packet.payload));
        } catch (cause) {
            report(wrap("packet", cause));
        }
        isGreeted = true;
        begin(hello);
        connection.opened();
        callFeatures("greeted", hello);
        return hello;
    };

    Object.assign(session, {
        /** Returns true if the server may keep the session, without a socket for this time. */
        isKept: (time = 0) => time <= window && token,
        /** Returns what the client asks for in the query of its address. */
        query: () => `roomer=2${token ? `&session=${encodeURIComponent(token)}&received=${received}` : ""}`,
        /** Returns how long the server may be silent. */
        silence: (most) => Math.max(session.isOn ? ASK_INTERVAL : 0, Math.min(most, heartbeat)),
        acknowledge,
        /** Handles what has arrived; returns true if that is no packet for the rooms. */
        received(packet, size) {
            if (!isGreeted && greet(packet)) {
                return true;
            }
            if (session.isOn) {
                if (packet?.event === ACK) {
                    outbox.confirmed(+toText(packet.payload));
                    packet.to && acknowledge();
                    return true;
                }
                received++;
                bytes += size;
                if (received - acknowledged >= ACK_PACKETS || bytes >= ACK_BYTES) {
                    acknowledge();
                } else {
                    timer ??= clock.setTimeout(acknowledge, ACK_DELAY);
                }
            }
        },
        /** Returns true if the session continues on the current socket. */
        resume() {
            handled >= 0 && outbox.resumed(handled);
            return handled >= 0;
        },
        /**
         * Leaves a socket open if the server may still keep the session, which a close frame would end. Returns false if it must
         * be closed.
         */
        abandon: (old) => session.isKept() && old.readyState === 1 && abandoned.push(old),
        /** Handles the loss of the socket, after which nothing is acknowledged on it; returns true if the client may return to the session. */
        suspend(state, error, time) {
            isGreeted = false;
            pause();
            // The server ends the session with these close codes, and after the time for which it keeps one.
            if (state === "closed" || error.closeCode > 1006 || !session.isKept(time)) {
                begin();
            }
            return token;
        }
    });
    begin();
    return {
        room(room) {
            /** Applies the changes of the members, which the server sends together. */
            const apply = (payload) => {
                const { left = [], joined = [], changed = [], count } = JSON.parse(toText(payload));
                count === undefined || room.setCount(count);
                left.forEach((id) => room.change(id));
                toMembers([...joined, ...changed]).forEach((member, id) => room.change(id, member));
            };
            room.told = (packet) => packet.event === MEMBERS && decodePayload({ decode: apply }, packet, report, () => {});
        }
    };
};
