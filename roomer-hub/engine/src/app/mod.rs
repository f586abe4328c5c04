//! The application's side of a server: handlers, rules and hooks, and handles to connections.

pub(crate) mod claims;
pub(crate) mod conn;
pub(crate) mod conn_table;
pub(crate) mod handler;
pub(crate) mod handler_result;
pub(crate) mod hooks;
pub(crate) mod info;
#[cfg(feature = "json")]
mod json;
pub(crate) mod message;
pub(crate) mod monitor;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod user;
