//! Tests the command lines of the examples. The cases are in `roomer_conformance::programs`.
#![cfg(unix)]

use std::process::ExitCode;

use roomer_conformance::programs::{Case, Example, cases};
use roomer_smol_examples::{chat, smol_ticker, smol_tls};

const EXAMPLES: &[Example] =
    &[("chat", chat::main), ("smol_ticker", smol_ticker::main), ("smol_tls", smol_tls::main)];

const NAMES: &[&str] = &["chat", "smol_ticker", "smol_tls"];

const CASES: &[Case] = &[
    ("errors_are_reported_in_one_line", || cases::errors_are_reported_in_one_line(NAMES)),
    ("help_and_version_are_printed", || cases::help_and_version_are_printed(NAMES)),
    ("address_in_use_is_reported", || cases::address_in_use_is_reported(NAMES)),
    ("tls_files_are_checked_before_listening", || {
        cases::tls_files_are_checked_before_listening("smol_tls");
    }),
    ("signal_drains_server", || cases::signal_drains_server(NAMES)),
    ("second_signal_ends_process_immediately", cases::second_signal_ends_process_immediately),
    ("process_1_ends_on_sigterm", cases::process_1_ends_on_sigterm),
    ("chat_names_wrong_option", cases::chat_names_wrong_option),
    ("chat_warnings_name_its_flags", cases::chat_warnings_name_its_flags),
    ("chat_works_behind_proxy", cases::chat_works_behind_proxy),
    ("descriptor_limit_is_raised_or_reported", cases::descriptor_limit_is_raised_or_reported),
];

fn main() -> ExitCode {
    roomer_conformance::programs::run(EXAMPLES, CASES)
}
