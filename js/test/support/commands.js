/**
 * Checks that a command on a page could be run: its program, package, script, test, example and flags exist.
 */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { ROOT, listFiles, read } from "./pages.js";

const scripts = () => JSON.parse(read("js/package.json")).scripts;
const exists = (name) => existsSync(join(ROOT, name));

/** The folder of each crate of the workspace. */
/** The packages of the workspace, and their folders. */
const PACKAGES = {
    "roomer-proto": "roomer-proto",
    "roomer-hub": "roomer-hub",
    "roomer-engine": "roomer-hub/engine",
    "roomer-testkit": "roomer-hub/testkit",
    "roomer-simulator": "roomer-hub/simulator",
    "roomer-conformance": "roomer-hub/conformance",
    "roomer-conformance-web": "roomer-hub/conformance/web",
    "roomer-tokio": "roomer-tokio",
    "roomer-tokio-examples": "roomer-tokio/examples",
    "roomer-application": "roomer-tokio/examples/application",
    "roomer-cli": "roomer-tokio/cli",
    "roomer-load": "roomer-tokio/examples/load",
    "roomer-smol": "roomer-smol",
    "roomer-smol-examples": "roomer-smol/examples"
};

const CRATES = Object.values(PACKAGES);

/** Subcommands of cargo, and those that are programs of their own. */
const CARGO = ["run", "test", "build", "bench", "clippy", "fmt", "doc", "tree", "deny", "fuzz", "mutants", "install", "add", "update", "package", "publish"];

/** Programs that are not part of the project. */
const OTHERS = ["curl", "git", "openssl", "kill", "export", "rustup"];

const NPM = ["ci", "init", "install", "pack", "create", "publish"];

/** The source file of a crate's example, which a package of examples has at its top. */
const sourcesOf = (crate, example) => [crate.endsWith("/examples") ? `${crate}/${example}.rs` : `${crate}/examples/${example}.rs`].filter(exists);

/** Returns true if the example of a name, or one of its supporting files, knows a flag. */
function knows(crate, example, flag) {
    const files = [...sourcesOf(crate, example), ...listFiles("roomer-tokio/examples/support/*.rs")];
    return files.some((file) => read(file).includes(flag.replace(/^--/, "")));
}

function* checkCargo(words) {
    const [sub, ...rest] = words[0]?.startsWith("+") ? words.slice(1) : words;
    if (!CARGO.includes(sub)) {
        yield `cargo ${sub}`;
    }
    const split = rest.indexOf("--");
    const args = split < 0 ? rest : rest.slice(0, split);
    const program = split < 0 ? [] : rest.slice(split + 1);
    const after = (...names) => args.flatMap((arg, n) => (names.includes(arg) ? [args[n + 1]] : []));
    const named = after("-p", "--package").filter((name) => name !== "roomer-X");
    const crates = named.length ? named.map((name) => PACKAGES[name]).filter(Boolean) : CRATES;
    yield* named.filter((name) => !PACKAGES[name]).map((name) => `package ${name}`);
    for (const name of after("--test")) {
        if (!crates.some((crate) => exists(`${crate}/tests/${name}.rs`))) {
            yield `test ${name}`;
        }
    }
    for (const name of after("--bench")) {
        if (!crates.some((crate) => exists(`${crate}/benches/${name}.rs`) || exists(`${crate}/benches/${name}/main.rs`))) {
            yield `benchmark ${name}`;
        }
    }
    for (const feature of after("--features").flatMap((list) => list.split(",")).filter((name) => name !== "F")) {
        if (!crates.some((crate) => exists(`${crate}/Cargo.toml`) && new RegExp(`^${feature} = \\[`, "m").test(read(`${crate}/Cargo.toml`)))) {
            yield `feature ${feature}`;
        }
    }
    for (const example of after("--example").filter((name) => name !== "E")) {
        const crate = crates.find((each) => sourcesOf(each, example).length);
        if (!crate) {
            yield `example ${example}`;
            continue;
        }
        for (const flag of program.map((word) => word.replace(/^\[/, "")).filter((word) => word.startsWith("--"))) {
            if (!knows(crate, example, flag.replace(/\]$/, ""))) {
                yield `flag ${flag} of ${example}`;
            }
        }
    }
    if (sub === "fuzz" && args[0] === "run") {
        const target = args.filter((word) => !word.startsWith("-"))[2];
        if (!exists(`fuzz/fuzz_targets/${target}.rs`)) {
            yield `fuzz target ${target}`;
        }
    }
}

