/** Tests that the chat servers serve every module of the client unchanged, since their pages import them. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";

import { ROOT, listFiles } from "./support/pages.js";
import { RUNTIMES, startServerOn } from "./support/server.js";

const modules = listFiles("js/src/*.js").map((file) => file.replace("js/", "")).filter((file) => !/testkit|react/.test(file));

for (const runtime of RUNTIMES) {
    describe(`on ${runtime}`, { timeout: 300_000 }, () => {
        test("each module of the client is served", async (t) => {
            const server = await startServerOn(runtime);
            t.after(() => server.stop());
            assert.ok(modules.length > 10);
            for (const file of modules) {
                const response = await fetch(`${server.origin}/${file}`);
                assert.deepEqual([response.status, await response.text()], [200, readFileSync(`${ROOT}js/${file}`, "utf8")], file);
            }
        });
    });
}
