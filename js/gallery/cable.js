/** Simulates a network cable for a page: a WebSocket class, and a plug that can be pulled.
 *
 * While the plug is pulled, open sockets transfer no data in either direction and report no error, as when a phone leaves its
 * network, and new sockets do not open. Pass the class to `connect()` as the option `WebSocket`.
 *
 * @module cable
 */

/** The open sockets that still transfer data. */
const live = new Set();
let isPulled = false;

/** A WebSocket on this cable. */
export function Cable(...address) {
    if (isPulled) {
        const dead = { close() {} };
        setTimeout(() => dead.onclose({ code: 1006 }));
        return dead;
    }
    const socket = new WebSocket(...address);
    live.add(socket);
    for (const event of ["open", "message", "close", "error"]) {
        // These listeners are added before the client's, and therefore run first.
        socket.addEventListener(event, (each) => live.has(socket) || each.stopImmediatePropagation());
    }
    return socket;
}

/** Pulls the plug, or puts it back. Returns true if it is now pulled. Sockets opened before the change stay dead. */
export function plug() {
    isPulled = !isPulled;
    live.forEach((socket) => (socket.send = () => {}));
    live.clear();
    // Browsers dispatch this event when a real network disappears or returns.
    dispatchEvent(new Event(isPulled ? "offline" : "online"));
    return isPulled;
}
