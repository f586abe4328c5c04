//! The examples on smol, as modules, so that tests and programs can run them.
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr)]

pub mod chat;
pub mod smol_ticker;
pub mod smol_tls;
