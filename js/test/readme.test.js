/** Tests of the READMEs: each code block compiles under `strict`, and the tables match the client. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

import { createCloses } from "../src/testkit/closes.js";
import { setUp } from "./support/kit.js";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const readme = readFileSync(path("README.md"), "utf8");
const rootReadme = readFileSync(path("../README.md"), "utf8");

/** The code to put before a block that is taken from a larger program. */
const PRELUDE = `
import type { Client, Room } from "roomer";
declare const url: string, id: string, signal: AbortSignal;
declare function fetchToken(): Promise<string>;
declare function showThatSomeWereLost(): void;
`;
const CLIENT = `declare const client: Client;`;
/** The declaration of the room from the page's first block, which the later blocks use. */
const LOBBY = `import type { Room as AnyRoom } from "roomer"; declare const lobby: AnyRoom;`;
const ROOM = `declare const room: Room<{ chat: { text: string }; rename: (name: string) => void; where: () => { x: number; y: number } }>;`;
const AMBIENT = `declare module "node:assert/strict" { const assert: { equal(a: unknown, b: unknown): void; notEqual(a: unknown, b: unknown): void }; export default assert; }`;

/** Converts a block to a module: declares the names that the block assumes, and marks the lines that must not compile. */
function toModule(code) {
    const takes = (name) => new RegExp(`\\b${name}\\b`).test(code) && !new RegExp(`const \\[?${name}\\b|import .*\\b${name}\\b|, ${name}\\]`).test(code);
    const imports = [takes("connect") && "connect", takes("RoomerError") && "RoomerError"].filter(Boolean);
    return [
        imports.length ? `import { ${imports} } from "roomer";` : "",
        PRELUDE,
        takes("client") ? CLIENT : "",
        takes("room") ? ROOM : "",
        takes("lobby") ? LOBBY : "",
        code.replace(/^(.*\/\/ error: .*)$/gm, "// @ts-expect-error\n$1"),
        "export {};"
    ].join("\n");
}

for (const [name, page, least] of [["js/README.md", readme, 8], ["README.md", rootReadme, 3]]) {
    test(`each block of code of ${name} compiles under strict`, () => {
        const blocks = [...page.matchAll(/\n```(jsx?|tsx?)\n(.*?)\n```/gs)].map(([, language, code]) => [/x/.test(language) ? "tsx" : "ts", code]);
        assert.ok(blocks.length >= least);
        // The folder is inside the package, so that imports of the package's own name resolve. Tests that read all files skip it,
        // since it is hidden.
        const folder = mkdtempSync(path("test/types/.readme-"));
        try {
            blocks.forEach(([language, code], n) => writeFileSync(join(folder, `block-${n}.${language}`), toModule(code)));
            writeFileSync(join(folder, "ambient.d.ts"), AMBIENT);
            writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: "../tsconfig.json", compilerOptions: { noUnusedLocals: false, jsx: "react-jsx" }, include: ["*.ts", "*.tsx"] }));
            const { status, stdout } = spawnSync(process.execPath, [path("node_modules/typescript/bin/tsc"), "-p", folder], { encoding: "utf8" });
            assert.deepEqual([stdout, status], ["", 0]);
        } finally {
            rmSync(folder, { recursive: true });
        }
    });
}

describe("close codes: the table that servers use, the README's, and the client agree", () => {
    const entries = JSON.parse(readFileSync(path("../roomer-proto/close-codes.json"), "utf8"));

    /** Returns the README's table row for an error code, if possible the row with this reason. */
    function readRow(code, reason) {
        const [, table] = /\| code \| the server means \| the client \|\n\|---\|---\|---\|\n(.*?)\n\n/s.exec(readme);
        const rows = table.split("\n").map((line) => line.split("|").slice(1, 4).map((cell) => cell.trim()));
        const names = (cell) => cell.includes("–") ? code >= Number(cell.slice(0, 4)) && code <= Number(cell.slice(5)) : cell.split(/[ ,]+/).includes(String(code));
        const fits = rows.filter(([cell]) => names(cell));
        return fits.find(([cell]) => cell.endsWith(`\`${reason}\``)) ?? fits.find(([cell]) => !cell.includes("`"));
    }

    for (const { code, last = code, reason = "", final, sender } of entries) {
        test(`${code} ${reason}: the test kit repeats an application's final close, as servers do`, () => {
            for (const each of [code, last]) {
                const closes = createCloses(() => 0, 30_000);
                closes.keep({ id: "id", session: { tokens: () => ["id.secret"] } }, each, reason);
                assert.equal(closes.find("id.secret")?.code, final && sender === "application" ? each : undefined);
            }
        });
    }

    for (const { code, last = code, reason = "", final, wait, relogin = false } of entries) {
        test(`${code} ${reason}: ${relogin ? "not " : ""}the same with a function for tokens`, async () => {
            assert.equal(readRow(code, reason)[2].includes("unless `token` is a function"), relogin);
            const kit = setUp();
            const { client } = kit.connect({ token: () => "new" });
            await kit.server.advance(10_000);
            kit.server.connections()[0].close(code, reason);
            await kit.server.advance(2_000);
            assert.equal(client.state, final && !relogin ? "closed" : "open");
            client.close();
        });
        for (const each of new Set([code, last])) {
            test(`${each} ${reason}: ${final ? "final" : `reconnects, ${wait}`}`, async () => {
                const [, , says] = readRow(each, reason);
                assert.equal(says.startsWith("does not reconnect"), final);
                assert.equal(says.includes("more slowly"), wait === "slow");
                const kit = setUp();
                const { client, life } = kit.connect();
                await kit.server.advance(10_000);
                kit.server.connections()[0].close(each, reason);
                await kit.server.advance(1_000);
                assert.equal(client.state, final ? "closed" : wait === "slow" ? "suspended" : "open");
                await kit.server.advance(1_000);
                assert.equal(client.state, final ? "closed" : "open", "after two seconds");
                assert.equal(life[1][2], final ? "ended" : "lost");
                client.close();
            });
        }
    }
});
