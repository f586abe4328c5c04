//! The application's functions: handlers, rules and hooks. They take a [`Conn`](crate::Conn), and with
//! it a handle to the server that calls them.

pub(crate) mod handler;
pub(crate) mod hooks;
