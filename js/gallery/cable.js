/**
 * A network cable for a page: its sockets, and a plug that can be pulled. While it is pulled, open sockets carry nothing in either
 * direction, without an error, as when a phone leaves its network, and no new one opens. Pass the class to `connect()` as the
 * option `WebSocket`.
 *
 * @module cable
 */

/** The sockets that are connected. */
const live = new Set();
let isPulled = false;

/** A socket on this cable. */
export function Cable(...address) {
    if (isPulled) {
        const dead = { close() {} };
        setTimeout(() => dead.onclose({ code: 1006 }));
        return dead;
    }
    const socket = new WebSocket(...address);
    live.add(socket);
    for (const event of ["open", "message", "close", "error"]) {
        // Before the listeners of the client, which come later.
        socket.addEventListener(event, (each) => live.has(socket) || each.stopImmediatePropagation());
    }
    return socket;
}

/** Pulls the plug, or puts it in again; returns true if it is pulled now. Earlier sockets stay dead. */
export function plug() {
    isPulled = !isPulled;
    live.forEach((socket) => (socket.send = () => {}));
    live.clear();
    // As the browser does for a real network.
    dispatchEvent(new Event(isPulled ? "offline" : "online"));
    return isPulled;
}
