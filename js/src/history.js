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

/** Returns the number of a message, which stands in place of a receiver; NaN if it has none. */
const numberOf = (to) => Number(/^#(\d+)$/.exec(to)?.[1]);

/** @returns {object} see core.js */
export const history = () => ({
    room(room, { history: last }) {
        check(last === undefined || last >= 0, "history");
        let found;
        /** The epoch of the memory, and the number of the message that this client has seen last. */
        let at;
        Object.defineProperty(room.api, "history", { get: () => found });
        if (last >= 0) {
            room.recall = () => toBytes(JSON.stringify({ at, last }));
        }
        room.recalled = ({ at: newest, recovered }, emit) => {
            if (Array.isArray(newest)) {
                const isLost = at && !recovered;
                at = recovered ? at : [newest[0], Math.max(0, newest[1] - last)];
                found = Object.freeze({ epoch: newest[0], number: newest[1], recovered });
                isLost && emit("history_lost", found);
            }
        };
        /** Counts a message; returns true if the client has seen it before. */
        room.isOld = (to) => {
            const number = numberOf(to);
            const isOld = at && number <= at[1];
            if (at && number > at[1]) {
                at[1] = number;
            }
            return isOld;
        };
    },
    packet: ({ event, to }, room) => room?.isOld(to) || event === NUMBER
});
