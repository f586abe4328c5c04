/**
 * How most features extend the core.
 *
 * @module feature
 */

/** Has `extend(room, options)` called with each new room and the options of join(). */
export function extendRooms(core, extend) {
    const { createRoom } = core;
    core.createRoom = (name, codec, options) => {
        const room = createRoom(name, codec, options);
        extend(room, options);
        return room;
    };
}

/** Has `take(packet, room)` called with each packet that is not an acknowledgement; it returns true if the packet is done. */
export function takePackets(core, take) {
    const { deliver } = core;
    core.deliver = (packet, room) => take(packet, room) || deliver(packet, room);
}
