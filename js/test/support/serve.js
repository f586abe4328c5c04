/** Starts `roomer serve` for tests. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

import { ROOT } from "./pages.js";

const ROOMER = resolve(process.env.ROOMER ?? `${ROOT}target/debug/roomer`);

/** Returns the path of the `roomer` program. */
export function findRoomer() {
    if (!existsSync(ROOMER)) {
        throw new Error(`there is no ${ROOMER}: run "cargo build -p roomer-cli" first, or set ROOMER to the program`);
    }
    return ROOMER;
}

/**
 * Starts a server with a configuration, on free ports, and waits until it listens.
 *
 * @param {string} config the contents of the configuration file
 * @param {Record<string, string>} [files] further files; `{NAME}` in the configuration is replaced by the path of the file NAME
 * @returns {Promise<{url: string, operator: string, stop: () => Promise<void>, kill: () => Promise<void>}>} the WebSocket's url,
 * the origin of the operators' page, and functions that end the server
 */
export async function startServe(config, files = {}) {
    const folder = mkdtempSync(join(tmpdir(), "roomer-serve-"));
    for (const [name, content] of Object.entries(files)) {
        writeFileSync(join(folder, name), content);
        config = config.replaceAll(`{${name}}`, join(folder, name));
    }
    writeFileSync(join(folder, "roomer.toml"), config);
    const own = Object.entries(process.env).filter(([name]) => !name.startsWith("ROOMER"));
    const ports = ["--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0", "--log-format", "json"];
    const child = spawn(findRoomer(), ["serve", join(folder, "roomer.toml"), ...ports], { env: Object.fromEntries(own), stdio: ["ignore", "ignore", "pipe"] });
    const ended = once(child, "close").finally(() => rmSync(folder, { recursive: true, force: true }));
    const kill = () => child.kill("SIGKILL");
    process.once("exit", kill);
    const lines = [];
    const listening = new Promise((done) => {
        const addresses = {};
        createInterface({ input: child.stderr }).on("line", (line) => {
            lines.push(line);
            const { message, url } = line.startsWith("{") ? JSON.parse(line) : {};
            addresses[message] = url;
            addresses.listening && addresses["listening for operators"] && done(addresses);
        });
    });
    const failed = ended.then(([code, signal]) => {
        throw new Error(`the server ended at once (${code ?? signal}): ${lines.join("\n")}`);
    });
    const addresses = await Promise.race([listening, failed]);
    failed.catch(() => {});
    return {
        url: addresses.listening,
        operator: addresses["listening for operators"],
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
                throw new Error(`the server ended with ${code ?? signal} instead of 0: ${lines.join("\n")}`);
            }
        }
    };
}
