/**
 * The feature of sessions, in the extended protocol: what was received in a session, when to acknowledge that, and the way back to
 * it on a new socket. It does nothing on a server that speaks the plain protocol.
 *
 * @module session
 */

import { addQuery } from "./address.js";
import { wrap } from "./error.js";
import { ACK, ACK_BYTES, ACK_DELAY, ACK_PACKETS, ASK_INTERVAL, HELLO, MEMBERS, ROOT } from "./limits.js";
import { encode, toBytes, toText } from "./packet.js";
import { decodePayload, toMembers } from "./room.js";

/** @param {object} core see core.js */
export function sessions(core) {
    const { silence } = core;
    /** The core without sessions. */
    const plain = { ...core };
    /** True once the socket's first packet has shown which protocol the server speaks. */
    let isGreeted;
    /** Finds the session on the next socket; undefined if none is kept. */
    let token;
    /** The number of packets that the server has handled, if the session continues on the current socket. */
    let resumedAt;
    /** The number of packets that the server has confirmed in the session. */
    let settled;
    let received;
    let acknowledged;
    /** The bytes of the packets since the last acknowledgement. */
    let bytes;
    /** The time for which the server keeps the session without a socket. */
    let window;
    let timer;
    /** The time at which the connection was lost, until there is a new one. */
    let lostAt;
    /** Sockets that were given up for silence while the server may keep the session: a close frame would end it. */
    const abandoned = [];

    const pause = () => {
        core.clock.clearTimeout(timer);
        timer = undefined;
        bytes = 0;
        acknowledged = received;
    };

    const acknowledge = (to) => {
        pause();
        core.transmit({ event: ACK, to, data: encode(ROOT, ACK, to, "", toBytes(`${received}`)) });
    };

    /** Begins a session, or continues it, by the payload of `hello`; false: the server speaks the plain protocol. Undefined: ends it. */
    const meet = (hello) => {
        resumedAt = token && hello?.resumed ? hello.received : undefined;
        if (!(resumedAt >= 0)) {
            received = settled = 0;
        }
        // Undefined until the server has shown which protocol it speaks.
        core.isOn = hello && true;
        // A tenth more than promised, for the network.
        core.silence = silence && Math.max(core.isOn ? ASK_INTERVAL : 0, Math.min(silence, hello?.heartbeat * 1.1 || Infinity));
        window = hello?.resume;
        token = hello?.session;
        pause();
        abandoned.splice(0).forEach((old) => plain.hangUp(old));
    };

    const greet = (packet) => {
        let hello = false;
        try {
            hello = packet?.event === HELLO && JSON.parse(toText(packet.payload));
        } catch (cause) {
            core.report(wrap("packet", cause));
        }
        isGreeted = true;
        meet(hello);
        plain.opened();
        core.emit(HELLO, hello);
        return hello;
    };

    Object.assign(core, {
        /** Returns true if the server may keep the session, without a socket for this time. */
        isKept: (time = 0) => time <= window && token,
        /** Returns an address that asks for a session, or for the one to return to. */
        toAddress: (...args) => addQuery(plain.toAddress(...args), `roomer=2${token ? `&session=${encodeURIComponent(token)}&received=${received}` : ""}`),
        // A client that returns to a session learns from the first packet whether that continues, and sends nothing before.
        opened: () => core.isKept() || plain.opened(),
        /** Leaves a socket open if the server may still keep the session, which a close frame would end. */
        hangUp: (old, code) => (!code && core.isKept() && old.readyState === 1 ? abandoned.push(old) : plain.hangUp(old, code)),
        handle(packet, data) {
            if (!isGreeted && greet(packet)) {
                return;
            }
            if (core.isOn) {
                if (packet?.event === ACK) {
                    core.confirmed(Math.max(0, toText(packet.payload) - settled || 0));
                    packet.to && acknowledge();
                    return;
                }
                received++;
                bytes += data?.byteLength || 0;
                if (received - acknowledged >= ACK_PACKETS || bytes >= ACK_BYTES) {
                    acknowledge();
                } else {
                    timer ??= core.clock.setTimeout(acknowledge, ACK_DELAY);
                }
            }
            plain.handle(packet);
        },
        confirmed(count) {
            settled += Math.min(count, core.sent.size);
            plain.confirmed(count);
        },
        /** In a session, the server answers a question with an acknowledgement. */
        ask() {
            core.isAwaited = false;
            core.isOn ? acknowledge("?") : plain.ask();
        },
        changed(state, error) {
            const time = core.clock.now() - lostAt;
            lostAt = state === "open" ? undefined : lostAt ?? core.clock.now();
            // A server that ends spreads its clients over a time that it chooses.
            const delay = +/^retry=(\d+)$/.exec(error?.reason)?.[1];
            delay && state === "suspended" && core.retryIn(delay);
            plain.changed(state, error);
            state === "open" && resumedAt >= 0 && core.emit("resumed", time);
        },
        /** Continues the session: sends again what the server has not handled. The rest is not confirmed yet, as answers may still arrive. */
        begin() {
            if (!(resumedAt >= 0)) {
                return plain.begin();
            }
            core.reset();
            // Only if needed, since the server closes clients that ask without end.
            resumedAt > settled && core.probe();
            [...core.sent].slice(resumedAt - settled).forEach((item, n) => {
                // As in request().
                n && item.event === "leave" && core.probe();
                core.write(item);
            });
            core.pump();
        },
        /** Handles the loss of the socket, after which nothing is acknowledged on it. */
        end(error, state) {
            if (state) {
                isGreeted = false;
                pause();
                // The server ends the session with these close codes, and after the time for which it keeps one.
                if (state === "closed" || error.closeCode > 1006 || !core.isKept(core.clock.now() - lostAt)) {
                    meet();
                }
            }
            (state && token) || plain.end(error);
        },
        deliver(packet, room) {
            const isDone = plain.deliver(packet, room);
            // Applies the changes of the members, which the server sends together.
            const decode = (payload) => {
                const { left = [], joined = [], changed = [], count } = JSON.parse(toText(payload));
                count === undefined || room.setCount(count);
                left.forEach((id) => room.change(undefined, id));
                toMembers([...joined, ...changed]).forEach(room.change);
            };
            room && packet.event === MEMBERS && !packet.from && decodePayload(core, { decode }, packet, () => {});
            return isDone;
        }
    });
    meet();
}
