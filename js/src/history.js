/**
 * The feature behind rooms with a message history: the `history` option of join(), and `room.history`.
 *
 * Such a room numbers its messages. A joining client sends the number of the last message that it has received, and receives the
 * later ones.
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
        /** The epoch of the room's history; 0 until it is known. */
        let epoch = 0;
        /** The number of the last message that this client has received. */
        let seen = 0;
        Object.defineProperty(room.api, "history", { get: () => found });
        room.recall = () => {
            // Numbers seen before the epoch was known may belong to another history than the room has in a new session.
            seen = epoch && seen;
            return toBytes(last >= 0 ? JSON.stringify({ at: epoch ? [epoch, seen] : undefined, last }) : "");
        };
        const { recalled } = room;
        room.recalled = (list, members, emit) => {
            recalled?.(list, members, emit);
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
