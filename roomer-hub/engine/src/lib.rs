//! The engine that both adapters share: everything a server does between a socket and the hub,
//! with no runtime in it.
//!
//! ```text
//!            Reader                                            Writer
//!  socket ───────────▶ Connection ──▶ hub (one lock) ──▶ outboxes ───▶ sockets
//!                      a future           rules            bytes
//! ```
//!
//! An adapter accepts sockets, splits each into a [`Reader`] and a [`Writer`], spawns the
//! [`Connection`] that [`Server::connect`] gives for it, and spawns [`Server::run_timers`] once.
//! What it must not contain is anything about rooms, frames or limits.
//!
//! How a message travels: the sender's task reads it, gives it to the hub, and writes to the
//! receivers' sockets itself; a receiver's own task takes over only when its socket is full. What
//! a room owes its members is encoded once and collected until it is handed over, so that a busy
//! room costs one write per member for many messages. The hub's lock is never held across a
//! system call, a wake-up or a handler.
//!
//! A connection that takes less than it is sent is owed bytes. Up to
//! [`max_backlog`](Builder::max_backlog) that is nobody's concern. Above it, those who send to it
//! are held back for moments, so that a prompt reader catches up; one that does not is closed with
//! 1013, so that nobody waits long for it.

mod app;
#[cfg(feature = "audit")]
mod audit;
mod builder;
mod connection;
mod core;
mod env;
mod handshake;
#[cfg(feature = "audit")]
mod journal;
mod lifecycle;
#[cfg(all(test, roomer_loom))]
mod loom_models;
mod metrics;
mod outbound;
// Its example needs the test kit: roomer-conformance runs it.
#[cfg_attr(not(doctest), doc = include_str!("../guide/scope.md"))]
pub mod scope {}
mod server;
mod sync;
mod timer;
mod transport;
mod upgrade;

pub use bytes::Bytes;
pub use bytestring::ByteString;
pub use http;
pub use roomer_hub::{
    ConnId, ParseConnIdError, Presence, RegisterError, RejectedPackets, contract,
};
pub use roomer_proto::PacketRef;
pub use roomer_proto::close::{self, code};
#[cfg(feature = "json")]
pub use roomer_proto::{JsonError, json};

pub use crate::app::claims::Claims;
pub use crate::app::conn::Conn;
pub use crate::app::handler::{HandlerError, HandlerPanic, HandlerResult};
pub use crate::app::handler_result::IntoHandlerResult;
pub use crate::app::hooks::DisconnectReason;
pub use crate::app::message::{Message, OwnedMessage};
#[cfg(feature = "audit")]
pub use crate::app::monitor::{HandlerFailure, HandlerMonitor, PendingHandler};
pub use crate::app::user::User;
pub use crate::builder::{BuildError, Builder};
pub use crate::connection::Connection;
pub use crate::env::{Environment, SystemEnvironment};
pub use crate::handshake::request::{AuthResult, Rejection, Request};
#[cfg(feature = "audit")]
pub use crate::journal::RecordedInput;
pub use crate::lifecycle::drain::DrainReport;
pub use crate::metrics::stats::{Backlog, Stats};
pub use crate::metrics::warning::{Warning, WarningCause};
pub use crate::server::Server;
#[cfg(feature = "tls")]
pub use crate::transport::tls;
pub use crate::transport::{Reader, Writer, socket, stream};
pub use crate::upgrade::Upgrade;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
