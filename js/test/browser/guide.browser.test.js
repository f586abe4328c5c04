/** Follows the guide for a chat service without Rust in an empty folder.
 *
 * Runs its commands, checks their output, and opens its page in browsers.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { ROOT, blocksOf, read } from "../support/pages.js";
import { ownPort } from "../support/port.js";
import { findRoomer } from "../support/serve.js";
import { launch } from "./support.js";

const GUIDE = "roomer-tokio/cli/GUIDE.md";
const INSTALL = "cargo install --locked --path roomer-tokio/cli";

/** A terminal: a shell that runs blocks of commands in order, until its test ends. */
class Terminal {
    #shell;
    #output = "";
    #errors = "";

    constructor(cwd, path) {
        const own = Object.entries(process.env).filter(([name]) => !name.startsWith("ROOMER"));
        const env = { ...Object.fromEntries(own), PATH: `${path}:${process.env.PATH}` };
        // The shell and its children form a process group, so that all of them can be killed.
        this.#shell = spawn("bash", ["-e"], { cwd, env, detached: true });
        this.#shell.stdout.setEncoding("utf8").on("data", (text) => (this.#output += text));
        this.#shell.stderr.setEncoding("utf8").on("data", (text) => (this.#errors += text));
    }

    /** Runs commands, and returns their output. */
    async run(commands) {
        const end = `end ${Math.random()}\n`;
        this.#output = "";
        this.#shell.stdin.write(`${commands}\necho ${end}`);
        while (!this.#output.endsWith(end)) {
            const ended = this.#shell.exitCode ?? this.#shell.signalCode;
            assert.equal(ended, null, `the terminal ended with ${ended} at:\n${commands}\n${this.#errors}`);
            const heard = new AbortController();
            const { signal } = heard;
            await Promise.race([once(this.#shell.stdout, "data", { signal }), once(this.#shell, "close", { signal })]);
            heard.abort();
        }
        return this.#output.slice(0, -end.length).trim();
    }

    end() {
        process.kill(-this.#shell.pid, "SIGKILL");
    }
}

/** Returns the regular expression for a command's output, in which … matches any text. */
const pattern = (text) => new RegExp(`^${text.split("…").map(RegExp.escape ?? ((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))).join(".*")}$`);

describe("the guide to a chat service without Rust", { timeout: 300_000 }, () => {
    let folder;
    let terminal;
    let browser;
    before(async () => {
        const program = findRoomer();
        folder = mkdtempSync(join(tmpdir(), "roomer-guide-"));
        mkdirSync(join(folder, "repository"));
        symlinkSync(join(ROOT, "js"), join(folder, "repository/js"));
        // This replaces the installation of `roomer`.
        mkdirSync(join(folder, "bin"));
        symlinkSync(program, join(folder, "bin/roomer"));
        terminal = new Terminal(join(folder, "repository"), join(folder, "bin"));
        browser = await launch();
    });
    after(async () => {
        terminal?.end();
        await browser?.close();
        rmSync(folder, { recursive: true, force: true });
    });

    /** Opens a user's page, and waits until it is connected. */
    async function open(address) {
        const page = await (await browser.newContext()).newPage();
        page.setDefaultTimeout(60_000);
        await page.goto(address);
        await page.locator("#state", { hasText: /^open$/ }).waitFor();
        return page;
    }
    const shows = (page, text) => page.locator("#log li", { hasText: text }).waitFor();

    /**
     * The steps that the guide asks the reader to do in a browser. The key is a command; the step follows that command's block.
     */
    const windows = [];
    const asides = {
        "http.server": async (output) => {
            for (const address of output.split("\n")) {
                windows.push(await open(address));
            }
            const [ann, bob] = windows;
            await shows(ann, "bob came");
            await ann.fill("#text", "hello");
            await ann.press("#text", "Enter");
            await shows(bob, "ann: hello");
        },
        "/v1/rooms/": () => Promise.all(windows.map((page) => shows(page, "server: dinner is ready"))),
        "kill $server": () => Promise.all(windows.map((page) => page.locator("#state", { hasText: /^(suspended|connecting)$/ }).waitFor()))
    };

    test("works line by line", async () => {
        assert.match(read("roomer-tokio/cli/Cargo.toml"), /\[\[bin\]\]\nname = "roomer"/, "what is installed");
        const ports = new Map();
        for (const port of ["8080", "9090", "8000"]) {
            ports.set(port, String(await ownPort()));
        }
        const text = read(GUIDE);
        const blocks = blocksOf(GUIDE).map((block) => ({ ...block, code: block.code.replace(/\b(8080|9090|8000)\b/g, (port) => ports.get(port)) }));
        const files = [...text.matchAll(/Save this as `([^`]+)`:\n\n```/g)].map((match) => ({ name: match[1], line: text.slice(0, match.index + match[0].length).split("\n").length }));
        const done = [];
        let output;
        for (const { language, line, code } of blocks) {
            if (language === "sh") {
                assert.equal(output ?? "", "", `the guide does not show what is printed before line ${line}`);
                output = await terminal.run(code.replace(INSTALL, ""));
                for (const [command, aside] of Object.entries(asides).filter(([command]) => code.includes(command))) {
                    await aside(output);
                    done.push(command);
                }
            } else if (language === "text") {
                assert.match(output, pattern(code), `what line ${line} shows`);
                output = undefined;
            } else {
                const file = files.find((each) => each.line === line);
                assert.ok(file, `the block of line ${line} has no name`);
                writeFileSync(join(folder, "chat-service", file.name), code);
            }
        }
        assert.equal(output, undefined);
        assert.ok(blocks[0].code.startsWith(`${INSTALL}\n`));
        assert.deepEqual(done, Object.keys(asides));
    });
});
