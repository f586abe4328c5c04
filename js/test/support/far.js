/** Clients in separate processes, which a test can suspend, run in a namespace, or run with another version of Node. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { eventually } from "./wait.js";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const major = (version) => Number(version.split(".")[0]);

/** The path where `.ci/test` installs another version of Node. ROOMER_NODE_22 overrides it. */
const INSTALLED = path(`../../../target/node22/node_modules/node-linux-${process.arch}/bin/node`);

/** Returns the path of a Node of version 22 or later. Returns undefined if there is none, which is an error in CI. */
export function findNode22() {
    const found = process.env.ROOMER_NODE_22 ?? (major(process.versions.node) >= 22 ? process.execPath : INSTALLED);
    if (existsSync(found)) {
        return found;
    }
    assert.ok(!process.env.CI, `there is no Node 22 at ${found}: .ci/test installs it`);
    return undefined;
}

/**
 * Returns the number of lines up to the one after which a suspended client has all its rooms open again; undefined if the lines
 * do not contain that yet. Fails if the client or a room has closed.
 */
export function linesUntilBack(lines, rooms) {
    const closed = lines.find(([what, detail]) => what === "close" || (what === "state" && detail === "closed"));
    assert.equal(closed, undefined, `closed, in ${JSON.stringify(lines)}`);
    const suspended = lines.findIndex(([what, state]) => what === "state" && state === "suspended");
    const back = [["state", "open"], ...rooms.map((room) => ["reopen", room])]
        .map(([what, detail]) => lines.findIndex((line, index) => index > suspended && line[0] === what && line[1] === detail));
    return suspended >= 0 && back.every((index) => index >= 0) ? Math.max(...back) + 1 : undefined;
}

/** Returns the client's id in the room that it opened last ("" if none), and the number of the line after that event. */
export function lastOpening(lines) {
    const at = lines.findLastIndex(([what]) => what === "open" || what === "reopen");
    return { id: lines[at]?.[2] ?? "", from: at + 1 };
}

/** Returns the messages in these lines. */
export const heardIn = (lines) => lines.filter(([what]) => what === "chat").map(([, , payload]) => payload);

/** Returns the messages that a client has received. */
export const heardBy = ({ log }) => heardIn(log);

/** Returns the messages that a client has reported as lost. */
export const toldTo = ({ log }) => log.filter(([what]) => what === "lost").map(([, { payload }]) => payload);

/**
 * Starts a client in a separate process, which joins these rooms and ends with the test. Does not wait for it.
 *
 * @param {object} t the test
 * @param {object} about
 * @param {string} about.url
 * @param {string[]} about.rooms
 * @param {"ws" | "global"} [about.socket] the WebSocket class
 * @param {boolean} [about.extended] true for a client with sessions, which hide the events that most tests check
 * @param {object} [about.options] options of connect() that JSON can represent
 * @param {string} [about.node] the Node executable
 * @param {string[]} [about.wrapper] a command that runs the client, such as one that enters a namespace; it must not fork
 * @param {object} [about.env]
 */
export function startFar(t, { url, rooms, socket = "ws", extended = false, options = {}, node = process.execPath, wrapper = [], env = {} }) {
    const flags = socket === "global" && node === process.execPath ? ["--experimental-websocket", "--no-warnings"] : ["--no-warnings"];
    const [program, ...args] = [...wrapper, node, ...flags, path("far-client.js"), JSON.stringify({ url, rooms, socket, extended, options })];
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, ...env } });
    const ended = once(child, "close");
    const log = [];
    createInterface({ input: child.stdout }).on("line", (line) => log.push(JSON.parse(line)));
    t.after(async () => {
        child.kill("SIGKILL");
        await ended;
    });

    const waitFor = (what, condition) => eventually(`${what}, in ${program}`, () => {
        assert.equal(child.exitCode, null, `the client's process ended; it had seen ${JSON.stringify(log)}`);
        return condition();
    });
    const far = {
        /** All events that the client has reported, as arrays [what, ...details]. */
        log,
        rooms,
        /** Returns the client's last opening. On a busy machine, the client may have been suspended since. */
        opening: () => lastOpening(log),
        /** Returns the client's id in the room that it opened last; "" if none. */
        get id() {
            return far.opening().id;
        },
        get state() {
            return log.findLast(([what]) => what === "state")?.[1];
        },
        signal: (name) => void child.kill(name),
        say: (room, payload) => void child.stdin.write(`${JSON.stringify({ room, payload })}\n`),
        /** Sends a message with this many bytes. */
        sayMuch: (room, size) => void child.stdin.write(`${JSON.stringify({ room, size })}\n`),
        /** Waits until the client has reported a matching event, starting at line `from`. */
        until: (what, fits, from = 0) => waitFor(what, () => log.slice(from).find(fits)),
        /** Waits until all of the client's rooms are open. */
        async opened() {
            for (const name of rooms) {
                await far.until(`open ${name}`, ([what, room]) => what === "open" && room === name);
            }
            return far;
        },
        /**
         * Waits until the client was suspended, in line `from` or later, and has all its rooms open again. Fails if the client or
         * a room has closed. Returns the line from which the next wait must start, since the client may already be suspended
         * again.
         */
        cameBack: async (from) => from + await waitFor("back", () => linesUntilBack(log.slice(from), rooms))
    };
    return far;
}
