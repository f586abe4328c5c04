/** Checks the commands in a code block.
 *
 * Their programs, packages, scripts, tests, examples, flags and files must exist, or an earlier command must create them.
 * `roomer` commands are parsed by a test in `roomer-tokio/cli/src/tests.rs`.
 */

import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

import { checkCargo } from "./cargo.js";
import { ROOT, listFiles, read } from "./pages.js";
import { PACKAGES, checkArguments, exists, hasRoute } from "./programs.js";

const manifest = () => JSON.parse(read("js/package.json"));

/** The flags of the npm commands on pages, and the maximum number of their other arguments. */
const NPM = { ci: [[], 0], init: [["-y"], 0], install: [["--save-dev", "--package-lock-only"], 1], pack: [[], 1], publish: [["--dry-run"], 0], run: [[], 1], test: [[], 0] };

/** Programs from outside the project, with patterns of valid arguments. */
const OTHERS = {
    git: /^(commit -a -m|tag -a v\w+ -m|push --follow-tags|log -1 --format=)/,
    rustup: /^target add (x86_64-unknown-linux-musl|wasm32-unknown-unknown)$/,
    export: /^ROOMER_TOKEN=\w+$/
};

const CURL = ["-H", "--header", "--data", "--data-binary", "--silent", "--retry", "--retry-connrefused"];

