/** Runs the tests of the hooks with React 18 and 19: bundles test/react/suite.js with each version. */

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

import { makePage } from "./support/dom.js";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const FOLDERS = { 18: path("test/react18/node_modules"), 19: path("node_modules") };

mkdirSync(path("node_modules/.cache"), { recursive: true });

/**
 * Replaces MessageChannel for React's act(), which does not find Node's timers in a bundle. Real message ports would keep this
 * process alive.
 */
const CHANNEL = "class MessageChannel { port1 = {}; port2 = { postMessage: () => setImmediate(() => this.port1.onmessage()) }; }";

/** Bundles and loads a module with one version of React. */
async function load(version, name) {
    const outfile = path(`node_modules/.cache/roomer-${name}-${version}.cjs`);
    await build({
        entryPoints: [path(`test/react/${name}.js`)], bundle: true, platform: "node", format: "cjs", outfile, logLevel: "error", banner: { js: CHANNEL },
        alias: { react: `${FOLDERS[version]}/react`, "react-dom": `${FOLDERS[version]}/react-dom` }
    });
    return (await import(pathToFileURL(outfile))).default;
}

const servers = {};
for (const version of Object.keys(FOLDERS)) {
    servers[version] = await load(version, "render");
}
makePage();
globalThis.IS_REACT_ACT_ENVIRONMENT = true;
for (const version of Object.keys(FOLDERS)) {
    const { suite } = await load(version, "suite");
    describe(`React ${version}`, () => suite(version, servers[version].renderOnServer));
}

describe("roomer/react", () => {
    test("is marked as a client module for server components", () => {
        assert.match(readFileSync(path("src/react/index.js"), "utf8"), /^"use client";\n/);
    });

    test("is at most 1,500 bytes, minified and gzipped", async (t) => {
        const { outputFiles } = await build({
            entryPoints: [path("src/react/index.js")], bundle: true, minify: true, format: "esm", target: "es2022", write: false, external: ["react", "../index.js"]
        });
        const size = gzipSync(outputFiles[0].contents, { level: 9 }).length;
        t.diagnostic(`${size} bytes`);
        assert.ok(size <= 1_500, `${size} bytes`);
    });
});
