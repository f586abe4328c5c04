/** Tests that each code block on each page is run, compiled or checked. A block without a test is an error. */

import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";

import { build } from "esbuild";

import { COMMANDS } from "./support/command-tests.js";
import { checkCommands, commandsOf, homeOf } from "./support/commands.js";
import { ROOT, blocksOf, listFiles, read } from "./support/pages.js";

/** Pages whose blocks are run in order by another test. */
const WALKED = { "roomer-tokio/cli/GUIDE.md": "js/test/browser/guide.browser.test.js" };

const blocks = listFiles("*.md").filter((page) => !(page in WALKED)).flatMap(blocksOf);
const of = (...languages) => blocks.filter(({ language }) => languages.includes(language));

/**
 * Blocks that no rule below can check, by page and first words, each with the test that checks it, or the reason why none can.
 * The test fails if a block is gone, or if its test is.
 */
const WITNESSES = {
    "roomer-hub/engine/README.md:  transport ──▶ Connection": { why: "a drawing" },
    "roomer-tokio/guide/cluster.md:    clients": { why: "a drawing" },
    "roomer-tokio/guide/cluster.md:  client ──▶ socket": { why: "a drawing" },
    "roomer-tokio/guide/cluster.md: listen: ": { why: "settings of a broker on another machine, with certificates" },
    "roomer-tokio/guide/cluster.md: user chat on ": { why: "a rule of a broker on another machine" },
    'roomer-proto/EXTENDED.md: {"version":2,"session"': { file: "roomer-hub/conformance/tests/cases/sessions.rs", name: "hello_is_first_packet_and_contains_limits" },
    'roomer-proto/EXTENDED.md: {"at":[8021,17]': { file: "roomer-proto/src/extended/position.rs", name: "recall_keys_in_any_order_and_spacing" },
    'roomer-proto/EXTENDED.md: {"in":': { file: "roomer-hub/engine/tests/renewal.rs", name: "login_is_renewed_repeatedly" },
    'roomer-proto/EXTENDED.md: {"members":': { file: "roomer-hub/testkit/src/tests/members.rs", name: "payloads_on_page_are_parsed" },
    'roomer-proto/EXTENDED.md: {"joined":': { file: "roomer-hub/testkit/src/tests/members.rs", name: "payloads_on_page_are_parsed" },
    'roomer-proto/EXTENDED.md: {"away":': { file: "roomer-hub/testkit/src/tests/members.rs", name: "payloads_on_page_are_parsed" },
    'roomer-proto/EXTENDED.md: {"back":': { file: "roomer-hub/testkit/src/tests/members.rs", name: "payloads_on_page_are_parsed" },
    'roomer-proto/EXTENDED.md: {"count":': { file: "roomer-hub/testkit/src/tests/members.rs", name: "payloads_on_page_are_parsed" },
    'roomer-proto/EXTENDED.md: {"code":"refused"': { file: "roomer-hub/testkit/src/tests/requests.rs", name: "only_extended_clients_get_errors_for_rejected_packets" },
    'roomer-proto/kit/README.md: {"on":"ready"': { file: "js/test/support/conformance-client.js", name: 'tell("ready"' },
    "js/RECIPES.md: <!-- Lobby.vue -->": { file: "js/test/recipes.test.js", name: "joins, shows members and messages" },
    "js/RECIPES.md: <!-- Lobby.svelte -->": { file: "js/test/recipes.test.js", name: "joins, shows members and messages" },
    "js/README.md: <!DOCTYPE html>": { file: "js/test/browser/tutorial.browser.test.js" },
    "roomer-tokio/cli/SERVER.md: roomer: roomer.toml:7": { file: "roomer-tokio/cli/tests/configuration.rs", name: "documented_file_and_mistake_are_accurate" },
    'roomer-tokio/cli/SERVER.md: expected = "v1="': { file: "roomer-tokio/cli/tests/examples.rs", name: "webhook_receiver_decides_and_rejects_forged_requests" },
    "roomer-tokio/guide/tuning.md: ulimit ": { why: "three settings of three systems, each of which needs another machine" },
    "roomer-tokio/guide/tuning.md: location /ws {": { file: "js/test/field/proxy.test.js", name: "the settings of the guide" }
};

/** The files and packages that the commands of each page have created so far. Blocks are checked in order. */
const made = new Map();
const madeOn = (page) => made.get(page) ?? made.set(page, new Set()).get(page);

