//! The parts of the examples that are the same on both runtimes.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "chat")]
pub mod chat;
#[cfg(feature = "game")]
pub mod game;
#[cfg(feature = "jwt")]
pub mod hs256;
#[cfg(feature = "chat")]
mod pages;
pub mod program;
#[cfg(feature = "chat")]
mod trial;
