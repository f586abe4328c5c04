//! Tests the command lines of the examples. The cases are in `roomer_conformance::programs`.
#![cfg(unix)]

use std::process::ExitCode;

use roomer_conformance::programs::{Case, Example, cases, cluster};
use roomer_tokio_examples::{admin, axum, balance, bot, chat, invitation, jwt, ticker, tls};

const EXAMPLES: &[Example] = &[
    ("admin", admin::main),
    ("axum", axum::main),
    ("balance", balance::main),
    ("bot", bot::main),
    ("chat", chat::main),
    ("invitation", invitation::main),
    ("jwt", jwt::main),
    ("ticker", ticker::main),
    ("tls", tls::main),
];

/// The script that starts two chat servers behind a load balancer.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/run");

/// The Compose file that starts two chat servers behind a load balancer, in containers.
const COMPOSE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/compose.yaml");

const NAMES: &[&str] = &["admin", "axum", "balance", "chat", "invitation", "jwt", "ticker", "tls"];
const SERVERS: &[&str] = &["admin", "axum", "chat", "invitation", "jwt", "ticker", "tls"];

const CASES: &[Case] = &[
    ("errors_are_reported_in_one_line", || cases::errors_are_reported_in_one_line(NAMES)),
    ("help_and_version_are_printed", || cases::help_and_version_are_printed(NAMES)),
    ("address_in_use_is_reported", || cases::address_in_use_is_reported(NAMES)),
    ("client_reports_errors_in_one_line", || cases::client_reports_errors_in_one_line("bot")),
    ("tls_files_are_checked_before_listening", || {
        cases::tls_files_are_checked_before_listening("tls");
    }),
    ("short_secret_is_rejected", || cases::short_secret_is_rejected("jwt")),
    ("signal_drains_server", || cases::signal_drains_server(SERVERS)),
    ("second_signal_ends_process_immediately", cases::second_signal_ends_process_immediately),
    ("process_1_ends_on_sigterm", cases::process_1_ends_on_sigterm),
    ("chat_names_wrong_option", cases::chat_names_wrong_option),
    ("chat_warnings_name_its_flags", cases::chat_warnings_name_its_flags),
    ("chat_works_behind_proxy", cases::chat_works_behind_proxy),
    ("descriptor_limit_is_raised_or_reported", cases::descriptor_limit_is_raised_or_reported),
    ("balancer_skips_refusing_backends", cluster::balancer_skips_refusing_backends),
    ("containers_use_existing_options", || {
        cluster::containers_use_existing_options(COMPOSE);
    }),
    ("script_starts_cluster", || cluster::script_starts_cluster(SCRIPT)),
    ("script_names_missing_program", || cluster::script_names_missing_program(SCRIPT)),
];

fn main() -> ExitCode {
    roomer_conformance::programs::run(EXAMPLES, CASES)
}