function* checkNpm([sub, name]) {
    if (sub === "run" || sub === "test") {
        const script = sub === "test" ? "test" : name;
        if (!(script in scripts())) {
            yield `npm script ${script}`;
        }
    } else if (!NPM.includes(sub)) {
        yield `npm ${sub}`;
    }
    if (sub === "pack" && name && !exists(join(name.replace("../roomer/", ""), "package.json"))) {
        yield `package ${name}`;
    }
}

function* checkWords(words) {
    const [program, ...args] = words;
    if (program === "cargo") {
        yield* checkCargo(args);
    } else if (program === "npm") {
        yield* checkNpm(args);
    } else if (program === "npx") {
        if (!(args[0] in JSON.parse(read("js/package.json")).devDependencies)) {
            yield `npx ${args[0]}`;
        }
    } else if (program === "cd") {
        if (!exists(args[0])) {
            yield `folder ${args[0]}`;
        }
    } else if (program.startsWith(".ci/")) {
        if (!exists(program) || !(statSync(join(ROOT, program)).mode & 0o100)) {
            yield program;
        }
    } else if (program.endsWith("examples/cluster/run")) {
        if (!exists(program) || !(statSync(join(ROOT, program)).mode & 0o100)) {
            yield program;
        }
    } else if (program === "node") {
        if (!exists(args[0])) {
            yield `script ${args[0]}`;
        }
    } else if (program === "roomer") {
        const name = args[0].replace(/^./, (first) => first.toUpperCase());
        if (!new RegExp(`^    ${name}\\b`, "m").test(readFileSync(join(ROOT, "roomer-tokio/cli/src/args.rs"), "utf8"))) {
            yield `command ${args[0]}`;
        }
    } else if (program === "target/release/load") {
        if (!exists("roomer-tokio/examples/load/main.rs")) {
            yield "the load generator";
        }
    } else if (/^(\.\/)?target\/release\/examples\//.test(program)) {
        const name = program.split("/").at(-1).replace("chat-smol", "chat");
        if (!CRATES.some((crate) => sourcesOf(crate, name).length)) {
            yield `example ${name}`;
        }
    } else if (!OTHERS.includes(program)) {
        yield `program ${program}`;
    }
}

/**
 * Checks all commands of a block.
 *
 * @returns {string[]} the faults; empty if there are none
 */
export function checkCommands(code) {
    const { status, stderr } = spawnSync("bash", ["-n"], { input: code, encoding: "utf8" });
    if (status !== 0) {
        return [stderr.trim()];
    }
    const lines = code.replaceAll("\\\n", " ").split("\n").map((line) => line.replace(/(^|\s)#.*$/, ""));
    const commands = lines.flatMap((line) => line.split(/&&|\|\||[;|()]|&(?=\s|$)/)).map((command) => command.trim()).filter(Boolean);
    return commands.flatMap((command) => {
        const words = command.match(/'[^']*'|"[^"]*"|[^\s'"]*=(?:'[^']*'|"[^"]*")|\S+/g);
        while (/^[A-Z_0-9]+=/.test(words[0] ?? "")) {
            words.shift();
        }
        return words.length ? [...checkWords(words)].map((problem) => `${command}: no such thing: ${problem}`) : [];
    });
}
