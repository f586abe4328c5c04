/** Checks that a Cargo command on a page is valid. */

import { PACKAGES, checkArguments, exists } from "./programs.js";
import { listFiles, read } from "./pages.js";

/** Flags that Cargo's subcommands share. 1 marks a flag with a value. */
const COMMON = { "-p": 1, "--package": 1, "--workspace": 0, "--exclude": 1, "--features": 1, "--all-features": 0, "--release": 0, "--target": 1, "--locked": 0 };
const BUILD = { ...COMMON, "--example": 1, "--bin": 1, "--test": 1, "--bench": 1, "--tests": 0, "--lib": 0, "--doc": 0 };

/** The flags of each subcommand, and the maximum number of its other arguments. */
const CARGO = {
    run: [BUILD, 0],
    test: [BUILD, 1],
    build: [BUILD, 0],
    bench: [BUILD, 1],
    clippy: [{ ...BUILD, "--all-targets": 0 }, 0],
    fmt: [{ "--check": 0, "--all": 0 }, 0],
    doc: [{ ...COMMON, "--open": 0, "--no-deps": 0 }, 0],
    tree: [{ ...COMMON, "-e": 1, "--prefix": 1, "--no-dedupe": 0 }, 0],
    install: [{ "--locked": 0, "--path": 1 }, 1],
    update: [{ "--workspace": 0 }, 0],
    package: [{ ...COMMON, "--list": 0 }, 0],
    publish: [{ ...COMMON, "--dry-run": 0 }, 0],
    deny: [{}, 1],
    fuzz: [{ "-s": 1 }, 3],
    mutants: [{ ...COMMON, "-e": 1, "--timeout": 1, "--test-package": 1, "--cargo-arg": 1 }, 0]
};

/** The arguments after `--` that test programs and fuzz targets accept. */
const OF_TESTS = ["--nocapture", "--ignored", "--exact"];
const OF_FUZZER = /^-(max_total_time|runs|seed|max_len)=\d+$/;

/** Targets besides the host's. */
const TARGETS = ["x86_64-unknown-linux-musl", "wasm32-unknown-unknown"];

const unquote = (word) => word.replace(/^(['"])(.*)\1$/, "$2");

/** Splits arguments into flags with their values, and other words. Yields an error for each unknown flag. */
function* parse(sub, args, known, flags, words) {
    for (let n = 0; n < args.length; n++) {
        const [name, value] = args[n].startsWith("--") ? args[n].split(/=(.*)/s) : [args[n]];
        if (!name.startsWith("-")) {
            words.push(name);
        } else if (!(name in known)) {
            yield `flag ${name} of cargo ${sub}`;
        } else if (known[name]) {
            flags.push([name, unquote(value ?? args[++n] ?? "")]);
        } else {
            flags.push([name]);
        }
    }
}

/**
 * @param {string[]} words the words after "cargo"
 * @param {{made: Set<string>, resolve: (path: string) => string}} page the files and packages that earlier commands have created,
 * and the current folder
 */
export function* checkCargo([sub, ...rest], { made, resolve }) {
    if (!CARGO[sub]) {
        return yield `cargo ${sub}`;
    }
    const split = rest.indexOf("--");
    const args = split < 0 ? rest : rest.slice(0, split);
    const program = split < 0 ? [] : rest.slice(split + 1).map((word) => word.replace(/^\[(.*)\]$/, "$1"));
    const [known, most] = CARGO[sub];
    const [flags, words] = [[], []];
    yield* parse(sub, args, known, flags, words);
    if (words.length > most) {
        yield `argument ${words[most]} of cargo ${sub}`;
    }
    const after = (...names) => flags.filter(([name]) => names.includes(name)).map(([, value]) => value);
    const named = after("-p", "--package", "--test-package").flatMap((list) => list.split(","));
    yield* named.filter((name) => !PACKAGES.has(name)).map((name) => `package ${name}`);
    const packages = named.length ? named.map((name) => PACKAGES.get(name)).filter(Boolean) : [...PACKAGES.values()];
    yield* after("--target").filter((target) => !TARGETS.includes(target)).map((target) => `target ${target}`);
    for (const feature of after("--features").flatMap((list) => list.split(","))) {
        if (!packages.some(({ features }) => features.includes(feature))) {
            yield `feature ${feature}`;
        }
    }
    const found = [];
    for (const kind of ["example", "bin", "test", "bench"]) {
        for (const name of after(`--${kind}`)) {
            const path = packages.map((each) => each[kind].get(name)).find((each) => each && exists(each));
            path ? found.push([kind, name, path]) : yield `${kind === "bench" ? "benchmark" : kind} ${name}`;
        }
    }
    if (sub === "run" && !found.length) {
        const programs = named.length === 1 ? [...packages.flatMap(({ bin }) => [...bin])] : [];
        programs.length === 1 ? found.push(["bin", ...programs[0]]) : yield "program to run";
    }
    for (const path of after("--path")) {
        exists(`${resolve(path)}/Cargo.toml`) || (yield `package in ${path}`);
        PACKAGES.forEach(({ folder, bin }) => folder === resolve(path) && bin.forEach((_, name) => made.add(name)));
    }
    const profile = after("--release").length ? "release" : "debug";
    const isBuilt = sub === "build" || (sub === "test" && flags.some(([name]) => name === "--workspace"));
    const bins = after("--example", "--test", "--bench").length ? [] : packages.flatMap(({ bin }) => [...bin.keys()]);
    isBuilt && bins.forEach((name) => made.add(`target/${profile}/${name}`));
    isBuilt && after("--example").forEach((name) => made.add(`target/${profile}/examples/${name}`));
    yield* checkProgram(sub, words, program, found, packages);
}

/** Checks the arguments for the program that `cargo run` and similar commands start. */
function* checkProgram(sub, words, program, found, packages) {
    if (sub === "run" && found.length === 1) {
        const [, name, path] = found[0];
        yield* checkArguments(name, path, program);
    } else if (sub === "test") {
        yield* program.filter((word) => !OF_TESTS.includes(word)).map((word) => `flag ${word} of tests`);
        const folders = found.length ? found.map(([, , path]) => path.replace(/\/[^/]*$/, "")) : packages.map(({ folder }) => folder);
        const sources = folders.flatMap((folder) => listFiles(`${folder}/*.rs`));
        const isFound = (name) => sources.some((path) => path.includes(name) || read(path).includes(`fn ${name}`));
        const hasTest = (word) => word.split("::").every(isFound);
        yield* words.filter((word) => !hasTest(word)).map((word) => `test named ${word}`);
    } else if (sub === "fuzz") {
        words[0] === "run" && exists(`fuzz/fuzz_targets/${words[1]}.rs`) && words.length === 2 || (yield `fuzz target ${words[1]}`);
        yield* program.filter((word) => !OF_FUZZER.test(word)).map((word) => `flag ${word} of the fuzzer`);
    } else if (program.length) {
        yield* program.filter((word) => !/^(-D|warnings)$/.test(word)).map((word) => `argument ${word} of cargo ${sub}`);
    }
    if (sub === "deny" && words[0] !== "check") {
        yield `cargo deny ${words[0]}`;
    }
}
