/** Runs the commands of the pages that need nothing but built programs, in temporary folders and on free ports. */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";

import { commandsOf } from "../support/commands.js";
import { ROOT, blocksOf, read } from "../support/pages.js";
import { ownPort } from "../support/port.js";
import { findRoomer } from "../support/serve.js";
import { findBinary } from "../support/server.js";
import { eventually } from "../support/wait.js";

const INSTALL = "cargo install --locked --path roomer-tokio/cli";

/** Returns the code of a page's only block in a language that contains a text. */
function block(page, text, language = "sh") {
    const [found, ...more] = blocksOf(page).filter((each) => each.language === language && each.code.includes(text));
    assert.ok(found && more.length === 0, `${page}: ${more.length + (found ? 1 : 0)} blocks with ${text}`);
    return found.code;
}

/** A folder in which commands run, with `roomer` on the path. Everything ends with the test. */
async function workshop(t) {
    const folder = mkdtempSync(join(tmpdir(), "roomer-commands-"));
    const children = [];
    t.after(async () => {
        for (const child of children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)) {
            process.kill(-child.pid, "SIGKILL");
            await once(child, "close");
        }
        rmSync(folder, { recursive: true, force: true });
    });
    mkdirSync(join(folder, "bin"));
    symlinkSync(findRoomer(), join(folder, "bin/roomer"));
    const ports = [await ownPort(), await ownPort()];
    const own = Object.entries(process.env).filter(([name]) => !name.startsWith("ROOMER"));
    const env = { ...Object.fromEntries(own), PATH: `${join(folder, "bin")}:${process.env.PATH}`, ROOMER_LISTEN: `127.0.0.1:${ports[0]}` };
    const adapt = (code) => code.replaceAll("127.0.0.1:8080", `127.0.0.1:${ports[0]}`).replaceAll("127.0.0.1:9090", `127.0.0.1:${ports[1]}`).replaceAll("wss://example.org/", `ws://127.0.0.1:${ports[0]}/`);
    const options = { cwd: folder, env, timeout: 60_000, encoding: "utf8" };
    return {
        folder, env, adapt,
        run: (code) => execFileSync("bash", ["-euc", "-o", "pipefail", adapt(code)], { ...options, stdio: ["ignore", "pipe", "inherit"] }),
        /** Starts a command in the background. Returns the process, and a function that resolves with the next line of its output. */
        start(code, output = "stdout") {
            const child = spawn("bash", ["-c", `exec ${adapt(code)}`], { cwd: folder, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
            children.push(child);
            child.stdout.resume();
            child.stderr.resume();
            const lines = createInterface({ input: child[output] })[Symbol.asyncIterator]();
            return { child, next: async () => (await lines.next()).value };
        },
        /** Starts the server with a command, and waits until it listens. */
        async serve(code) {
            const { child, next } = this.start(code, "stderr");
            for (;;) {
                const line = await next();
                assert.notEqual(line, undefined, `${code} ended`);
                if (line.includes(` listening url=`)) {
                    return child;
                }
            }
        }
    };
}

/** Waits until a room has members. */
const joined = (shop, room, members = 1) => eventually(`${members} members of ${room}`, () => shop.run(`roomer members ws://127.0.0.1:8080/ws ${room}`).trim().split("\n").filter(Boolean).length === members);

async function stop(child) {
    child.kill("SIGTERM");
    const [code] = await once(child, "close");
    assert.equal(code, 0);
}

describe("commands on pages", { timeout: 120_000 }, () => {
    test("a server runs with and without a configuration", async (t) => {
        const shop = await workshop(t);
        const [install, alone] = commandsOf(block("roomer-tokio/cli/SERVER.md", INSTALL));
        assert.equal(install, INSTALL);
        await stop(await shop.serve(alone));
        assert.match(shop.run(block("roomer-tokio/cli/SERVER.md", "roomer serve --print-config")), /^listen = /m);
        const [print, serve] = commandsOf(block("README.md", "roomer serve"));
        shop.run(print);
        await stop(await shop.serve(serve));
    });

    test("a message is sent and printed", async (t) => {
        const shop = await workshop(t);
        await shop.serve("roomer serve");
        const [, tail, send] = commandsOf(block("roomer-tokio/cli/README.md", "roomer tail ws:"));
        const [, plain] = commandsOf(block("README.md", "roomer tail"));
        const windows = [shop.start(plain), shop.start(tail)];
        await joined(shop, "lobby", 2);
        shop.run(send);
        for (const { child, next } of windows) {
            let line;
            do {
                line = await next();
                assert.notEqual(line, undefined, "the command ended");
            } while (!line.includes("hello"));
            await stop(child);
        }
    });

    test("a script reports a deployment", async (t) => {
        const shop = await workshop(t);
        await shop.serve("roomer serve");
        const watch = shop.start("roomer tail ws://127.0.0.1:8080/ws deployments --json");
        await joined(shop, "deployments");
        const script = block("roomer-tokio/cli/README.md", "export ROOMER_TOKEN");
        const commands = commandsOf(script);
        assert.equal(commands.length, 4);
        execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a", "commit", "--quiet", "--allow-empty", "-m", "A subject"], { cwd: initialised(shop.folder) });
        const waiting = shop.start(`bash -euc '${script}'`);
        const started = JSON.parse(await watch.next());
        assert.deepEqual([started.event, started.text], ["started", "A subject\n"]);
        // The script waits until the service has shown that it runs.
        const alive = eventually("the script ends", async () => {
            waiting.child.exitCode ?? shop.run("roomer send ws://127.0.0.1:8080/ws deployments alive yes");
            return waiting.child.exitCode !== null;
        });
        assert.equal(JSON.parse(await waiting.next()).text, "yes");
        await alive;
        assert.equal(waiting.child.exitCode, 0);
    });

    test("a backend calls the HTTP API", async (t) => {
        const shop = await workshop(t);
        shop.env.KEY = "the key of a backend, which has at least thirty-two bytes";
        writeFileSync(join(shop.folder, "backend.key"), shop.env.KEY);
        const page = "roomer-tokio/cli/SERVER.md";
        const config = shop.adapt(block(page, 'file = "/etc/roomer/backend.key"', "toml"));
        writeFileSync(join(shop.folder, "roomer.toml"), config.replace("/etc/roomer/backend.key", join(shop.folder, "backend.key")));
        await shop.serve("roomer serve roomer.toml");
        const watch = shop.start("roomer tail ws://127.0.0.1:8080/ws news --json");
        await joined(shop, "news");
        const [publish, members, description, ...more] = block(page, "/v1/openapi.json").split("\n").map((line) => line.replace("curl", "curl --silent --fail"));
        assert.deepEqual(more, []);
        shop.run(publish);
        const message = JSON.parse(await watch.next());
        assert.deepEqual([message.event, message.text], ["item", "hello"]);
        assert.equal(JSON.parse(shop.run(members)).members.length, 1);
        assert.match(JSON.parse(shop.run(description)).openapi, /^3\./);
    });

    test("each crate's package lists its files", () => {
        const [, list] = commandsOf(block("RELEASING.md", "cargo package"));
        const crates = /^crates=\((.*)\)$/m.exec(read(".ci/package"))[1].split(" ");
        assert.ok(list.includes(` ${crates[0]} `));
        for (const crate of crates) {
            const [program, ...args] = [...list.replace(crates[0], crate).split(" "), "--allow-dirty", "--offline"];
            const files = execFileSync(program, args, { cwd: ROOT, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).split("\n");
            assert.ok(["Cargo.toml", "LICENSE", "README.md", "src/lib.rs"].every((file) => files.includes(file)), `${crate}: ${files}`);
        }
    });

    test("benchmarks are measured and printed", async (t) => {
        const { folder } = await workshop(t);
        const programs = { "chat-tokio": findBinary("tokio"), "chat-smol": findBinary("smol"), load: `${ROOT}target/debug/load` };
        mkdirSync(join(folder, "bench"));
        for (const [name, program] of Object.entries(programs)) {
            assert.ok(existsSync(program), `there is no ${program}: run "cargo build -p roomer-load" first`);
            symlinkSync(program, join(folder, "bench", name));
        }
        const commands = [...new Set(["BENCHMARKS.md", "CONTRIBUTING.md"].flatMap(blocksOf).filter(({ language }) => language === "sh").flatMap(({ code }) => commandsOf(code)))].filter((command) => /^\.ci\/bench/.test(command));
        assert.equal(commands.length, 2);
        for (const command of commands) {
            const out = join(folder, "figures.jsonl");
            // Later options take precedence. In this time, something must be delivered even on a busy machine.
            const short = `${command} --no-build --rows direct --rounds 1 --secs 1 --warmup 0 --out ${out}`;
            execFileSync("bash", ["-euc", short], { cwd: ROOT, env: { ...process.env, CARGO_TARGET_DIR: folder }, stdio: ["ignore", "ignore", "pipe"] });
            assert.match(execFileSync(".ci/plot.py", [out, "--print"], { cwd: ROOT, encoding: "utf8" }), /direct ping-pong/);
        }
    });

    test("the page of benchmarks contains what was measured", async (t) => {
        const { folder } = await workshop(t);
        const copy = join(folder, "latest.jsonl");
        copyFileSync(`${ROOT}.ci/bench-results/latest.jsonl`, copy);
        const printed = execFileSync(".ci/plot.py", [copy, "--print"], { cwd: ROOT, encoding: "utf8" }).trim();
        assert.ok(read("BENCHMARKS.md").includes(`\n\n${printed}\n\n<!-- end of figures -->`), "run .ci/plot.py");
        for (const chart of ["cpu.svg", "memory.svg"]) {
            assert.equal(read(`.ci/bench-results/${chart}`), readFileSync(join(folder, chart), "utf8"), chart);
        }
    });
});

/** Makes a folder a repository of git, and returns it. */
function initialised(folder) {
    execFileSync("git", ["init", "--quiet", folder]);
    return folder;
}
