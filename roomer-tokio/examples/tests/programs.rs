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
    ("an_address_in_use_is_named", || cases::an_address_in_use_is_named(NAMES)),
    ("a_client_reports_errors_in_one_line", || cases::a_client_reports_errors_in_one_line("bot")),
    ("files_of_tls_are_named_before_it_listens", || {
        cases::files_of_tls_are_named_before_it_listens("tls");
    }),
    ("a_short_secret_is_refused", || cases::a_short_secret_is_refused("jwt")),
    ("a_signal_drains_the_server", || cases::a_signal_drains_the_server(SERVERS)),
    ("a_second_signal_ends_the_process_at_once", cases::a_second_signal_ends_the_process_at_once),
    ("process_1_ends_on_sigterm", cases::process_1_ends_on_sigterm),
    ("the_chat_names_a_wrong_option", cases::the_chat_names_a_wrong_option),
    ("the_chat_warns_with_its_own_flags", cases::the_chat_warns_with_its_own_flags),
    ("the_chat_works_behind_a_proxy", cases::the_chat_works_behind_a_proxy),
    (
        "the_descriptor_limit_is_raised_or_reported",
        cases::the_descriptor_limit_is_raised_or_reported,
    ),
    ("a_balancer_skips_backends_that_refuse", cluster::a_balancer_skips_backends_that_refuse),
    ("containers_use_options_that_there_are", || {
        cluster::containers_use_options_that_there_are(COMPOSE);
    }),
    ("a_script_starts_a_cluster", || cluster::a_script_starts_a_cluster(SCRIPT)),
    ("a_script_names_the_missing_program", || cluster::a_script_names_the_missing_program(SCRIPT)),
];

fn main() -> ExitCode {
    roomer_conformance::programs::run(EXAMPLES, CASES)
}
