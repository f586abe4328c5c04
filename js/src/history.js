/**
 * The feature of rooms that remember: the option `history` of join(), and `room.history`.
 *
 * Such a room numbers its messages. A client that joins names the last one that it has seen, and receives what has come since.
 *
 * @module history
 */

import { check } from "./error.js";
import { NUMBER } from "./limits.js";
import { toBytes } from "./packet.js";

/** @param {object} core see core.js */
export const history = ({ clock }) => ({
    room(room, { history: last }) {
        check(last === undefined || last >= 0, "history");
        let found;
        Object.defineProperty(room.api, "history", { get: () => found });
        room.recall = () => (last >= 0 ? toBytes(JSON.stringify({ at: room.at, last })) : undefined);
        room.recalled = ({ at: newest, recovered }, emit) => {
            if (Array.isArray(newest)) {
                const [epoch, number] = newest;
                const isLost = room.at && !recovered;
                // The epoch of the memory, and the number of the message that this client has seen last.
                room.at = recovered ? room.at : [epoch, Math.max(0, number - last)];
                found = Object.freeze({ epoch, number, recovered });
                isLost && emit("history_lost", found);
            }
        };
    },
    packet(packet, room) {
        const number = +/^#(\d+)$/.exec(packet.to)?.[1];
        if (room && number) {
            const at = room.at ?? [];
            // Not what the client has seen before.
            if (!(number <= at[1])) {
                at[1] = number;
                packet.event === NUMBER || room.received(packet, clock.now(), number);
            }
            return true;
        }
    }
});
