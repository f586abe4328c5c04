/** Tests of HAProxy features beyond forwarding: it sends the clients' addresses to the server, and checks the servers' health. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";

import { WebSocket } from "ws";

import { connect } from "../../src/index.js";
import { missing, startReverseProxy } from "../support/reverse-proxy.js";
import { startServer } from "../support/server.js";
import { eventually } from "../support/wait.js";

const port = (server) => new URL(server.url).port;

/** Requests an upgrade from one of this machine's addresses. Returns the response's status, 101 for a WebSocket. */
async function knock(t, url, localAddress) {
    const socket = new WebSocket(url, { localAddress });
    t.after(() => socket.terminate());
    const answers = [once(socket, "open").then(() => 101), once(socket, "unexpected-response").then(([, { statusCode }]) => statusCode)];
    return Promise.race(answers);
}

/** Starts a server that stops when the test ends. */
async function start(t, ...flags) {
    const server = await startServer(...flags);
    t.after(() => server.kill());
    return server;
}

/** Waits until HAProxy reports the expected states of its servers, by name. */
const sees = (front, wanted) => eventually(`${JSON.stringify(wanted)} in HAProxy`, async () => {
    const states = await front.states();
    return Object.entries(wanted).every(([name, state]) => states[name]?.startsWith(state));
});

describe("HAProxy", { concurrency: 4, timeout: 300_000, skip: missing("haproxy") }, () => {
    for (const mode of ["http", "tcp"]) {
        for (const send of ["send-proxy", "send-proxy-v2"]) {
            test(`forwards client addresses by ${send} in mode ${mode}`, async (t) => {
                const server = await start(t, "--trust-proxy", "127.0.0.1", "--proxy-protocol", "--max-connections-per-address", "1");
                const front = await startReverseProxy(t, "haproxy", port(server), { mode, back: `server only 127.0.0.1:${port(server)} ${send}` });
                // All addresses in 127.0.0.0/8 belong to this machine.
                assert.equal(await knock(t, front.url, "127.0.0.2"), 101);
                assert.equal(await knock(t, front.url, "127.0.0.2"), 429, "a second client of the same address");
                assert.equal(await knock(t, front.url, "127.0.0.3"), 101, "a client of another address");
            });
        }
    }

    // Without a path, HAProxy's health check is the request "OPTIONS /" in HTTP 1.0.
    for (const [check, send] of [["", ""], ["", "send-proxy"], ["", "send-proxy-v2"], ["GET /live", ""], ["OPTIONS /live", ""], ["GET /ready", "send-proxy-v2"]]) {
        test(`finds a server up by its check ${check || "OPTIONS /"}${send && ` with ${send}`}`, async (t) => {
            const server = await start(t, "--health", ...(send ? ["--trust-proxy", "127.0.0.1", "--proxy-protocol"] : []));
            const back = `option httpchk ${check}\n    server only 127.0.0.1:${port(server)} check inter 100ms ${send}`;
            const front = await startReverseProxy(t, "haproxy", port(server), { back });
            await sees(front, { only: "UP L7OK" });
            assert.equal(await knock(t, front.url), 101);
        });
    }

    test("removes a draining or full server by its check of /ready", async (t) => {
        const flags = ["--health", "--drain", "600s"];
        const [first, second, full] = [await start(t, ...flags), await start(t, ...flags), await start(t, ...flags, "--max-connections", "1")];
        const servers = Object.entries({ first, second, full }).map(([name, server]) => `server ${name} 127.0.0.1:${port(server)} check inter 100ms fall 1`);
        const back = ["balance roundrobin", "option httpchk GET /ready", ...servers].join("\n    ");
        const last = new WebSocket(full.url);
        await once(last, "open");
        t.after(() => last.terminate());
        const front = await startReverseProxy(t, "haproxy", 0, { back });
        await sees(front, { first: "UP L7OK", second: "UP L7OK", full: "DOWN L7STS" });

        // A client that does not answer its close frame keeps the server in its shutdown phase.
        const slow = new WebSocket(first.url);
        await once(slow, "open");
        slow.pause();
        t.after(() => slow.terminate());
        const client = connect(front.url, { WebSocket, reconnect: { minDelay: 20, maxDelay: 100 } });
        t.after(() => client.close());
        await client.root.opened;
        first.signal("SIGTERM");
        await sees(front, { first: "DOWN", second: "UP L7OK" });
        const clients = Array.from({ length: 4 }, () => knock(t, front.url));
        assert.deepEqual(await Promise.all(clients), [101, 101, 101, 101], "all to the server that is left");
        await eventually("the client is back", () => client.state === "open");
    });
});
