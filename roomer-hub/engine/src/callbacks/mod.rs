//! The application's functions: handlers, rules and hooks.
//!
//! They take a [`Conn`](crate::Conn), which includes a handle to the calling server.

pub(crate) mod handler;
pub(crate) mod hooks;
