/** Tests with real reverse proxies: whatever a proxy does to connections, the client reconnects as soon as the proxy permits it.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { WebSocket } from "ws";

import { startFar } from "../support/far.js";
import { observe } from "../support/observer.js";
import { PROXIES, folderFor, makeCertificate, missing, startReverseProxy } from "../support/reverse-proxy.js";
import { blocksOf } from "../support/pages.js";
import { startServer } from "../support/server.js";

const suspended = ([what, state]) => what === "state" && state === "suspended";
const port = (server) => new URL(server.url).port;

for (const proxy of PROXIES) {
    describe(`behind ${proxy}`, { concurrency: 4, timeout: 300_000, skip: missing(proxy) }, () => {
        /** Starts a server behind a proxy, and a client that connects through the proxy and joins two rooms. */
        async function setUp(t, { flags = [], settings, client } = {}) {
            const server = await startServer(...flags);
            t.after(() => server.kill());
            const front = await startReverseProxy(t, proxy, port(server), settings);
            const far = await startFar(t, { url: front.url, rooms: ["lobby", "kitchen"], ...client }).opened();
            return { server, front, far };
        }

        for (const socket of ["ws", "global"]) {
            test(`a stopped process reconnects: ${socket}`, async (t) => {
                const { server, far } = await setUp(t, { flags: ["--pong-wait", "1s", "--ping-period", "300ms"], client: { socket } });
                const observer = await observe(t, server.url, "lobby");
                const { id, from } = await observer.sees(far);
                far.signal("SIGSTOP");
                await observer.misses(id);
                far.signal("SIGCONT");
                await far.cameBack(from);
                await observer.sees(far);
            });
        }

        test("the proxy restarts", async (t) => {
            const { front, far } = await setUp(t, { client: { extended: true } });
            for (let round = 0; round < 2; round++) {
                const { from } = far.opening();
                await front.stop();
                await far.until("suspended", suspended, from);
                await front.start();
                await far.cameBack(from);
            }
        });

        for (const how of ["stop", "kill"]) {
            test(`the server restarts (${how}) while the proxy answers 502 or 503`, async (t) => {
                const { server, front, far } = await setUp(t);
                const { from } = far.opening();
                await server[how]();
                await far.until("suspended", suspended, from);
                await far.until("refused by the proxy", suspended, far.log.length);
                const { status } = await fetch(front.url.replace("ws:", "http:"));
                assert.ok([502, 503].includes(status), `${status}`);
                const next = await startServer("--listen", `127.0.0.1:${port(server)}`);
                t.after(() => next.kill());
                await far.cameBack(from);
            });
        }

        test("an idle timeout below the ping interval causes repeated reconnects", async (t) => {
            const { far } = await setUp(t, { settings: { idle: 400 } });
            // The next cut may happen before this one has been checked, so search for each cut after the last one found.
            let seen = 0;
            for (let round = 0; round < 3; round++) {
                seen = await far.cameBack(seen);
            }
            assert.ok(far.log.filter(suspended).every(([, , code]) => code === "lost"));
        });

        test("an idle timeout above the ping interval never disconnects", async (t) => {
            // A long timeout, since a busy machine may not run the server for a while, and no ping is sent in that time.
            const settings = { idle: 5_000 };
            const { server, far } = await setUp(t, { flags: ["--ping-period", "100ms", "--pong-wait", "60s"], settings });
            const observer = await observe(t, server.url, "lobby");
            const { from } = await observer.sees(far);
            // A client of another server serves as the clock: its proxy has the same timeout, and cuts its connection.
            const { far: clock } = await setUp(t, { settings });
            await clock.cameBack(0);
            assert.deepEqual(far.log.slice(from).filter(([what]) => ["state", "close"].includes(what)), []);
        });

        test("a proxy without upgrades is retried until it forwards them", async (t) => {
            const server = await startServer();
            t.after(() => server.kill());
            const front = await startReverseProxy(t, proxy, port(server), { strip: true });
            const given = startFar(t, { url: front.url, rooms: ["lobby"], options: { reconnect: { minDelay: 10, maxDelay: 20, retries: 3 } } });
            const [, , code] = await given.until("closed", ([what, state]) => what === "state" && state === "closed");
            assert.equal(code, "gave_up");

            const far = startFar(t, { url: front.url, rooms: ["lobby"] });
            await far.until("suspended", suspended);
            await front.stop();
            await front.start({ strip: false });
            await far.opened();
        });

        test("TLS at the proxy, and its restart", async (t) => {
            const { certificate, both } = makeCertificate(folderFor(t));
            const env = { NODE_EXTRA_CA_CERTS: certificate };
            const { front, far } = await setUp(t, { settings: { tls: both }, client: { env } });
            const { from } = far.opening();
            await front.stop();
            await far.until("suspended", suspended, from);
            await front.start();
            await far.cameBack(from);
        });
    });
}

describe("nginx by the settings of the guide", { timeout: 300_000, skip: missing("nginx") }, () => {
    test("forwards upgrades, the page's host and the client's address", async (t) => {
        const server = await startServer();
        t.after(() => server.kill());
        const { code } = blocksOf("roomer-tokio/guide/tuning.md").find((block) => block.code.startsWith("location /ws {"));
        const location = code.replace("127.0.0.1:8080", `127.0.0.1:${port(server)}`);
        const { url } = await startReverseProxy(t, "nginx", port(server), { location });
        await startFar(t, { url, rooms: ["lobby"] }).opened();
        // Only pages of the same host may connect. The server compares the origin with the host in the header that nginx
        // forwards.
        for (const [origin, wanted] of [[new URL(url).origin.replace("ws:", "http:"), "open"], ["http://elsewhere.example", "error"]]) {
            const socket = new WebSocket(url, { origin });
            t.after(() => socket.terminate());
            assert.equal(await new Promise((resolve) => ["open", "error"].forEach((event) => socket.once(event, () => resolve(event)))), wanted);
        }
    });
});
