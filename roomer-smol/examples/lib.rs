//! The examples for smol as modules, so that both programs and tests can run them.
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr)]

pub mod chat;
pub mod smol_ticker;
pub mod smol_tls;
