/** The feature behind sessions in the extended protocol, which survive lost connections.
 *
 * It counts received packets, acknowledges them, and resumes the session on a new socket. It has no effect on a server with the
 * plain protocol.
 *
 * @module session
 */

import { addQuery } from "./address.js";
import { check, wrap } from "./error.js";
import { extendRooms } from "./feature.js";
import { ACK, ACK_BYTES, ACK_DELAY, ACK_PACKETS, ASK_INTERVAL, HELLO, MEMBERS, ROOT } from "./limits.js";
import { encode, toBytes, toText } from "./packet.js";
import { decodePayload, toMembers } from "./room.js";

/** Returns a copy of a member, marked as away: the member has lost its connection, and may resume its session. */
const toAway = (member) => Object.freeze({ ...member, away: true });

/** @param {object} core see core.js */
export function sessions(core) {
    const { silence } = core;
    /** The core's methods, before this feature replaces some of them. */
    const plain = { ...core };
    /** True once the socket's first packet has shown which protocol the server uses. */
    let isGreeted;
    /** The token that resumes the session on the next socket; undefined if there is none. */
    let token;
    /**
     * The number of this session's packets that the server had handled when it resumed the session on this socket; undefined if
     * it did not.
     */
    let resumedAt;
    /** The number of packets that the server has acknowledged in this session. */
    let settled;
    let received;
    let acknowledged;
    /** The number of bytes received since the last acknowledgement. */
    let bytes;
    /** The size in bytes of the largest packet that the server accepts; undefined if unknown. */
    let most;
    /** The time for which the server keeps the session without a socket, in milliseconds. */
    let window;
    let timer;
    /**
     * Sockets that were abandoned because of silence, and are closed once the session has resumed or ended. A close frame sent
     * before that would end the session, which the server may still keep.
     */
    const abandoned = [];

    /** Throws if a packet exceeds the server's size limit: the server would close the connection. */
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
     * Applies the payload of `hello`, which starts or resumes a session. With false, the server uses the plain protocol; with
     * undefined, the session has ended.
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
        // A listener called above may have closed the client.
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
        /** Closes a socket, or leaves it open for now if the server may still keep the session, which a close frame would end. */
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
            const time = core.clock.now() - core.lostAt;
            // A server that shuts down tells each client how long to wait, which spreads the reconnects.
            const delay = +/^retry=(\d+)$/.exec(error?.reason)?.[1];
            delay && state === "suspended" && core.retryIn(delay);
            plain.changed(state, error);
            state === "open" && resumedAt >= 0 && core.emit("resumed", time);
        },
        /**
         * Resumes the session by retransmitting the packets that the server has not handled. Packets that it has handled stay
         * unconfirmed until it acknowledges them, since their answers may still arrive.
         */
        begin() {
            if (!(resumedAt >= 0)) {
                return plain.begin();
            }
            core.reset();
            // Request an acknowledgement only if the server has handled packets that it has not acknowledged: it closes clients
            // that constantly send such requests.
            resumedAt > settled && core.probe();
            [...core.sent].slice(resumedAt - settled).forEach((item, n) => {
                // Send a probe before a leave, as request() does.
                n && item.event === "leave" && core.probe();
                core.write(item);
            });
            core.pump();
        },
        /** Handles the loss of the socket. Received packets can no longer be acknowledged on it. */
        end(error, state) {
            if (state) {
                isGreeted = false;
                pause();
                // The server ends the session with these close codes, or once its resume window has passed.
                if (state === "closed" || error.closeCode > 1006 || !core.isKept(core.clock.now() - core.lostAt)) {
                    meet();
                }
            }
            (state && token) || plain.end(error);
        },
        deliver(packet, room) {
            const isDone = plain.deliver(packet, room);
            // Apply the membership changes. The server may combine several of them in one packet.
            const decode = (payload) => {
                const { left = [], joined = [], changed = [], away = [], back = [], count } = JSON.parse(toText(payload));
                const { member } = room.api;
                count === undefined || room.counted?.(count);
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
        /** The latest number of members, if the server sends only that. */
        let latest;
        room.recalled = (list, members, emit) => {
            /** Stores the number, and emits an event if it is not the first. */
            room.counted = (count) => {
                const isNew = latest !== undefined && count !== latest;
                latest = count;
                room.setCount(count);
                isNew && emit("count_changed", room.api.count);
            };
            list?.count === undefined || room.counted(list.count);
            [list?.away ?? []].flat().forEach((id) => members.has(id) && members.set(id, toAway(members.get(id))));
            recalled?.(list, members, emit);
        };
    });
    meet();
}
