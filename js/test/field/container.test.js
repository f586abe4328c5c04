/** Tests of servers that run as PID 1 in a container, and must handle SIGTERM.
 *
 * A signal terminates PID 1 only if the process handles it, and container runtimes send SIGTERM rather than SIGINT.
 */

import assert from "node:assert/strict";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { startContainer } from "../support/container.js";
import { startFar } from "../support/far.js";
import { noNamespaces } from "../support/namespace.js";
import { folderFor, makeCertificate } from "../support/reverse-proxy.js";
import { findRoomer } from "../support/serve.js";
import { RUNTIMES, findBinary } from "../support/server.js";
import { eventually } from "../support/wait.js";

const path = (name) => fileURLToPath(new URL(`../../../${name}`, import.meta.url));

/** The folder with the built examples, except the chats, which server.js locates. */
const EXAMPLES = process.env.ROOMER_EXAMPLES ?? path("target/debug/examples");

/** The path of the example that is a separate package. */
const APPLICATION = "../roomer-application";

/** The arguments and environment of each example. The test fails for an example without an entry. */
const NEEDS = {
    [APPLICATION]: { env: { JWT_SECRET: "a secret of at least thirty-two bytes" }, tls: true, token: /^TOKEN=(.*)/ },
    admin: { env: { ADMIN_TOKEN: "let me" } },
    axum: { env: { ADMIN_TOKEN: "let me" } },
    invitation: {},
    jwt: { env: { JWT_SECRET: "a secret of at least thirty-two bytes" } },
    ticker: {},
    tls: { tls: true },
    smol_ticker: {},
    smol_tls: { tls: true }
};

/**
 * All example servers except the chats. The libraries are files next to them. The balancer serves no WebSocket itself, and
 * roomer-conformance tests its shutdown; the bot is a client.
 */
const examples = ["tokio", "smol"].flatMap((runtime) => {
    const folder = path(`roomer-${runtime}/examples`);
    return readdirSync(folder).filter((name) => name.endsWith(".rs")).map((name) => basename(name, ".rs"));
}).filter((name) => !["balance", "bot", "chat", "lib"].includes(name)).concat(APPLICATION);

const lost = (far) => far.until("the server is going away", ([what, state]) => what === "state" && (state === "suspended" || state === "closed"));

describe("as process 1", { concurrency: 4, timeout: 300_000, skip: noNamespaces() }, () => {
    for (const runtime of RUNTIMES) {
        for (const signal of ["SIGTERM", "SIGINT"]) {
            test(`${signal} ends the chat on ${runtime}: clients receive a close code, the exit code is 0`, async (t) => {
                const server = await startContainer(t, findBinary(runtime), { args: ["--quiet", "--threads", "2"] });
                const { url, wrapper } = server;
                const clients = await Promise.all([1, 2, 3].map(() => startFar(t, { url, wrapper, rooms: ["lobby"] }).opened()));
                server.signal(signal);
                for (const far of clients) {
                    assert.equal((await lost(far))[3], 1001);
                }
                assert.deepEqual(await server.ended, [0, ""]);
            });

            test(`a second ${signal} ends the chat on ${runtime} immediately`, async (t) => {
                const server = await startContainer(t, findBinary(runtime), { args: ["--quiet", "--drain", "3600"] });
                const { url, wrapper } = server;
                const far = await startFar(t, { url, wrapper, rooms: ["lobby"] }).opened();
                // This client runs before the signal, since on a busy machine it may take long to start.
                const late = startFar(t, { url, wrapper, rooms: [], options: { reconnect: { minDelay: 10, maxDelay: 20, retries: 3 } } });
                await late.until("open", ([what, state]) => what === "state" && state === "open");
                // A client that does not answer the close frame keeps its connection open for a while.
                far.signal("SIGSTOP");
                server.signal(signal);
                await late.until("no one is let in any more", ([what, state]) => what === "state" && state === "closed");
                assert.ok(server.alive());
                server.signal(signal);
                const [code] = await server.ended;
                assert.equal(code, { SIGTERM: 143, SIGINT: 130 }[signal]);
            });
        }
    }

    // The container image runs this command.
    for (const signal of ["SIGTERM", "SIGINT"]) {
        test(`${signal} ends roomer serve: clients receive a close code, the exit code is 0`, async (t) => {
            const config = join(folderFor(t), "roomer.toml");
            writeFileSync(config, 'listen = "127.0.0.1:0"\n');
            const server = await startContainer(t, findRoomer(), { args: ["serve", config], env: { ROOMER_ANONYMOUS: "true" } });
            const { url, wrapper } = server;
            const clients = await Promise.all([1, 2, 3].map(() => startFar(t, { url, wrapper, rooms: ["lobby"] }).opened()));
            server.signal(signal);
            for (const far of clients) {
                assert.equal((await lost(far))[3], 1001);
            }
            assert.equal((await server.ended)[0], 0);
        });
    }

    for (const example of examples) {
        test(`SIGTERM ends the example ${basename(example)}: clients receive a close code, the exit code is 0`, async (t) => {
            assert.ok(example in NEEDS, `what does ${example} need to run? NEEDS here does not say`);
            const program = `${EXAMPLES}/${example}`;
            const built = existsSync(program);
            if (!built && !process.env.CI) {
                return t.skip(`there is no ${program}: run "cargo build -p roomer-tokio-examples -p roomer-smol-examples --examples" and "cargo build -p roomer-application", or set ROOMER_EXAMPLES`);
            }
            assert.ok(built, `there is no ${program}: .ci/test builds it`);
            const { env, tls, token } = NEEDS[example];
            const { certificate, both } = tls ? makeCertificate(folderFor(t)) : {};
            const server = await startContainer(t, program, { env, args: tls ? [certificate, both] : [], cwd: folderFor(t) });
            const pass = token && await eventually("it names a token", () => server.said.map((line) => token.exec(line)?.[1]).find(Boolean));
            const far = startFar(t, { url: server.url, wrapper: server.wrapper, rooms: [], options: { token: pass }, env: { NODE_EXTRA_CA_CERTS: certificate } });
            await far.until("open", ([what, state]) => what === "state" && state === "open");
            server.signal("SIGTERM");
            assert.equal((await lost(far))[3], 1001);
            assert.equal((await server.ended)[0], 0);
        });
    }
});

