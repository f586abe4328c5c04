//! Tests the command line of the application. The cases are in `roomer_conformance::programs`.
#![cfg(unix)]

#[path = "../src/main.rs"]
mod program;

use std::process::ExitCode;

use roomer_conformance::programs::{Case, Example, cases};

const EXAMPLES: &[Example] = &[("roomer-application", program::main)];

const NAMES: &[&str] = &["roomer-application"];

const CASES: &[Case] = &[
    ("errors_are_reported_in_one_line", || cases::errors_are_reported_in_one_line(NAMES)),
    ("help_and_version_are_printed", || cases::help_and_version_are_printed(NAMES)),
    ("address_in_use_is_reported", || cases::address_in_use_is_reported(NAMES)),
    ("tls_files_are_checked_before_listening", || {
        cases::tls_files_are_checked_before_listening(NAMES[0]);
    }),
    ("database_is_checked_before_listening", || {
        cases::database_is_checked_before_listening(NAMES[0]);
    }),
    ("short_secret_is_rejected", || cases::short_secret_is_rejected(NAMES[0])),
    ("signal_drains_server", || cases::signal_drains_server(NAMES)),
];

fn main() -> ExitCode {
    roomer_conformance::programs::run(EXAMPLES, CASES)
}
