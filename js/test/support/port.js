/** Selects ports for servers that tests stop and start again at the same address. */

import { once } from "node:events";
import { createServer } from "node:net";

/** The first port. All are below the range from which the kernel assigns ports to sockets that bind to port 0. */
const FIRST = 10_000;
const COUNT = 22_000;

/** The number of ports per process. Test processes that run at the same time start at different offsets. */
const OWN = 64;

let taken = 0;

/** Returns a port of `host` on which no program listens. It stays free while the test's server is down. */
export async function ownPort(host = "127.0.0.1") {
    for (;;) {
        const port = FIRST + (process.pid * OWN + taken++) % COUNT;
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
