/** The feature behind the event `direct`: messages that peers send to this client alone, through rooms that it has not joined.
 *
 * @module directs
 */

import { decodePayload, isReserved } from "./room.js";

/** @param {object} core see core.js */
export function directs(core) {
    const { deliver } = core;
    core.deliver = (packet, joined) => {
        const { room, event, to, from } = packet;
        if (!deliver(packet, joined) && !joined && to && !isReserved(event)) {
            decodePayload(core, core.findCodec(core.codec), packet, (payload) => core.emit("direct", { room, event, payload, from }));
        }
    };
}
