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
    ("an_address_in_use_is_named", || cases::an_address_in_use_is_named(NAMES)),
    ("files_of_tls_are_named_before_it_listens", || {
        cases::files_of_tls_are_named_before_it_listens("smol_tls");
    }),
    ("a_signal_drains_the_server", || cases::a_signal_drains_the_server(NAMES)),
    ("a_second_signal_ends_the_process_at_once", cases::a_second_signal_ends_the_process_at_once),
    ("process_1_ends_on_sigterm", cases::process_1_ends_on_sigterm),
    ("the_chat_names_a_wrong_option", cases::the_chat_names_a_wrong_option),
    ("the_chat_warns_with_its_own_flags", cases::the_chat_warns_with_its_own_flags),
    ("the_chat_works_behind_a_proxy", cases::the_chat_works_behind_a_proxy),
    (
        "the_descriptor_limit_is_raised_or_reported",
        cases::the_descriptor_limit_is_raised_or_reported,
    ),
];

fn main() -> ExitCode {
    roomer_conformance::programs::run(EXAMPLES, CASES)
}
