/** For each command on the pages, the test that runs it, or the reason why none can.
 *
 * A test may run the command with a debug build, with fewer seeds or for a shorter time.
 */

const CI = ".ci/test";
const RUN = "js/test/field/commands.test.js";
const TUTORIAL = { file: "js/test/browser/tutorial.browser.test.js", name: "its commands create a project from scratch" };
const LOAD = "roomer-tokio/examples/load/tests/load.rs";
const CLUSTER = { file: "roomer-tokio/examples/tests/programs.rs", name: "script_starts_cluster" };
const SOAK = "roomer-hub/conformance/tests/chaos";

const OUTSIDE = "it changes a registry or a repository on another machine";
const FILES = "it rewrites the files with which the same test compares its output";
const MUTANTS = "it runs for hours";
const RELEASE = "it builds in release mode, which takes minutes; the same target is built and run in debug mode";

/**
 * Each entry has a pattern of whole commands, and the file with the name of the test in it, or with the line that runs the command.
 * `why` is the reason if no test runs the command itself.
 */
export const COMMANDS = [
    // Everything that CI runs.
    { command: /^cd \w+$/, why: "checked for existence" },
    { command: /^(FUZZ_SECONDS=\d+ )?\.ci\/test$/, file: ".ci/run", name: '/test"' },
    { command: /^cargo test (--workspace --all-features --tests|-p roomer-simulator)$/, file: CI, name: "cargo test --workspace --all-features --tests\n" },
    { command: /^npm ci$/, file: CI, name: "(cd js && npm ci" },
    { command: /^npm test$/, file: CI, name: "-exec node --experimental-websocket --test {} +" },
    { command: /^npm run test:browser$/, file: CI, name: "npm run test:browser\n" },
    { command: /^npm run test:field$/, file: CI, name: "npm run test:field\n" },
    { command: /^\.ci\/chats$/, file: CI, name: "    .ci/chats\n" },
    { command: /^\.ci\/web$/, file: CI, name: "    .ci/web\n" },
    { command: /^cargo build -p roomer-cli$/, file: CI, name: "--bin roomer" },
    { command: /^RUSTFLAGS='--cfg roomer_loom' .* --lib loom_models$/, file: CI, name: "-p roomer-engine --lib loom_models\n" },
    { command: /^\.ci\/instructions \[--update\]$/, file: CI, name: "    .ci/instructions\n" },
    { command: /^\.ci\/api \[--update\]$/, file: CI, name: "    .ci/api\n" },
    { command: /^\.ci\/package$/, file: CI, name: "    .ci/package\n" },
    { command: /^\.ci\/autobahn$/, file: CI, name: ".ci/autobahn --short\n" },
    { command: /^cargo fuzz run -s none decode /, file: CI, name: "fuzz decode " },
    { command: /^cargo deny check$/, file: CI, name: "bans licenses sources\n" },
    { command: /^cargo run --example lost_update -p roomer-testkit$/, file: CI, name: "target/debug/examples/lost_update\n" },
    { command: /^UPDATE_SCREENSHOTS=1 npm run test:browser$/, file: CI, name: "npm run test:browser\n", why: FILES },
    { command: /^UPDATE_TRANSCRIPTS=1 cargo test -p roomer-hub$/, file: "roomer-hub/tests/transcripts.rs", name: "UPDATE_TRANSCRIPTS", why: FILES },
    { command: /^UPDATE_HASHES=1 cargo test -p roomer-simulator( --test hub)?$/, file: "roomer-hub/simulator/tests/hub.rs", name: "hashes_match_committed_hashes", why: FILES },

    // The simulator, and tests that run longer on request.
    { command: /^cargo run --release -p roomer-simulator --bin sim -- --seeds \d+( --start \d+| \[--full\]| --(guests|requests|members|sessions|cluster|full|client|scripted))?$/, file: "roomer-hub/simulator/tests/program.rs", name: "fn each_mode_runs_seeds" },
    { command: /^SIM_DEEP=1 cargo test .* --test hub$/, file: "roomer-hub/simulator/tests/hub.rs", name: "all_interleavings_of_two_clients_pass", why: "it explores three clients for minutes; the test explores two" },
    { command: /^SIM_DEEP=1 cargo test .* guests::$/, file: "roomer-hub/simulator/tests/guests.rs", name: "SIM_DEEP", why: "it explores for minutes; the test explores fewer guests" },
    { command: /^ROOMER_CHAOS_SECONDS=60 cargo test .* soak -- --nocapture$/, file: `${SOAK}/soak.rs`, name: "ROOMER_CHAOS_SECONDS" },
    { command: /^ROOMER_CHAOS_SECONDS=60 ROOMER_CHAOS_CLIENTS=300 cargo test .* sessions -- --nocapture$/, file: `${SOAK}/sessions/soak.rs`, name: "sessions_survive_proxy_dropping_connections" },
    { command: /^ROOMER_CHAOS_SECONDS=60 ROOMER_CHAOS_SEED=9 cargo test .* cluster_chaos -- --nocapture$/, file: "roomer-hub/conformance/tests/cluster_chaos.rs", name: "nats_losses_are_visible_and_nodes_converge" },
    { command: /^node roomer-proto\/kit\/run\.mjs target\/debug\/kit_client$/, file: "roomer-hub/conformance/tests/kit.rs", name: "rust_client_passes_kit" },
    { command: /^node roomer-proto\/kit\/run\.mjs \.\/my-client /, file: "js/test/conformance.test.js", name: "run.mjs" },
    { command: /^cargo mutants /, why: MUTANTS },

    // Measurements. CI's lints compile the benchmarks.
    { command: /^cargo bench -p roomer-(hub|conformance) --bench (hub|cluster)$/, file: CI, name: "cargo clippy --workspace --all-targets --all-features", why: "it measures, which needs a quiet machine; CI compiles it" },
    { command: /^\.ci\/bench( --extended .*)?$/, file: RUN, name: "benchmarks are measured and printed" },
    { command: /^\.ci\/plot\.py$/, file: RUN, name: "the page of benchmarks contains what was measured" },
    { command: /^PEERS=DIRECTORY \.ci\/bench /, why: "it needs servers and a generator that the reader provides" },
    { command: /^cargo build --release -p roomer-load$/, file: LOAD, name: "CARGO_BIN_EXE_load", why: RELEASE },
    { command: /^target\/release\/examples\/chat --quiet( --no-presence root)?$/, file: RUN, name: "benchmarks are measured and printed", why: RELEASE },
    { command: /^target\/release\/load --pid \$! fanout /, file: LOAD, name: "extended_clients_lose_nothing_and_have_correct_members", why: RELEASE },
    { command: /^target\/release\/load --pid \$! resume /, file: LOAD, name: "sessions_resume_after_all_sockets_are_cut", why: RELEASE },

    // The chat and the cluster.
    { command: /^cargo (run|build) --release -p roomer-tokio --example chat$/, file: "js/test/served.e2e.test.js", name: "each module of the client is served", why: RELEASE },
    { command: /^cargo run .* --example chat -- --allow-origin http:\/\/localhost:5173$/, file: TUTORIAL.file, name: 'startServer("--allow-origin"', why: RELEASE },
    { command: /^roomer-tokio\/examples\/cluster\/run$/, ...CLUSTER },
    { command: /^cargo run .* --example chat -- --listen 127\.0\.0\.1:8081 --cluster nats:.* --node a$/, ...CLUSTER, why: RELEASE },
    { command: /^npm (init -y|pack \.\.\/roomer\/js|install \.\/roomer-0\.1\.0\.tgz|install --save-dev vite)$/, ...TUTORIAL },

    // The command line.
    { command: /^cargo install --locked --path roomer-tokio\/cli$/, file: "js/test/browser/guide.browser.test.js", name: "works line by line", why: RELEASE },
    { command: /^roomer serve( --print-config( > roomer\.toml)?| roomer\.toml)?$/, file: RUN, name: "a server runs with and without a configuration" },
    { command: /^roomer tail ws:\/\/127\.0\.0\.1:8080\/ws lobby( --members)?$/, file: RUN, name: "a message is sent and printed" },
    { command: /^roomer send ws:\/\/127\.0\.0\.1:8080\/ws lobby chat 'hello'$/, file: RUN, name: "a message is sent and printed" },
    { command: /^(export ROOMER_TOKEN=|git log -1 --format=|roomer (send|tail) wss:\/\/example\.org\/ws deployments )/, file: RUN, name: "a script reports a deployment" },
    { command: /^curl .*http:\/\/127\.0\.0\.1:9090\/v1\//, file: RUN, name: "a backend calls the HTTP API" },
    { command: /^\.ci\/image$/, why: "it needs root, and builds with musl in release mode" },
    { command: /^rustup target add x86_64-unknown-linux-musl$|^cargo build .* --target x86_64-unknown-linux-musl$/, why: "it needs musl's C compiler, and builds in release mode" },

    // Releases.
    { command: /^cargo package -p roomer-proto --list$/, file: RUN, name: "each crate's package lists its files" },
    { command: /^cargo publish --workspace --dry-run$/, file: ".ci/package", name: "cargo package ", why: "it builds each crate once more; the script packs, lints and tests them" },
    { command: /^npm publish --dry-run$/, file: ".ci/package", name: "npm pack ", why: "it queries the registry; the script packs and checks the same files" },
    { command: /^(cargo update --workspace|npm install --package-lock-only)$/, why: "it changes the committed lock files" },
    { command: /^(cargo publish --workspace|npm publish|git push --follow-tags)$/, why: OUTSIDE },
    { command: /^git (commit|tag) -a /, why: "it records a release" }
];
