/** The repository's Cargo packages, and the options of its programs, which are read from their sources. */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

import { ROOT, listFiles, read } from "./pages.js";

export const exists = (name) => existsSync(join(ROOT, name));

/** The workspace's packages by name: each one's folder, manifest, features and targets. */
export const PACKAGES = new Map(listFiles("*Cargo.toml").filter((path) => !path.startsWith("fuzz/")).flatMap((path) => {
    const manifest = read(path);
    const name = /^\[package\]\n(?:.*\n)*?name = "(.+)"/m.exec(manifest)?.[1];
    return name ? [[name, createPackage(dirname(path), name, manifest)]] : [];
}));

function createPackage(folder, name, manifest) {
    const features = /^\[features\]\n((?:(?!\[).*\n?)*)/m.exec(manifest)?.[1] ?? "";
    const named = (kind) => [...manifest.matchAll(new RegExp(`^\\[\\[${kind}\\]\\]\\n(?:\\w.*\\n)*?name = "(.+)"(?:\\n(?:\\w.*\\n)*?path = "(.+)")?`, "gm"))];
    const target = (kind, place) => {
        if (manifest.includes(`\nauto${kind}s = false\n`)) {
            return new Map(named(kind).map(([, found, path = `${place}/${found}.rs`]) => [found, `${folder}/${path}`]));
        }
        return new Map([
            ...listFiles(`${folder}/${place}/*.rs`).filter((path) => dirname(path) === `${folder}/${place}`).map((path) => [path.split("/").at(-1).slice(0, -3), path]),
            ...listFiles(`${folder}/${place}/*/main.rs`).map((path) => [path.split("/").at(-2), path]),
            ...named(kind).filter(([, , path]) => path).map(([, found, path]) => [found, `${folder}/${path}`])
        ]);
    };
    const bin = target("bin", "src/bin");
    if (!named("bin").length && exists(`${folder}/src/main.rs`)) {
        bin.set(name, `${folder}/src/main.rs`);
    }
    return {
        folder,
        features: [...features.matchAll(/^([\w-]+) = /gm)].map(([, feature]) => feature),
        bin,
        example: target("example", "examples"),
        test: target("test", "tests"),
        bench: target("bench", "benches")
    };
}

/** For programs whose `main` is in a different file from their options: the source with the options. */
const OPTIONS_IN = { chat: "roomer-tokio/examples/support/chat.rs", load: "roomer-tokio/examples/load/options.rs" };
const SIMPLE = "roomer-tokio/examples/support/program.rs";

/** Returns a program's options by name. The value is true for options that take a value. */
function readOptions(source) {
    // Split the `match` over the options into its arms.
    const arms = source.split(/\n\s+(?=Long\(|Short\(|Value\(|"-)/).slice(1);
    const options = new Map();
    for (const arm of arms) {
        const [names, action = ""] = arm.split(/ => (.*)/s);
        const takes = /&mut (args|parser)\b|number\(\)/.test(action);
        for (const [, long, quoted] of names.matchAll(/Long\("([\w-]+)"\)|"(-[\w-]+)"/g)) {
            options.set(quoted ?? `--${long}`, takes);
        }
        for (const [, short] of names.matchAll(/Short\('(\w)'\)/g)) {
            options.set(`-${short}`, takes);
        }
    }
    return options;
}

/**
 * Checks the arguments of one of the repository's programs, and yields the errors.
 *
 * @param {string} name
 * @param {string} path the path of its source
 * @param {string[]} args
 */
export function* checkArguments(name, path, args) {
    const own = read(path);
    const isSimple = /\bProgram \{/.test(own);
    const options = readOptions(read(OPTIONS_IN[name] ?? (isSimple ? SIMPLE : path)));
    const scenarios = name === "load" ? [...read(OPTIONS_IN.load).matchAll(/"(\w+)" => Scenario::/g)].map(([, scenario]) => scenario) : [];
    const files = isSimple ? [...(/files: &\[(.*?)\]/s.exec(own)?.[1].matchAll(/"([^"]+)"/g) ?? [])].map(([, file]) => file) : [];
    let given = 0;
    for (let n = 0; n < args.length; n++) {
        const word = args[n];
        if (options.get(word)) {
            n++;
            args[n] === undefined && (yield `value of ${word}`);
        } else if (options.has(word) || scenarios.includes(word)) {
            continue;
        } else if (word.startsWith("-")) {
            yield `flag ${word} of ${name}`;
        } else if (given++ >= files.length && !files.at(-1)?.endsWith("...")) {
            yield `argument ${word} of ${name}`;
        }
    }
    if (given < files.length) {
        yield `argument ${files[given]} of ${name}, which is missing`;
    }
}

/** Returns true if `roomer serve` has this route on the operators' port, 9090. */
export function hasRoute(port, path) {
    const sources = listFiles("roomer-tokio/cli/src/serve/*.rs").map(read);
    const routes = sources.flatMap((source) => [...source.matchAll(/"(\/(?:v1|metrics|live|ready)[^"\s]*)"/g)].map(([, route]) => route));
    const fits = (route) => new RegExp(`^${route.replace(/\{\w+\}/g, "[^/]+")}$`).test(path);
    return port === "9090" && routes.some(fits);
}
