/** Tests of the published package: its types, sizes and files. */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

import { setUp } from "./support/kit.js";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const manifest = JSON.parse(readFileSync(path("package.json"), "utf8"));

/** Bundles a module and returns the minified output. */
async function bundleOf(contents) {
    const { outputFiles } = await build({ stdin: { contents, resolveDir: path("test") }, bundle: true, minify: true, format: "esm", target: "es2022", write: false });
    return Buffer.from(outputFiles[0].contents);
}

/** Returns an entry point as a single minified module. */
const bundle = (entry) => bundleOf(`export * from "../${entry}";`);

describe("types", () => {
    for (const [where, folder] of [["in a browser", "test/types"], ["without the types of browsers and Node", "test/types/without-dom"]]) {
        test(`${where}: correct programs compile and wrong ones do not`, () => {
            const { status, stdout } = spawnSync(process.execPath, [path("node_modules/typescript/bin/tsc"), "-p", path(folder)], { encoding: "utf8" });
            assert.deepEqual([stdout, status], ["", 0]);
        });
    }

    test("an application's declarations can name the types that it exports", () => {
        const folder = mkdtempSync(join(tmpdir(), "roomer-types-"));
        try {
            mkdirSync(join(folder, "node_modules"));
            symlinkSync(path("."), join(folder, "node_modules/roomer"));
            writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
            writeFileSync(join(folder, "rooms.ts"), `
                import { connect } from "roomer";
                import * as core from "roomer/core";
                const codec = { encode: (value: number) => new Uint8Array([value]), decode: (bytes: Uint8Array) => bytes.length };
                export const client = connect<{ chat: { text: string }; add: (n: number) => number }>("/ws", { codec: "json" });
                export const { send, on, request, handle, messages } = client.root;
                export const numbers = connect("/ws", { codec }).root;
                export const joined = client.join("numbers", { codec });
                export const small = core.connect("/ws", { codec: core.text });
                export const all = { ...core };
                export const sayLater = (...args: Parameters<typeof on>) => args;
            `);
            const compilerOptions = { strict: true, declaration: true, emitDeclarationOnly: true, module: "nodenext", target: "es2022", lib: ["es2022"], types: [], preserveSymlinks: true };
            writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["rooms.ts"] }));
            const { status, stdout } = spawnSync(process.execPath, [path("node_modules/typescript/bin/tsc"), "-p", folder], { encoding: "utf8" });
            assert.deepEqual([stdout, status], ["", 0]);
        } finally {
            rmSync(folder, { recursive: true });
        }
    });

    // This resolution, the default for CommonJS, does not read `exports`.
    test("each entry point has types for node10's resolution", () => {
        const folder = mkdtempSync(join(tmpdir(), "roomer-node10-"));
        try {
            mkdirSync(join(folder, "node_modules"));
            symlinkSync(path("."), join(folder, "node_modules/roomer"));
            const { exports } = JSON.parse(readFileSync(path("package.json"), "utf8"));
            const entries = Object.keys(exports).filter((name) => !/\.\w+$/.test(name)).map((name) => name.replace(/^\./, "roomer"));
            assert.deepEqual(entries, ["roomer", "roomer/core", "roomer/react", "roomer/testkit", "roomer/compat"]);
            writeFileSync(join(folder, "program.ts"), entries.map((entry, n) => `import * as entry${n} from "${entry}";\nconsole.log(entry${n});\n`).join(""));
            const compilerOptions = { strict: true, noEmit: true, module: "commonjs", moduleResolution: "node10", target: "es2022", types: [], preserveSymlinks: true, skipLibCheck: true };
            writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["program.ts"] }));
            const { status, stdout } = spawnSync(process.execPath, [path("node_modules/typescript/bin/tsc"), "-p", folder], { encoding: "utf8" });
            assert.deepEqual([stdout, status], ["", 0]);
        } finally {
            rmSync(folder, { recursive: true });
        }
    });

    test("declarations match the runtime exports", async () => {
        const declared = (name) => [...readFileSync(path(name), "utf8").matchAll(/^export (?:declare )?(?:function|class|const|\{) (\w+)/gm)].map((match) => match[1]);
        for (const entry of ["src/index", "src/core", "src/testkit/index", "src/react/index"]) {
            const module = await import(path(`${entry}.js`));
            assert.deepEqual([...new Set(declared(`${entry}.d.ts`))].sort(), Object.keys(module).sort());
        }
    });
});

describe("size, minified and gzipped", () => {
    const LIMITS = {
        'export { default } from "roomer/compat";': 3_200,
        'export { connect, RoomerError } from "roomer/core";': 5_500,
        'export { connect, RoomerError, sessions, requests, history } from "roomer/core";': 8_500,
        'export { connect, RoomerError } from "roomer";': 10_750
    };
    for (const [code, most] of Object.entries(LIMITS)) {
        test(`${code} is at most ${most} bytes`, async (t) => {
            const size = gzipSync(await bundleOf(code), { level: 9 }).length;
            t.diagnostic(`${size} bytes`);
            assert.ok(size <= most, `${size} bytes`);
        });
    }

    test("an import without use adds nothing", async () => {
        const { outputFiles } = await build({
            stdin: { contents: 'import "roomer"; import "roomer/core"; import "roomer/compat"; import "roomer/testkit"; import "roomer/react";', resolveDir: path("test") },
            bundle: true, minify: true, format: "esm", write: false, logLevel: "silent"
        });
        assert.equal(outputFiles[0].text, "");
    });
});

