/** Starts roomer-tokio's and roomer-smol's chat examples for tests. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { ownPort } from "./port.js";

const EXAMPLES = fileURLToPath(new URL("../../../target/debug/examples/", import.meta.url));

/** For each runtime, the name of its chat program, which `.ci/chats` builds, and the variable that may contain another path. */
const BINARIES = {
    tokio: { variable: "ROOMER_CHAT", name: "chat" },
    smol: { variable: "ROOMER_CHAT_SMOL", name: "chat-smol" }
};

export const RUNTIMES = Object.keys(BINARIES);

/** Returns the path of a runtime's chat program. */
export function findBinary(runtime) {
    const { variable, name } = BINARIES[runtime];
    const binary = resolve(process.env[variable] ?? EXAMPLES + name);
    if (!existsSync(binary)) {
        throw new Error(`there is no server at ${binary}: run .ci/chats first, or set ${variable} to the program`);
    }
    return binary;
}

/** Starts a server on tokio; see startServerOn(). */
export const startServer = (...flags) => startServerOn("tokio", ...flags);

/** Starts a server on a runtime; see startServerIn(). */
export const startServerOn = (runtime, ...flags) => startServerIn({}, runtime, ...flags);

/**
 * Starts a server, and waits until it listens. The test may stop it and start another server on the same port.
 *
 * @param {object} how
 * @param {string[]} [how.wrapper] a command that runs the server, such as one that enters a namespace; it must not fork
 * @param {boolean} [how.quiet] if true, the server logs only its address
 * @param {string} runtime "tokio" or "smol"
 * @param {...string} flags additional flags of the server
 * @returns {Promise<{url: string, origin: string, pid: number, complaints: () => string, signal: (name: string) => void, stop: ()
 * => Promise<void>, kill: () => Promise<void>}>} the WebSocket's url, the page's origin, the process id, and the output on
 * standard error. signal() sends a signal to the process; stop() ends the server, and fails if it does not exit cleanly; kill()
 * kills it
 */
export async function startServerIn({ wrapper = [], quiet = true }, runtime, ...flags) {
    const [program, ...args] = [...wrapper, findBinary(runtime), "--listen", `127.0.0.1:${await ownPort()}`, ...(quiet ? ["--quiet"] : []), ...flags];
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    let complaints = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (complaints = (complaints + text).slice(-4096)));
    const ended = once(child, "close");
    // If the test run is aborted, the server must not keep running.
    const kill = () => child.kill("SIGKILL");
    process.once("exit", kill);

    const listening = new Promise((resolve) => {
        createInterface({ input: child.stdout }).on("line", (line) => {
            const match = /^listening on (http:\/\/\S+)$/.exec(line);
            if (match) {
                resolve(match[1]);
            }
        });
    });
    const failed = ended.then(([code, signal]) => {
        throw new Error(`the server ended at once (${code ?? signal}): ${complaints}`);
    });
    const address = await Promise.race([listening, failed]);

    return {
        origin: address,
        url: `${address.replace("http:", "ws:")}/ws`,
        pid: child.pid,
        complaints: () => complaints,
        signal: (name) => void child.kill(name),
        async kill() {
            process.off("exit", kill);
            kill();
            await ended;
        },
        async stop() {
            process.off("exit", kill);
            child.kill("SIGTERM");
            const [code, signal] = await ended;
            if (code !== 0) {
                throw new Error(`the server ended with ${code ?? signal} instead of 0: ${complaints}`);
            }
        }
    };
}
