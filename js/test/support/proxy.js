/**
 * A network between client and server that a test can hold up.
 */

import { once } from "node:events";
import { connect, createServer } from "node:net";

/**
 * Forwards TCP connections to a port of this machine.
 *
 * @param {number} port
 * @returns {Promise<{port: number, stall: () => void, resume: () => void, cut: () => void, abandon: () => void, halfClose: () => void, drop: () => void, close: () => Promise<void>}>}
 *   stall() lets nothing through in either direction, while the ends think that all is well; cut() ends all connections;
 *   abandon() lets nothing more through on the open ones, as after a change of network; halfClose() ends the
 *   direction to the server of each; drop() also cuts those that are made from now on, until resume()
 */
export async function startProxy(port) {
    const sockets = new Set();
    const abandoned = new Set();
    let stalled = false;
    let dropping = false;

    function keep(socket) {
        sockets.add(socket);
        socket.on("close", () => sockets.delete(socket));
        // The other end receives "close".
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
