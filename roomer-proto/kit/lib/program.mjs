/**
 * The client under test: a program that reads commands and writes events.
 *
 * It reads from its standard input and writes to its standard output, each one line of JSON.
 *
 * @module program
 */

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** All features that a client may lack. */
export const FEATURES = ["codec", "extended", "queue", "lost", "members", "info", "away", "expiry", "requests", "answers", "errors", "history", "hints"];

/** Starts a program. */
export function start([file, ...args]) {
    const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"] });
    let errors = "";
    let ready;
    let isOver = false;
    let failure;
    let listeners;
    const answers = [];
    const isReady = new Promise((resolve) => (ready = resolve));

    const fail = (why) => {
        if (!isOver) {
            isOver = true;
            failure = new Error(`${why}${errors && `; its standard error:\n${errors.slice(-2000)}`}`);
            listeners?.failed(failure);
        }
    };

    child.on("error", (error) => fail(`the program does not start: ${error.message}`));
    child.on("close", (code) => fail(`the program has ended with ${code}`));
    child.stderr.on("data", (text) => (errors += text));
    child.stdin.on("error", () => {});
    createInterface({ input: child.stdout }).on("line", (line) => {
        let event;
        try {
            event = JSON.parse(line);
        } catch {
            return fail(`the program wrote a line that is not JSON: ${line.slice(0, 200)}`);
        }
        if (event.on === "ready") {
            const unknown = (event.lacks ?? []).filter((name) => !FEATURES.includes(name));
            return unknown.length ? fail(`there is no feature ${unknown}`) : ready(event);
        }
        event.on === "done" ? answers.shift()?.(event) : listeners?.received(event);
    });

    return {
        isReady,
        /**
         * Sets the functions to call from now on: `received(event)` with each event except the answers to commands,
         * `failed(error)` once the program has ended or written invalid output.
         */
        listen(next) {
            listeners = next;
            failure && next.failed(failure);
        },
        /** Sends a command; resolves once the program has carried it out. */
        call(command) {
            child.stdin.write(`${JSON.stringify(command)}\n`);
            return new Promise((resolve) => answers.push(resolve));
        },
        end() {
            isOver = true;
            child.kill();
        }
    };
}
