/** Selects ports for servers that tests stop and start again at the same address. */

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";

/** The first port. All are below the range from which the kernel assigns ports to sockets that bind to port 0. */
const FIRST = 10_000;

/** The number of blocks of ports, and of ports in each. A block belongs to one process. */
const BLOCKS = 340;
const SIZE = 64;

/** The first port of this process's block, once it has one. */
let block;

let taken = 0;

/**
 * Reserves a block, and returns its first port. A check for listening sockets would not be enough: while a test's server is down,
 * another process could start a server at its port, to which the test's clients would then connect. So the process keeps a UDP
 * socket bound to the block's first port number until it ends. Servers use TCP, whose port numbers are separate.
 */
async function reserveBlock() {
    for (let n = 0; n < BLOCKS; n++) {
        const first = FIRST + ((process.pid + n) % BLOCKS) * SIZE;
        const lock = createSocket("udp4").bind({ port: first, address: "127.0.0.1", exclusive: true });
        try {
            await once(lock, "listening");
        } catch (error) {
            if (error.code === "EADDRINUSE") {
                continue;
            }
            throw error;
        }
        lock.unref();
        return first;
    }
    throw new Error("other processes have reserved all ports");
}

/** Returns a port of `host` on which no program listens. It stays free while the test's server is down. */
export async function ownPort(host = "127.0.0.1") {
    block ??= reserveBlock();
    const first = await block;
    for (;;) {
        const port = first + (taken++ % SIZE);
        const server = createServer().listen(port, host);
        try {
            await once(server, "listening");
        } catch (error) {
            if (error.code === "EADDRINUSE") {
                continue;
            }
            throw error;
        }
        server.close();
        await once(server, "close");
        return port;
    }
}
