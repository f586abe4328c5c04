/** A slow link: a proxy that forwards at most a given number of bytes per second in each direction. */

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** The interval at which bytes are forwarded, in milliseconds. */
const STEP = 20;
/**
 * If a timer is late, the link forwards the missed bytes immediately, up to this time in milliseconds, so that it is as fast on a
 * busy machine.
 */
const LATEST = 2_000;

/** Forwards bytes from one socket to another at the link's rate. Reads no faster than that, which slows the sender down. */
function pass(from, to, perSecond) {
    from.pause();
    let last = performance.now();
    const timer = setInterval(() => {
        const now = performance.now();
        let allowed = Math.floor((Math.min(now - last, LATEST) * perSecond) / 1_000);
        last = now;
        for (let chunk; allowed > 0 && (chunk = from.read(Math.min(allowed, from.readableLength) || undefined)); allowed -= chunk.length) {
            to.write(chunk);
        }
    }, STEP);
    from.on("end", () => clearInterval(timer));
    from.on("close", () => {
        clearInterval(timer);
        to.destroy();
    });
    // The "close" event, which follows an error, ends the other socket.
    from.on("error", () => {});
}

/**
 * Starts a slow link to a local port, and ends it with the test.
 *
 * @returns {Promise<string>} the WebSocket's address through the link
 */
export async function startSlowLink(t, port, bytesPerSecond) {
    const sockets = new Set();
    const server = createServer({ highWaterMark: 64 * 1024 }, (near) => {
        const far = connect({ port, host: "127.0.0.1", highWaterMark: 64 * 1024 });
        for (const [from, to] of [[near, far], [far, near]]) {
            sockets.add(from);
            pass(from, to, bytesPerSecond);
        }
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(async () => {
        sockets.forEach((socket) => socket.destroy());
        server.close();
        await once(server, "close");
    });
    return `ws://127.0.0.1:${server.address().port}/ws`;
}
