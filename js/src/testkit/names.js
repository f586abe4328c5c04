/** Rules for room and event names, as in the real server.
 *
 * @module testkit/names
 */

import { toBytes, toText } from "../packet.js";

/** Events that only a server may send. */
export const RESERVED = ["close", "join_ack", "leave_ack", "member_left", "new_member", "open"];

/* Reasons for rejecting a packet; see UNKNOWN_RECEIVER. */

export const LONG_NAME = ["invalid", "the name is too long", true];
// Clients cannot avoid these rejections: a client may be removed from a room while it sends messages to the room, or it may
// rejoin the rooms of a server with a higher limit.
export const NOT_MEMBER = ["refused", "not a member of the room"];
export const TOO_MANY_ROOMS = ["refused", "a member of too many rooms"];

/** @param {number} most the maximum length of a name in bytes */
export function createNames(most) {
    // Most names are too short to exceed the limit in any encoding, and need not be encoded.
    const isLong = (name) => name.length * 3 > most && toBytes(name).length > most;

    return {
        isLong,
        /** Returns a name, shortened to the limit if necessary without splitting a character. */
        truncate(name) {
            if (!isLong(name)) {
                return name;
            }
            const bytes = toBytes(name);
            let end = most;
            // In UTF-8, bytes of this form continue a character.
            while ((bytes[end] & 0xc0) === 0x80) {
                end--;
            }
            return toText(bytes.subarray(0, end));
        }
    };
}
