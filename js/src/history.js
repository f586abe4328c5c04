/** The feature behind rooms with a message history: the `history` option of join(), and `room.history`.
 *
 * Such a room numbers its messages. A joining client sends the number of the last message that it has received, and receives the
 * later ones. The server limits the rate of such joins, and sends no past messages above it. Joins above the rate therefore
 * wait.
 *
 * @module history
 */

import { check } from "./error.js";
import { extendRooms, takePackets } from "./feature.js";
import { HELLO, MOST_RECALLS, NUMBER } from "./limits.js";
import { createPace } from "./pace.js";
import { toBytes } from "./packet.js";

/** @param {object} core see core.js */
export function history(core) {
    const plain = { ...core };
    /** The rooms whose joins wait. */
    const waiting = new Set();
    /** The rooms whose joins the server has not answered. */
    const asking = new Set();

    const pace = createPace(core.clock, MOST_RECALLS, enterNext);

    function enter(room) {
        waiting.delete(room);
        asking.add(room);
        // The room may have received messages while its join waited.
        return plain.request(room, "join", room.recall());
    }

    function enterNext() {
        asking.forEach((room) => room.api.state === "closed" && asking.delete(room));
        for (const room of waiting) {
            if (room.api.state === "closed") {
                waiting.delete(room);
            } else if (!core.isKept || core.isOn === false || pace.take(asking.size)) {
                enter(room);
            } else {
                break;
            }
        }
    }

    // A plain server has no such limit.
    core.client.on(HELLO, enterNext);
    Object.assign(core, {
        request(room, event, payload) {
            waiting.delete(room);
            if (!payload?.length || !(core.isReady() || core.isKept?.())) {
                return plain.request(room, event, payload);
            }
            waiting.add(room);
            return enterNext();
        },
        disconnected(isTooFast) {
            waiting.clear();
            asking.clear();
            pace.reset();
            plain.disconnected(isTooFast);
        }
    });
    extendRooms(core, (room, { history: last } = {}) => {
        check(last === undefined || (Number.isInteger(last) && last >= 0), "history: a whole number from 0");
        let found;
        /** The epoch of the room's history; 0 until it is known. */
        let epoch = 0;
        /** The number of the last message that this client has received. */
        let seen = 0;
        Object.defineProperty(room.api, "history", { get: () => found });
        room.recall = () => {
            // Numbers seen before the epoch was known may belong to another history than the one that the room has in a new session.
            seen = epoch && seen;
            return toBytes(last >= 0 ? JSON.stringify({ at: epoch ? [epoch, seen] : undefined, last }) : "");
        };
        const { recalled } = room;
        room.recalled = (list, members, emit) => {
            recalled?.(list, members, emit);
            if (asking.delete(room)) {
                // The server does not count the join if the room has no history.
                pace.answered(list?.at);
                enterNext();
            }
            if (Array.isArray(list?.at)) {
                const before = epoch;
                const [now, number] = list.at;
                epoch = now;
                // The room has no gap if its missing messages have arrived between the join and the acknowledgement.
                const isWhole = list.recovered || (before === epoch && seen >= number);
                found = Object.freeze({ epoch, number, recovered: isWhole });
                if (!isWhole) {
                    seen = Math.max(before && before !== epoch ? 0 : seen, number - last);
                    before && emit("history_lost", found);
                }
            }
        };
        /** Returns true if the client has already received the message with this number. */
        room.isOld = (number) => {
            const isOld = last >= 0 && number <= seen;
            seen = Math.max(seen, number);
            return isOld;
        };
    });
    takePackets(core, (packet, room) => {
        const number = +/^#(\d+)$/.exec(packet.to)?.[1];
        if (room && number) {
            room.isOld(number) || packet.event === NUMBER || room.received(packet, number);
            return true;
        }
    });
}
