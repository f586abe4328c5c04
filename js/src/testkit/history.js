/** Rooms with a message history, on the in-memory server.
 *
 * @module testkit/history
 */

import { toText } from "../packet.js";

/** Parses the request for past messages in a join's payload. Returns undefined if there is none. */
function readRecall(payload) {
    if (!payload.length) {
        return undefined;
    }
    try {
        const { at, last } = JSON.parse(toText(payload));
        return at === undefined && last === undefined ? undefined : { at, last };
    } catch {
        return undefined;
    }
}

/** @param {(room: string) => number} sizeOf the number of messages that a room keeps; 0 disables the history */
export function createHistories(sizeOf) {
    /** The histories by room. */
    const memories = new Map();
    let lastEpoch = 8000;

    function find(room) {
        if (!memories.has(room) && sizeOf(room)) {
            memories.set(room, { epoch: ++lastEpoch, newest: 0, messages: [] });
        }
        return memories.get(room);
    }

    return {
        /** Stores a message. Returns its number as the packet's `to`, such as "#7", or "" if the room has no history. */
        push(room, message) {
            const memory = find(room);
            if (!memory) {
                return "";
            }
            memory.messages.push({ ...message, number: ++memory.newest });
            memory.messages.splice(0, memory.messages.length - sizeOf(room));
            return `#${memory.newest}`;
        },
        /**
         * Returns the history's part of a `join_ack`, and the past messages to send to the joining client: none if the join
         * exceeds the client's rate, in which case `take()` returns false.
         */
        recall(room, payload, take) {
            const memory = find(room);
            const asked = memory && readRecall(payload);
            if (!asked) {
                return { messages: [] };
            }
            const { epoch, newest, messages } = memory;
            const { at, last = 0 } = take() ? asked : {};
            const [atEpoch, number] = at ?? [];
            const recovered = atEpoch === epoch && number <= newest && number >= newest - messages.length;
            const found = recovered ? messages.filter((each) => each.number > number) : messages.slice(messages.length - Math.min(last, messages.length));
            return { ack: { at: [epoch, newest], recovered }, messages: found };
        },
        /** Drops the history of one room, or of all rooms. A dropped history is followed by one with a new epoch. */
        forget: (room) => void (room === undefined ? memories.clear() : memories.delete(room))
    };
}
