//! The engine shared by both adapters: what a server does between a socket and the hub.
//!
//! It is independent of the async runtime.
//!
//! ```text
//!  transport ──▶ connection/ ──▶ core/ (one lock) ──▶ outbound/ ──▶ transports
//!                a future        the hub's rules      batches, outboxes
//! ```
//!
//! An adapter accepts sockets, implements [`Transport`] for them, and spawns the [`Connection`] that
//! [`Server::connect`] returns. It spawns [`Server::run_timers`] once per server and, on a
//! multi-threaded runtime, [`Server::run_flush_worker`] once per thread. An adapter contains no
//! code about rooms, frames or limits.
//!
//! A message is processed in three steps:
//!
//! 1. `connection/`: the sender's task reads bytes, decodes packets and passes them to the hub. It
//!    also runs the application's rules and handlers, outside the lock.
//! 2. `core/`: under the lock, the hub accepts or rejects the packet. A message to a room is
//!    encoded once and added to the room's batch.
//! 3. `outbound/`: batches move to the members' outboxes, and the sender's task writes the outboxes
//!    to the sockets (`outbound/flush.rs`). A receiver's own task takes over only when its socket is full.
//!
//! With batching, many messages to a busy room cost one write per member. The lock is never held across
//! a system call, a wake-up or a handler.
//!
//! `server/` contains the public handles, and `app/` the values that they exchange with the
//! application. Behind them, `shared/` contains the state shared by the tasks of one server.
//!
//! A connection that reads more slowly than messages arrive accumulates a backlog. Up to
//! [`max_backlog`](Builder::max_backlog) this has no effect. Above it, the server briefly pauses
//! reading from the connections that send to it, so that a receiver that keeps reading can catch
//! up. If the receiver does not catch up, it is closed with 1013, which limits how long its senders
//! wait.

mod app;
mod builder;
mod callbacks;
#[cfg(feature = "client")]
pub mod client;
pub mod cluster;
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
mod options;
mod outbound;
// The example in this module's documentation needs the test kit, so roomer-conformance runs it.
#[cfg_attr(not(doctest), doc = include_str!("../guide/scope.md"))]
pub mod scope {}
mod server;
mod session;
mod shared;
mod sync;
mod timer;
mod transport;
mod tunnel;
mod upgrade;

pub use bytes::Bytes;
pub use bytestring::ByteString;
pub use http;
pub use roomer_hub::{
    ConnId, History, Info, InvalidInfo, Order, ParseConnIdError, Presence, RegisterError,
    RejectedPackets, contract,
};
pub use roomer_proto::PacketRef;
pub use roomer_proto::close::{self, code};
#[cfg(feature = "json")]
pub use roomer_proto::{JsonError, json};

pub use crate::app::call::{HandlerError, HandlerPanic, HandlerResult};
pub use crate::app::claims::{Claims, ClaimsIter};
pub use crate::app::disconnect::DisconnectReason;
pub use crate::app::handler_result::IntoHandlerResult;
pub use crate::app::message::{Message, OwnedMessage};
#[cfg(feature = "audit")]
pub use crate::app::monitor::{HandlerFailure, HandlerMonitor, PendingHandler};
#[cfg(feature = "json")]
pub use crate::app::reply::Json;
pub use crate::app::reply::{ErrorCode, IntoReply, ReplyError};
pub use crate::app::request_error::RequestError;
pub use crate::builder::{BuildError, Builder};
pub use crate::cluster::{Cluster, ClusterInfo};
pub use crate::connection::Connection;
pub use crate::env::{Environment, SystemEnvironment};
pub use crate::handshake::request::{AuthResult, HandshakeRequest, Rejection};
#[cfg(feature = "audit")]
pub use crate::journal::RecordedInput;
pub use crate::lifecycle::drain::DrainReport;
pub use crate::metrics::cluster_stats::ClusterStats;
pub use crate::metrics::session_stats::{RefusedSessions, ReleasedSessions};
pub use crate::metrics::stats::{Backlog, HistoryStats, SessionStats, Stats};
pub use crate::metrics::warning::{Warning, WarningReason};
pub use crate::server::Server;
pub use crate::server::conn::Conn;
pub use crate::server::history::PastMessage;
pub use crate::server::info::InfoTooLong;
pub use crate::server::request::RequestFuture;
pub use crate::server::timers::TimersGuard;
pub use crate::server::user::User;
pub use crate::transport::bind::BindError;
#[doc(hidden)]
pub use crate::transport::dial::connect_first;
#[cfg(not(target_family = "wasm"))]
pub use crate::transport::socket;
#[cfg(feature = "tls")]
pub use crate::transport::tls;
pub use crate::transport::{Transport, stream};
pub use crate::upgrade::Upgrade;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
