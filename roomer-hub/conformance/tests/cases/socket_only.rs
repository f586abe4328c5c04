//! The cases that run only over sockets, because they do not depend on the transport.
//!
//! They test the effects of packets, handlers and rules. The cases in `mod.rs`, which also run over
//! streams, test timers, the end of connections, and how bytes are read, written, queued and
//! limited.

use crate::conformance::{Harness, members, memory, rules_async, slow, test_server};

mod authorize_async;
mod compat;
mod deflate;
mod direct;
pub(crate) mod dropped;
mod handlers;
mod joining;
mod json;
mod metrics;
mod names;
mod origin;
mod packets;
mod pages;
mod presence;
mod rates;
mod requests;
mod rules;
mod sessions;
mod subprotocols;
pub(crate) mod traces;
mod warnings;