describe("the README", () => {
    const blocks = (language) => [...readFileSync(path("README.md"), "utf8").matchAll(new RegExp(`\\n\`\`\`${language}\\n(.*?)\\n\`\`\``, "gs"))].map((match) => match[1]);

    test("shows a test that passes", () => {
        const [code] = blocks("js").filter((block) => block.includes("roomer/testkit"));
        const { status, stderr } = spawnSync(process.execPath, ["--input-type=module"], { input: code, cwd: path("."), encoding: "utf8", timeout: 30_000 });
        assert.deepEqual([stderr, status], ["", 0]);
    });

    test("names every error code and each event that cannot be sent", () => {
        const readme = readFileSync(path("README.md"), "utf8");
        const types = readFileSync(path("src/index.d.ts"), "utf8");
        const codes = [.../export type ErrorCode =(.*?);/s.exec(types)[1].matchAll(/"(\w+)"/g)].map((match) => match[1]);
        assert.ok(codes.length >= 13);
        assert.deepEqual(codes.filter((each) => !readme.includes(`| \`${each}\` |`)), []);
        const sources = ["client", "connection", "room", "codec", "error", "address", "events", "outbox", "session", "stream", "requests", "history", "own-info", "rejections", "renewal", "receipts", "directs", "subprotocol", "tracing", "feature", "options"].map((name) => readFileSync(path(`src/${name}.js`), "utf8")).join();
        const made = [...sources.matchAll(/(?:new RoomerError|wrap|fail|failAll)\(([^,)]*)[,)]/g)].flatMap(([, first]) => [...first.replace(/=== "\w+"/, "").matchAll(/"(\w+)"/g)].map((match) => match[1]));
        assert.deepEqual([...new Set(made)].sort(), codes.sort());
    });
});

describe("the package", () => {
    test("has no runtime dependencies", () => {
        assert.deepEqual([manifest.dependencies, manifest.sideEffects], [undefined, false]);
        // Only roomer/react depends on React, and the package has no other dependencies.
        assert.deepEqual([manifest.peerDependencies, manifest.peerDependenciesMeta], [{ react: ">=18" }, { react: { optional: true } }]);
    });

    test("contains all exported files and no tests", () => {
        const packed = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: path("."), encoding: "utf8" }));
        const files = new Set((Array.isArray(packed) ? packed[0] : Object.values(packed)[0]).files.map((file) => file.path));
        const named = Object.values(manifest.exports).flatMap((target) => (typeof target === "string" ? [target] : Object.values(target)));
        for (const target of named) {
            assert.ok(existsSync(path(target)) && files.has(target.replace("./", "")), target);
        }
        assert.deepEqual([...files].filter((file) => /test\/|gallery|chat\/|node_modules/.test(file)), []);
    });

    test("is packed without a build step", () => {
        const hooks = ["prepare", "prepack", "postpack", "preinstall", "install", "postinstall"];
        assert.deepEqual(hooks.filter((name) => name in manifest.scripts), []);
    });

    test("passes publint", async () => {
        const { messages } = await publint({ pkgDir: path("."), strict: true });
        assert.deepEqual(messages.map((message) => formatMessage(message, manifest)), []);
    });

    test("has pages with working links and pictures", () => {
        const packed = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: path("."), encoding: "utf8" }));
        const files = (Array.isArray(packed) ? packed[0] : Object.values(packed)[0]).files.map((file) => file.path);
        const pages = files.filter((file) => file.endsWith(".md"));
        assert.ok(pages.includes("README.md"));
        for (const page of pages) {
            const text = readFileSync(path(page), "utf8").replace(/```.*?```/gs, "");
            const targets = [...text.matchAll(/\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"/g)].map(([, link, attribute]) => link ?? attribute);
            const relative = targets.filter((target) => !/^(https:|#)/.test(target)).map((target) => target.split("#")[0]);
            assert.deepEqual(relative.filter((target) => !files.includes(target)), [], page);
        }
    });

    test("has an equivalent single-file build", async () => {
        execFileSync("npm", ["run", "build"], { cwd: path("."), stdio: "ignore" });
        const whole = await import(path("dist/roomer.min.js"));
        assert.deepEqual(Object.keys(whole).sort(), Object.keys(await import(path("src/index.js"))).sort());
        const kit = setUp();
        const client = whole.connect("ws://test/ws", kit.server.options);
        await kit.server.advance();
        assert.deepEqual([client.state, client.root.members()], ["open", [client.id]]);
    });

    test("imports neither Node modules nor packages", async () => {
        for (const entry of ["src/index.js", "src/compat/roomer.js", "src/testkit/index.js"]) {
            const code = String(await bundle(entry));
            assert.doesNotMatch(code, /\brequire\(|\bprocess\b|\bBuffer\b|from"/);
        }
    });
});