const checks = {
    rust({ page, flags }) {
        const included = listFiles("*.rs").some((file) => [...read(file).matchAll(/#!?\[doc = include_str!\("([^"]+)"\)\]/g)].some(([, path]) => join(dirname(file), path) === page));
        return [
            !included && "no crate's documentation includes the page, so no test compiles it",
            flags.includes("ignore") && "it is ignored"
        ];
    },
    sh: ({ page, code }) => checkCommands(code, madeOn(page), homeOf(page)),
    async js({ page, code, language }) {
        try {
            // A block may use names that it does not declare, but must not import names that the package does not export.
            await build({
                stdin: { contents: code, loader: language === "js" ? "jsx" : language === "ts" ? "ts" : "tsx", resolveDir: `${ROOT}js/test` },
                bundle: true, write: false, format: "esm", logLevel: "silent", target: "es2022",
                external: ["react", "react-dom", "react/*", "react-dom/*", "vue", "svelte", "svelte/*", "node:*", "ws"],
                plugins: [{
                    name: "files",
                    setup(plugin) {
                        plugin.onResolve({ filter: /^\.\/roomer(\.min)?\.js$/ }, ({ path }) => ({ path: `${ROOT}js/src/${path === "./roomer.js" ? "compat/roomer" : "index"}.js` }));
                        // The import may refer to another block of the page, which begins with the file's name.
                        plugin.onResolve({ filter: /^\.\// }, ({ path }) => (blocksOf(page).some((block) => block.code.startsWith(`// ${path.slice(2)}\n`)) ? { path, external: true } : undefined));
                    }
                }]
            });
            return [];
        } catch (error) {
            return error.errors.map(({ text }) => text);
        }
    },
    toml({ code }) {
        const crates = [...code.matchAll(/^(roomer-\w+) = /gm)].map(([, name]) => name);
        const features = [...code.matchAll(/^(roomer-\w+) = .*features = \[([^\]]*)\]/gm)].flatMap(([, crate, list]) => [...list.matchAll(/"([\w-]+)"/g)].map(([, feature]) => [crate, feature]));
        return [
            ...crates.filter((name) => listFiles(`${name}/Cargo.toml`).length === 0).map((name) => `no crate ${name}`),
            ...features.filter(([crate, feature]) => !new RegExp(`^${feature} = `, "m").test(read(`${crate}/Cargo.toml`))).map(([crate, feature]) => `${crate} has no feature ${feature}`)
        ];
    }
};
Object.assign(checks, { ts: checks.js, tsx: checks.js, jsx: checks.js, bash: checks.sh, console: checks.sh });

describe("each block of code on a page", () => {
    test("is found", () => {
        for (const [languages, least] of [[["rust"], 15], [["js", "ts", "jsx", "tsx"], 8], [["sh"], 10]]) {
            assert.ok(of(...languages).length >= least, `${of(...languages).length} blocks of ${languages}`);
        }
        assert.equal(blocks.filter(({ page }) => page === "CONTRIBUTING.md").length, 1);
    });

    for (const block of blocks.filter(({ language }) => language in checks)) {
        test(`${block.page}:${block.line} (${block.language}) compiles, or names existing programs`, async () => {
            assert.deepEqual((await checks[block.language](block)).filter(Boolean), []);
        });
    }

    test("of a page with its own test is excluded", () => {
        for (const [page, file] of Object.entries(WALKED)) {
            assert.ok(blocksOf(page).length > 0 && read(file).includes(page), page);
        }
    });

    test("in another language has its own test or a reason", () => {
        const others = blocks.filter(({ language }) => !(language in checks));
        const keys = others.map(({ key }) => key);
        const starts = Object.keys(WITNESSES);
        assert.deepEqual(keys.filter((key) => !starts.some((start) => key.startsWith(start))), [], "blocks without a test");
        assert.deepEqual(starts.filter((start) => !keys.some((key) => key.startsWith(start))), [], "tests without a block");
        for (const { file, name = "", why } of Object.values(WITNESSES)) {
            assert.ok(why || read(file).includes(name), `${file} has no test "${name}"`);
        }
    });
});

describe("each command on a page", () => {
    const testsOf = (command) => COMMANDS.filter((each) => each.command.test(command));
    const commands = blocks.filter(({ language }) => checks[language] === checks.sh).flatMap(({ page, line, code }) => commandsOf(code).map((command) => ({ command, where: `${page}:${line}: ${command}` })));

    test("is run by a test, or has a reason why not", () => {
        assert.ok(commands.length > 80, `${commands.length} commands`);
        assert.deepEqual(commands.filter(({ command }) => testsOf(command).length !== 1).map(({ where, command }) => `${where}: ${testsOf(command).length} entries in support/command-tests.js`), []);
    });

    test("has a test that exists", () => {
        for (const { command, file, name = "", why } of COMMANDS) {
            assert.ok(commands.some((each) => command.test(each.command)), `no page has the command ${command}`);
            assert.ok(file ? name && read(file).includes(name) : why, `${command}: ${file} has no test "${name}"`);
        }
    });

    test("without a test is found", () => {
        for (const command of ["roomer tail ws://127.0.0.1:8080/ws lobby --count 1", "cargo run --release -p roomer-simulator --bin sim -- --seeds 1 --nothing", ".ci/test --nothing"]) {
            assert.deepEqual(testsOf(command), []);
        }
    });
});

describe("the check of commands", () => {
    test("finds unknown commands", () => {
        const wrong = {
            "cargo run -p roomer-tokio --example chatt": "example chatt",
            "cargo run -p roomer-tokyo --example chat": "package roomer-tokyo",
            "cargo run -p roomer-tokio --example chat -- --colour red": "flag --colour",
            "cargo test -p roomer-tokio --test chaoss": "test chaoss",
            "cargo test -p roomer-tokio --features tlss": "feature tlss",
            "cargo flunk": "cargo flunk",
            "cargo fuzz run -s none nothing -- -max_total_time=60": "fuzz target nothing",
            "(cd js && npm run test:phone)": "npm script test:phone",
            "node roomer-proto/kit/runn.mjs": "script roomer-proto/kit/runn.mjs",
            "X=1 .ci/tset": ".ci/tset",
            "npm pack ../roomer/jss": "package ../roomer/jss",
            "rm -rf target": "program rm",
            "cargo run -p roomer-simulator --bin sin": "bin sin",
            "cargo run -p roomer-hub": "program to run",
            "cargo run --release -p roomer-simulator --bin sim -- --seeds 1 --fulll": "flag --fulll of sim",
            "cargo run --release -p roomer-simulator --bin sim -- --seeds": "value of --seeds",
            "cargo run -p roomer-application -- cert.pem": "argument key.pem",
            "cargo run -p roomer-tokio --example chat -- red": "argument red",
            "cargo run -p roomer-tokio --example chat --relase": "flag --relase",
            "cargo run -p roomer-smol --example chat --features axum": "feature axum",
            "cargo test -p roomer-smol --test tokio_chaos": "test tokio_chaos",
            "cargo test -p roomer-conformance --test tokio_chaos soaks": "test named soaks",
            "cargo test -p roomer-hub -- --nocapturee": "flag --nocapturee",
            "cargo install --locked --path roomer-tokio/clii": "package in roomer-tokio/clii",
            "cargo build --target x86_64-unknown-linux-musk": "target x86_64-unknown-linux-musk",
            "cargo update everything": "argument everything",
            "UPDATE_HASHED=1 cargo test": "variable UPDATE_HASHED",
            "target/release/examples/chat": "target/release/examples/chat before it is built",
            "cargo build -p roomer-load\ntarget/release/load fanout": "target/release/load before it is built",
            "cargo build --release -p roomer-load\ntarget/release/load fanuot": "argument fanuot",
            "cargo build --release -p roomer-load\ntarget/release/load fanout --member 3": "flag --member",
            "roomer tail ws://127.0.0.1:8080/ws lobby": "roomer before it is installed",
            "cargo install --path roomer-tokio/cli\nroomer serve room.toml": "file room.toml",
            "npm run test:browser": "package in .",
            "cd jss": "folder jss",
            "(cd js && npm instal)": "npm instal",
            "(cd js && npm ci --fast)": "flag --fast",
            "npm init -y\nnpm install ./roomer-0.1.0.tgz": "package ./roomer-0.1.0.tgz",
            "curl http://127.0.0.1:9091/metrics": "page 127.0.0.1:9091/metrics",
            "curl http://127.0.0.1:9090/v2/rooms": "page 127.0.0.1:9090/v2/rooms",
            "curl --fast http://127.0.0.1:9090/metrics": "flag --fast",
            ".ci/autobahn --shorter": "flag --shorter",
            ".ci/bench --peers .ci/peers.json": "file .ci/peers.json",
            "git clone elsewhere": "program git clone",
            "echo 'open": "unexpected EOF"
        };
        for (const [command, problem] of Object.entries(wrong)) {
            assert.ok(checkCommands(command).some((found) => found.includes(problem)), `${command}: ${checkCommands(command)}`);
        }
    });
});
