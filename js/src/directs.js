/**
 * The feature behind the event `direct`: messages to this client through rooms that it has not joined.
 *
 * @module directs
 */

import { decodePayload, isReserved } from "./room.js";

/** @param {object} core see core.js */
export const directs = ({ codec, report, emit }) => ({
    packet(packet, joined) {
        const { room, event, to, from } = packet;
        if (!joined && to && !isReserved(event)) {
            decodePayload(codec, packet, report, (payload) => emit("direct", { room, event, payload, from }));
        }
    }
});
