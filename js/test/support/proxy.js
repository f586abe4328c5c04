/** A TCP proxy between client and server, which simulates network faults. */

import { once } from "node:events";
import { connect, createServer } from "node:net";

/**
 * Forwards TCP connections to a local port.
 *
 * @param {number} port
 * @returns {Promise<{port: number, stall: () => void, resume: () => void, cut: () => void, abandon: () => void, halfClose: () =>
 * void, drop: () => void, close: () => Promise<void>}>} stall() blocks both directions while connections look open; cut() ends
 * all connections; abandon() blocks the open connections permanently, as after a change of networks; halfClose() ends each
 * connection's direction to the server; drop() cuts all connections, including new ones, until resume()
 */
export async function startProxy(port) {
    const sockets = new Set();
    const abandoned = new Set();
    let stalled = false;
    let dropping = false;

    function keep(socket) {
        sockets.add(socket);
        socket.on("close", () => sockets.delete(socket));
        // The "close" event, which follows an error, ends the other socket.
        socket.on("error", () => {});
    }

    const server = createServer({ pauseOnConnect: true }, (near) => {
        if (dropping) {
            return near.destroy();
        }
        const far = connect(port, "127.0.0.1");
        near.far = far;
        for (const [from, to] of [[near, far], [far, near]]) {
            keep(from);
            from.on("data", (data) => abandoned.has(from) || to.write(data));
            from.on("close", () => to.destroy());
        }
        (stalled ? [near, far] : []).forEach((socket) => socket.pause());
        (stalled ? [] : [near, far]).forEach((socket) => socket.resume());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");

    const cut = () => sockets.forEach((socket) => socket.destroy());
    return {
        port: server.address().port,
        stall() {
            stalled = true;
            sockets.forEach((socket) => socket.pause());
        },
        resume() {
            stalled = dropping = false;
            sockets.forEach((socket) => socket.resume());
        },
        cut,
        abandon: () => sockets.forEach((socket) => abandoned.add(socket)),
        halfClose: () => sockets.forEach(({ far }) => far?.end()),
        drop() {
            dropping = true;
            cut();
        },
        async close() {
            cut();
            server.close();
            await once(server, "close");
        }
    };
}
