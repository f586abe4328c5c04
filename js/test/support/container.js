/** Runs programs as a container does: as the first process of a PID namespace, in a separate network. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

import { isolate } from "./namespace.js";
import { eventually } from "./wait.js";

/** Returns the ids of a process's children. */
const childrenOf = (pid) => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);

/**
 * Starts a program and waits until it logs its address.
 *
 * @param {object} t the test
 * @param {string} program
 * @param {object} [about]
 * @param {string[]} [about.args]
 * @param {object} [about.env]
 * @param {string} [about.cwd] the working directory
 * @returns {Promise<{url: string, said: string[], wrapper: string[], signal: (name: string) => void, ended: Promise<[number,
 * string]>, alive: () => boolean}>} the WebSocket's url, the lines printed so far, the command that runs another program in the
 * same network, and a promise for the exit code and the standard error
 */
export async function startContainer(t, program, { args = [], env = {}, cwd } = {}) {
    const wrapper = isolate(t);
    const [command, ...rest] = [...wrapper, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", program, ...args];
    const child = spawn(command, rest, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env }, cwd });
    let complaints = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (complaints = (complaints + text).slice(-4096)));
    const ended = once(child, "close").then(([code]) => [code, complaints]);
    t.after(async () => {
        child.kill("SIGKILL");
        await ended;
    });
    const said = [];
    // `roomer serve` logs its address on standard error.
    [child.stdout, child.stderr].forEach((input) => createInterface({ input }).on("line", (line) => void said.push(line)));
    const address = await eventually(`${program} listens`, () => {
        assert.equal(child.exitCode, null, `${program} ended at once: ${complaints}`);
        return said.map((line) => /\b(?:http|ws)s?:\/\/[^\s#"]+/.exec(line)?.[0]).find(Boolean);
    });
    const url = new URL(address.replace("http", "ws"));
    url.pathname = "/ws";
    const [pid] = childrenOf(child.pid);
    return {
        url: url.href,
        said,
        wrapper,
        ended,
        alive: () => child.exitCode === null && child.signalCode === null,
        signal: (name) => void process.kill(pid, name)
    };
}
