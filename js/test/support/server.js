/**
 * Starts the chat example of roomer-tokio for tests.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const DEFAULT_BINARY = fileURLToPath(new URL("../../../target/release/examples/chat", import.meta.url));

/** Where the server is: $ROOMER_CHAT, or the release build of the workspace. */
function findBinary() {
    const binary = process.env.ROOMER_CHAT ? resolve(process.env.ROOMER_CHAT) : DEFAULT_BINARY;
    if (!existsSync(binary)) {
        throw new Error(
            `there is no server at ${binary}: run "cargo build --release -p roomer-tokio --example chat" first, ` +
                "or set ROOMER_CHAT to the program"
        );
    }
    return binary;
}

/**
 * Starts a server on a free port and waits until it listens.
 *
 * @param {...string} flags more flags for the server
 * @returns {Promise<{url: string, origin: string, stop: () => Promise<void>}>} url of the WebSocket, origin of the page.
 *   stop() ends the server and fails if it does not end cleanly
 */
export async function startServer(...flags) {
    const child = spawn(findBinary(), ["--listen", "127.0.0.1:0", "--quiet", ...flags], {
        stdio: ["ignore", "pipe", "pipe"]
    });
    let complaints = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (complaints = (complaints + text).slice(-4096)));
    const ended = once(child, "close");
    // A test run that is broken off must not leave the server behind.
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
