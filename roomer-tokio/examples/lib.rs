//! The examples for tokio as modules, so that both programs and tests can run them.
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr)]

pub mod admin;
pub mod axum;
pub mod balance;
pub mod bot;
pub mod chat;
pub mod invitation;
pub mod jwt;
pub mod ticker;
pub mod tls;
