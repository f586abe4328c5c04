//! What the application brings to a server, and what it sees of connections.

pub(crate) mod claims;
pub(crate) mod conn;
pub(crate) mod conn_table;
pub(crate) mod handler;
pub(crate) mod handler_result;
pub(crate) mod hooks;
#[cfg(feature = "json")]
mod json;
pub(crate) mod message;
pub(crate) mod monitor;
pub(crate) mod user;
