/** Tests of a server with a low limit on open files.
 *
 * It reports the limit at startup, raises it if possible, and keeps working when no descriptors are left.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { connect } from "../../src/index.js";
import { missing } from "../support/reverse-proxy.js";
import { RUNTIMES, startServerIn } from "../support/server.js";
import { eventually } from "../support/wait.js";

/** Returns the soft and hard limits of a process. */
const limitsOf = (pid) => /^Max open files\s+(\d+)\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, "utf8")).slice(1).map(Number);

for (const runtime of RUNTIMES) {
    describe(`on ${runtime}`, { timeout: 300_000, skip: missing("prlimit") }, () => {
        async function start(t, limits, ...flags) {
            const server = await startServerIn({ wrapper: ["prlimit", `--nofile=${limits}`], quiet: false }, runtime, ...flags);
            t.after(() => server.kill());
            // This line follows the warnings at startup.
            await eventually("it has started", () => server.complaints().includes("Ctrl-C ends it"));
            return server;
        }

        test("the soft limit is raised to the hard limit", async (t) => {
            const server = await start(t, "64:4096", "--max-connections", "1000", "--max-handshakes", "1000");
            const [soft, hard] = limitsOf(server.pid);
            assert.ok(soft >= 2_000 && soft <= hard, `${soft} of ${hard}`);
            assert.doesNotMatch(server.complaints(), /warning/);
        });

        test("one log line reports a limit below the configured one", async (t) => {
            const server = await start(t, "64:64", "--max-connections", "1000");
            const warnings = await eventually("warned", () => server.complaints().match(/^warning: .*$/gm));
            assert.equal(warnings.length, 1);
            assert.match(warnings[0], /\b64 files\b.*\bmax_connections\b.*\bulimit\b/);
        });

        test("open connections continue without free descriptors, and accepting resumes", async (t) => {
            const server = await start(t, "64:64");
            const clients = Array.from({ length: 100 }, () => connect(server.url, { codec: "json", timeout: 1_000, reconnect: { minDelay: 20, maxDelay: 200 } }));
            t.after(() => clients.forEach((client) => client.close()));
            const isIn = (client) => client.state === "open" && client.root.state === "open";
            await eventually("some are in", () => clients.filter(isIn).length >= 30);
            const [a, b] = clients.filter(isIn);
            const heard = new Promise((resolve) => b.root.on("chat", resolve, { once: true }));
            a.root.send("chat", "still here");
            assert.equal(await heard, "still here");
            const [gone, others] = [clients.filter((client) => client !== a && client !== b && isIn(client)), clients.filter((client) => !isIn(client))];
            assert.ok(others.length > 20, `${others.length} are not in`);
            gone.forEach((client) => client.close());
            await eventually("the others are in", () => others.filter(isIn).length >= 30);
        });
    });
}