const unquote = (word) => word.replace(/^(['"])(.*)\1$/, "$2");

function* checkNpm([sub, ...args], { resolve, cwd, made }) {
    if (!(sub in NPM)) {
        return yield `npm ${sub}`;
    }
    const [flags, most] = NPM[sub];
    const words = args.filter((word) => !word.startsWith("-"));
    yield* args.filter((word) => word.startsWith("-") && !flags.includes(word)).map((word) => `flag ${word} of npm ${sub}`);
    yield* words.slice(most).map((word) => `argument ${word} of npm ${sub}`);
    if (sub === "init") {
        // The page's further commands run in the package that the reader has created.
        made.add("a package");
    } else if (!made.has("a package") && !exists(resolve("package.json"))) {
        yield `package in ${cwd()}`;
    }
    const script = { run: words[0], test: "test" }[sub];
    if (script && !(script in manifest().scripts)) {
        yield `npm script ${script}`;
    }
    if (sub === "pack" && words[0]) {
        const folder = words[0].replace(/^\.\.\/roomer\//, "");
        exists(`${folder}/package.json`) ? made.add(`${manifest().name}-${manifest().version}.tgz`) : yield `package ${words[0]}`;
    }
    if (sub === "install" && words[0] && !(words[0] in manifest().devDependencies || made.has(words[0].replace(/^\.\//, "")))) {
        yield `package ${words[0]}`;
    }
}

function* checkCurl(args) {
    yield* args.filter((word) => /^-/.test(word) && !CURL.includes(word)).map((word) => `flag ${word} of curl`);
    const urls = args.filter((word) => /^https?:/.test(word)).map((word) => new URL(word));
    urls.length || (yield "address for curl");
    for (const { hostname, port, pathname } of urls) {
        hostname === "127.0.0.1" && hasRoute(port, pathname) || (yield `page ${hostname}:${port}${pathname}`);
    }
}

/** Checks a script of the repository: it must exist, be executable, and contain the flags in its source. */
function* checkScript(path, args) {
    if (!exists(path) || !(statSync(join(ROOT, path)).mode & 0o100)) {
        return yield path;
    }
    const known = read(path).split(/[^\w-]+/);
    for (const flag of args.map((word) => word.replace(/^\[(.*)\]$/, "$1")).filter((word) => word.startsWith("-"))) {
        known.includes(flag) || (yield `flag ${flag} of ${path}`);
    }
    yield* args.filter((word) => word.includes("/")).filter((word) => !exists(word)).map((word) => `file ${word}`);
}

/** Checks a call of a program that Cargo has built. */
function* checkBuilt(path, args, { made }) {
    const name = path.split("/").at(-1);
    const kind = path.includes("/examples/") ? "example" : "bin";
    const source = [...PACKAGES.values()].map((each) => each[kind].get(name)).find(Boolean);
    if (!source) {
        return yield `${kind} ${name}`;
    }
    made.has(path) || (yield `${path} before it is built`);
    yield* checkArguments(name, source, args);
}

function* checkWords([program, ...args], page) {
    const path = page.resolve(program);
    if (program === "cargo") {
        yield* checkCargo(args, page);
    } else if (program === "npm") {
        yield* checkNpm(args, page);
    } else if (program === "curl") {
        yield* checkCurl(args.map(unquote));
    } else if (program === "cd") {
        exists(page.resolve(args[0])) ? page.enter(args[0]) : yield `folder ${args[0]}`;
    } else if (program === "node") {
        exists(page.resolve(args[0])) || (yield `script ${args[0]}`);
        yield* args.filter((word) => word.startsWith("target/") && !page.made.has(word)).map((word) => `${word} before it is built`);
    } else if (program === "roomer") {
        page.made.has("roomer") || (yield "roomer before it is installed");
        const file = ["serve", "check"].includes(args[0]) && args.slice(1).find((word) => !word.startsWith("-"));
        !file || page.made.has(file) || exists(file) || (yield `file ${file}`);
    } else if (/^(\.\/)?target\//.test(program)) {
        yield* checkBuilt(program.replace("./", ""), args, page);
    } else if (program.includes("/")) {
        yield* checkScript(path, args);
    } else if (!OTHERS[program]?.test(args.join(" "))) {
        yield `program ${[program, ...args].join(" ")}`;
    }
}

/** Returns true if a program or script of the repository reads this environment variable. */
function isRead(variable) {
    const sources = listFiles("*.rs", "*.js", "*.mjs", ".ci/*").filter((file) => !file.endsWith("pages.test.js"));
    return /^(RUSTFLAGS|LOOM_MAX_PREEMPTIONS)$/.test(variable) || sources.some((file) => new RegExp(`\\b${variable}\\b`).test(read(file)));
}

/** Returns the commands of a block, by line, without comments. */
function linesOf(code) {
    const lines = code.replaceAll(/\s*\\\n\s*/g, " ").split("\n").map((each) => each.replace(/(^|\s)#.*$/, ""));
    return lines.map((line) => line.split(/&&|\|\||[;|()]|&(?=\s|$)/).map((each) => each.trim()).filter(Boolean));
}

/** Returns all commands of a block, in order. */
export const commandsOf = (code) => linesOf(code).flat();

/**
 * Checks all commands in a block.
 *
 * @param {string} code
 * @param {Set<string>} [made] the files and packages that earlier blocks on the page have created; those that this block creates
 * are added
 * @param {string} [home] the folder where the page's commands run
 * @returns {string[]} the errors; empty if there are none
 */
export function checkCommands(code, made = new Set(), home = ".") {
    const { status, stderr } = spawnSync("bash", ["-n"], { input: code, encoding: "utf8" });
    if (status !== 0) {
        return [stderr.trim()];
    }
    const faults = [];
    for (const commands of linesOf(code)) {
        let folder = home;
        const page = { made, resolve: (path) => normalize(join(exists(join(folder, path)) ? folder : ".", path)), cwd: () => folder, enter: (path) => (folder = join(folder, path)) };
        // A cd applies to the rest of its line. This is right because pages put commands with a cd in parentheses.
        for (const command of commands) {
            const all = command.match(/'[^']*'|"[^"]*"|[^\s'"]*=(?:'[^']*'|"[^"]*")|\S+/g);
            const to = all.findIndex((word) => /^\d?>$/.test(word));
            const words = to < 0 ? all : all.slice(0, to);
            while (/^[A-Z_0-9]+=/.test(words[0] ?? "")) {
                const [variable] = words.shift().split("=");
                isRead(variable) || faults.push(`${command}: no such thing: variable ${variable}`);
            }
            if (words.length) {
                faults.push(...[...checkWords(words, page)].map((problem) => `${command}: no such thing: ${problem}`));
            }
            to < 0 || made.add(all[to + 1]);
        }
    }
    return faults;
}

/** Returns the folder in which a page's commands run: for pages of the npm package its folder, otherwise the repository's. */
export const homeOf = (page) => (page.startsWith("js/") ? dirname(page) : ".");
