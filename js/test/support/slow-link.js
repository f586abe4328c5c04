/**
 * A slow link, on any machine: a proxy that passes on only this many bytes a second, each way.
 */

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** The interval, in milliseconds, at which bytes are passed on. */
const STEP = 20;
/**
 * The maximum time, in milliseconds, whose bytes a late timer passes on at once, so that the link is as fast on a busy machine.
 */
const LATEST = 2_000;

/** Passes bytes from one socket to another, and reads no faster than it may write. */
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
 * Starts one before a port of this machine, and ends it with the test.
 *
 * @returns {Promise<string>} the WebSocket's address through it
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
