/** Follows the README's tutorial in a fresh copy of the repository, by running its commands. */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { ownPort } from "../support/port.js";
import { startServer } from "../support/server.js";
import { launch } from "./support.js";

const JS = fileURLToPath(new URL("../../", import.meta.url));
const readme = readFileSync(join(JS, "README.md"), "utf8");
const tutorial = /\n## A chat in ten minutes\n(.*?)\n## /s.exec(readme)[1];
const blocks = (language) => [...tutorial.matchAll(new RegExp(`\\n\`\`\`${language}\\n(.*?)\\n\`\`\``, "gs"))].map((match) => match[1]);

/** The environment of a user's shell: without the variables that npm sets for its scripts. */
const env = Object.fromEntries(Object.entries({ ...process.env, npm_config_prefer_offline: "true", npm_config_audit: "false", npm_config_fund: "false" })
    .filter(([name]) => !/^(npm_(?!config_(prefer_offline|audit|fund)$)|NODE_|INIT_CWD)/.test(name)));

/** Runs vite until the test ends. Resolves once vite serves the project. */
async function vite(t, project, ...args) {
    const child = spawn(process.execPath, [join(project, "node_modules/vite/bin/vite.js"), ...args], { cwd: project, env });
    t.after(() => child.kill());
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding("utf8").on("data", (text) => (said += text));
    }
    await new Promise((serves, fails) => {
        child.stdout.on("data", () => /localhost:\d+/.test(said.replace(/\x1b\[\d+m/g, "")) && serves());
        child.once("close", () => fails(new Error(`vite has ended: ${said}`)));
    });
}

describe("the tutorial", { timeout: 600_000 }, () => {
    let folder;
    let project;
    let browser;
    let page;
    let server;

    before(async () => {
        folder = mkdtempSync(join(tmpdir(), "roomer-tutorial-"));
        page = await ownPort("localhost");
        const tracked = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: JS, encoding: "utf8" });
        for (const file of tracked.split("\0").filter(Boolean)) {
            mkdirSync(dirname(join(folder, "roomer/js", file)), { recursive: true });
            cpSync(join(JS, file), join(folder, "roomer/js", file));
        }
        project = join(folder, "chat");
        mkdirSync(project);
        server = await startServer("--allow-origin", `http://localhost:${page}`);
        browser = await launch();
    });
    after(async () => {
        await browser?.close();
        await server?.stop();
        rmSync(folder, { recursive: true, force: true });
    });

    /** Checks that two windows exchange messages. */
    async function chat() {
        const windows = await Promise.all([1, 2].map(async () => {
            const context = await browser.newContext();
            context.setDefaultTimeout(60_000);
            const each = await context.newPage();
            await each.goto(`http://localhost:${page}/`);
            await each.locator("#log li", { hasText: "You are in" }).waitFor();
            return each;
        }));
        await windows[0].fill("#text", "hello from a fresh clone");
        await windows[0].press("#text", "Enter");
        await windows[1].locator("#log li", { hasText: ": hello from a fresh clone" }).waitFor();
        await Promise.all(windows.map((each) => each.context().close()));
    }

    test("its commands create a project from scratch", () => {
        const [run, make, ...more] = blocks("sh");
        assert.match(run, /--allow-origin http:\/\/localhost:5173$/);
        assert.deepEqual(more, []);
        execFileSync("sh", ["-ec", make], { cwd: project, env, stdio: ["ignore", "ignore", "inherit"] });
        const { dependencies } = JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
        assert.deepEqual(dependencies, { roomer: "file:roomer-0.1.0.tgz" });
    });

    test("its page chats when vite serves it", async (t) => {
        const [html] = blocks("html");
        const [main] = blocks("ts");
        writeFileSync(join(project, "index.html"), html);
        writeFileSync(join(project, "main.ts"), main.replace("ws://127.0.0.1:8080/ws", server.url));
        await vite(t, project, "--port", page, "--strictPort");
        await chat();
    });

    test("its page chats when vite has built it", async (t) => {
        execFileSync(process.execPath, [join(project, "node_modules/vite/bin/vite.js"), "build"], { cwd: project, env, stdio: "ignore" });
        await vite(t, project, "preview", "--port", page, "--strictPort");
        await chat();
    });
});
