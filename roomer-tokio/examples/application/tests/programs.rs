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
    ("an_address_in_use_is_named", || cases::an_address_in_use_is_named(NAMES)),
    ("files_of_tls_are_named_before_it_listens", || {
        cases::files_of_tls_are_named_before_it_listens(NAMES[0]);
    }),
    ("a_database_is_named_before_it_listens", || {
        cases::a_database_is_named_before_it_listens(NAMES[0]);
    }),
    ("a_short_secret_is_refused", || cases::a_short_secret_is_refused(NAMES[0])),
    ("a_signal_drains_the_server", || cases::a_signal_drains_the_server(NAMES)),
];

fn main() -> ExitCode {
    roomer_conformance::programs::run(EXAMPLES, CASES)
}
