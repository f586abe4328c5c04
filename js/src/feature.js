/** Helpers for features that extend the core.
 *
 * @module feature
 */

import { ERROR } from "./limits.js";
import { toText } from "./packet.js";

/** Registers a function that is called with each new room and the options of the join() that created it. */
export function extendRooms(core, extend) {
    const { createRoom } = core;
    core.createRoom = (name, codec, options) => {
        const room = createRoom(name, codec, options);
        extend(room, options);
        return room;
    };
}

/**
 * Registers a function that is called with each packet that is not an acknowledgement. If the function returns true, it has
 * handled the packet, and the packet is not dispatched further.
 */
export function takePackets(core, take) {
    const { deliver } = core;
    core.deliver = (packet, room) => take(packet, room) || deliver(packet, room);
}

/** Registers a function that is called with the content of each error that explains a rejected packet. */
export function takeRejections(core, take) {
    takePackets(core, ({ event, to, from, payload }) => {
        let content;
        try {
            content = event === ERROR && !(to + from) && JSON.parse(toText(payload));
        } catch {
            // The feature `rejections` reports errors that it cannot read.
        }
        content && take(content);
    });
}
