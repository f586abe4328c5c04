//! Statistics, warnings and `tracing` events from a running server.

pub(crate) mod cluster_stats;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "prometheus")]
mod prometheus;
pub(crate) mod session_stats;
pub(crate) mod stats;
pub(crate) mod trace;
pub(crate) mod warning;
mod warning_reason;
