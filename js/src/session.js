/**
 * The feature behind sessions in the extended protocol: counts received packets, acknowledges them, and resumes the session on a
 * new socket. It has no effect on a server with the plain protocol.
 *
 * @module session
 */

import { addQuery } from "./address.js";
import { check, wrap } from "./error.js";
import { extendRooms } from "./feature.js";
import { ACK, ACK_BYTES, ACK_DELAY, ACK_PACKETS, ASK_INTERVAL, HELLO, MEMBERS, ROOT } from "./limits.js";
import { encode, toBytes, toText } from "./packet.js";
import { decodePayload, toMembers } from "./room.js";

/** Returns a member marked as away: it has lost its connection, and may return to its session. */
const toAway = (member) => Object.freeze({ ...member, away: true });

/** @param {object} core see core.js */
export function sessions(core) {
    const { silence } = core;
    /** The core's methods without sessions. */
    const plain = { ...core };
    /** True once the socket's first packet has shown which protocol the server uses. */
    let isGreeted;
    /** The token that resumes the session on the next socket; undefined if there is none. */
    let token;
    /** How many packets the server had handled when it resumed the session on the current socket. */
    let resumedAt;
    /** How many packets the server has confirmed in this session. */
    let settled;
    let received;
    let acknowledged;
    /** The number of bytes received since the last acknowledgement. */
    let bytes;
    /** The size in bytes of the largest packet that the server accepts; undefined if unknown. */
    let most;
    /** How long the server keeps the session without a socket. */
    let window;
    let timer;
    /** When the connection was lost; kept until a new one is open. */
    let lostAt;
    /** Sockets abandoned because of silence. A close frame would end the session, which the server may still keep. */
    const abandoned = [];

    /** Throws if the server would close the connection because of a packet. */
    const checkSize = ({ event, data }) => check(!(data.length > most), `"${event}" has ${data.length} bytes, and the server accepts ${most}`);

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

    /**
     * Starts or resumes a session with the payload of `hello`. The argument false means a plain server; undefined ends the
     * session.
     */
    const meet = (hello) => {
        resumedAt = token && hello?.resumed ? hello.received : undefined;
        if (!(resumedAt >= 0)) {
            received = settled = 0;
        }
        // The value is undefined until the server has shown which protocol it uses.
        core.isOn = hello && true;
        // Add a tenth to the announced interval, for network delays.
        core.silence = silence && Math.max(core.isOn ? ASK_INTERVAL : 0, Math.min(silence, hello?.heartbeat * 1.1 || Infinity));
        window = hello?.resume;
        most = hello?.limits?.message;
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
        for (const item of core.queue) {
            try {
                checkSize(item);
            } catch (error) {
                core.drop(item, "too_large");
                item.fail?.(error);
            }
        }
        // A listener of the events above may have closed the client.
        core.state === "closed" || plain.opened();
        core.emit(HELLO, hello);
        return hello;
    };

    Object.assign(core, {
        /** Returns true if the server may keep the session after this time without a socket. */
        isKept: (time = 0) => time <= window && token,
        /** Returns an address that requests a new session, or resumes the current one. */
        toAddress: (...args) => addQuery(plain.toAddress(...args), `roomer=2${token ? `&session=${encodeURIComponent(token)}&received=${received}` : ""}`),
        createItem(...args) {
            const item = plain.createItem(...args);
            checkSize(item);
            return item;
        },
        // A client that wants to resume sends nothing before the first packet shows whether its session has resumed.
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
        /** In a session, requests an acknowledgement from the server. */
        ask() {
            core.isAwaited = false;
            core.isOn ? acknowledge("?") : plain.ask();
        },
        changed(state, error) {
            const time = core.clock.now() - lostAt;
            lostAt = state === "open" ? undefined : lostAt ?? core.clock.now();
            // A server that shuts down spreads its clients' reconnects over a period that it chooses.
            const delay = +/^retry=(\d+)$/.exec(error?.reason)?.[1];
            delay && state === "suspended" && core.retryIn(delay);
            plain.changed(state, error);
            state === "open" && resumedAt >= 0 && core.emit("resumed", time);
        },
        /**
         * Resumes the session by retransmitting the packets that the server has not handled. The others stay unconfirmed, as
         * answers may still arrive.
         */
        begin() {
            if (!(resumedAt >= 0)) {
                return plain.begin();
            }
            core.reset();
            // Probe only if necessary, since the server closes clients that request acknowledgements constantly.
            resumedAt > settled && core.probe();
            [...core.sent].slice(resumedAt - settled).forEach((item, n) => {
                // Send a probe before a leave, as request() does.
                n && item.event === "leave" && core.probe();
                core.write(item);
            });
            core.pump();
        },
        /** Handles the loss of the socket, on which no more packets are acknowledged. */
        end(error, state) {
            if (state) {
                isGreeted = false;
                pause();
                // The server ends the session with these close codes, or once its resume window has passed.
                if (state === "closed" || error.closeCode > 1006 || !core.isKept(core.clock.now() - lostAt)) {
                    meet();
                }
            }
            (state && token) || plain.end(error);
        },
        deliver(packet, room) {
            const isDone = plain.deliver(packet, room);
            // Apply membership changes, several of which the server may combine.
            const decode = (payload) => {
                const { left = [], joined = [], changed = [], away = [], back = [], count } = JSON.parse(toText(payload));
                const { member } = room.api;
                count === undefined || room.setCount(count);
                left.forEach((id) => room.change(undefined, id));
                const known = [...away, ...back].map((id) => Object.values(member(id) ?? []));
                toMembers([...known, ...joined, ...changed]).forEach((now, id) => {
                    const isAway = away.includes(id) || (member(id)?.away && !back.includes(id));
                    room.change(isAway ? toAway(now) : now, id);
                });
            };
            room && packet.event === MEMBERS && !packet.from && decodePayload(core, { decode }, packet, () => {});
            return isDone;
        }
    });
    extendRooms(core, (room) => {
        const { recalled } = room;
        room.recalled = (list, members, emit) => {
            [list?.away ?? []].flat().forEach((id) => members.has(id) && members.set(id, toAway(members.get(id))));
            recalled?.(list, members, emit);
        };
    });
    meet();
}
