//! The examples as programs. The cases are in `roomer_conformance::programs`.
#![cfg(unix)]

use std::process::ExitCode;

use roomer_conformance::programs::{Case, Example, cases};
use roomer_tokio_examples::{admin, axum, chat, invitation, jwt, ticker, tls};

const EXAMPLES: &[Example] = &[
    ("admin", admin::main),
    ("axum", axum::main),
    ("chat", chat::main),
    ("invitation", invitation::main),
    ("jwt", jwt::main),
    ("ticker", ticker::main),
    ("tls", tls::main),
];

const NAMES: &[&str] = &["admin", "axum", "chat", "invitation", "jwt", "ticker", "tls"];

const CASES: &[Case] = &[
    ("mistakes_are_told_in_one_line", || cases::mistakes_are_told_in_one_line(NAMES)),
    ("help_and_version_are_there", || cases::help_and_version_are_there(NAMES)),
    ("an_address_in_use_is_named", || cases::an_address_in_use_is_named(NAMES)),
    ("files_of_tls_are_named_before_it_listens", || {
        cases::files_of_tls_are_named_before_it_listens("tls");
    }),
    ("signals_end_it_gently", || cases::signals_end_it_gently(NAMES)),
    ("a_second_signal_ends_it_at_once", cases::a_second_signal_ends_it_at_once),
    ("process_number_one_ends_by_sigterm", cases::process_number_one_ends_by_sigterm),
    ("the_chat_says_which_option_is_wrong", cases::the_chat_says_which_option_is_wrong),
    ("the_chat_warns_with_its_own_flags", cases::the_chat_warns_with_its_own_flags),
    ("the_chat_stands_behind_a_proxy", cases::the_chat_stands_behind_a_proxy),
    ("descriptors_are_raised_or_missed", cases::descriptors_are_raised_or_missed),
];

fn main() -> ExitCode {
    roomer_conformance::programs::run(EXAMPLES, CASES)
}
