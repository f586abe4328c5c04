/**
 * The feature of rooms that remember: the option `history` of join(), and `room.history`.
 *
 * Such a room numbers its messages. A client that joins names the last one that it has seen, and receives the later messages.
 *
 * @module history
 */

import { check } from "./error.js";
import { extendRooms, takePackets } from "./feature.js";
import { NUMBER } from "./limits.js";
import { toBytes } from "./packet.js";

/** @param {object} core see core.js */
export function history(core) {
    extendRooms(core, (room, { history: last } = {}) => {
        check(last === undefined || last >= 0, "history");
        let found;
        /** The memory, 0 until it is known, and the number of the message that this client has seen last. */
        let epoch = 0;
        let seen = 0;
        Object.defineProperty(room.api, "history", { get: () => found });
        room.recall = () => {
            // A new session may have another memory.
            seen = epoch && seen;
            return toBytes(last >= 0 ? JSON.stringify({ at: epoch ? [epoch, seen] : undefined, last }) : "");
        };
        room.recalled = (list, emit) => {
            if (Array.isArray(list?.at)) {
                const before = epoch;
                const [now, number] = list.at;
                epoch = now;
                // Messages may have arrived between the join and its answer.
                const isWhole = list.recovered || (before === epoch && seen >= number);
                found = Object.freeze({ epoch, number, recovered: isWhole });
                if (!isWhole) {
                    seen = Math.max(before && before !== epoch ? 0 : seen, number - last);
                    before && emit("history_lost", found);
                }
            }
        };
        /** Returns true if the client has seen the message with a number before. */
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
