/**
 * A slow link: a proxy that forwards a limited number of bytes per second in each direction.
 */

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** The interval at which bytes are forwarded, in milliseconds. */
const STEP = 20;
/**
 * The maximum time, in milliseconds, that a late timer makes up for immediately, to keep the link as fast on a busy machine.
 */
const LATEST = 2_000;

/** Forwards bytes between two sockets, and reads no faster than it may write. */
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
    // The other end receives "close".
    from.on("error", () => {});
}

/**
 * Starts a slow link in front of a local port, and ends it with the test.
 *
 * @returns {Promise<string>} the address of the WebSocket through the link
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
