/** Selects ports for servers that tests stop and start again at the same address. */

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";

/** The first port. All are below the range from which the kernel assigns ports to sockets that bind to port 0. */
const FIRST = 10_000;

/** The number of blocks of ports, and of ports in each. A block belongs to one process. */
const BLOCKS = 340;
const SIZE = 64;

/** A promise of the first port of this process's block, once a port has been requested. */
let block;

let taken = 0;

/** Waits until a socket or server listens. Returns false if another one has its port. */
async function listens(socket) {
    try {
        await once(socket, "listening");
        return true;
    } catch (error) {
        if (error.code !== "EADDRINUSE") {
            throw error;
        }
        return false;
    }
}

/**
 * Reserves a block, and returns its first port. A check for listening sockets would not be enough: while a test's server is down,
 * another process could start a server at its port, to which the test's clients would then connect. So the process keeps a UDP
 * socket bound to the block's first port number until it ends. Servers use TCP, whose port numbers are separate.
 */
async function reserveBlock() {
    for (let n = 0; n < BLOCKS; n++) {
        const first = FIRST + ((process.pid + n) % BLOCKS) * SIZE;
        const lock = createSocket("udp4").bind({ port: first, address: "127.0.0.1", exclusive: true });
        if (await listens(lock)) {
            lock.unref();
            return first;
        }
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
        if (await listens(server)) {
            server.close();
            await once(server, "close");
            return port;
        }
    }
}
