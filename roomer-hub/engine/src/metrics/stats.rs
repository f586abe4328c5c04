//! Statistics: the current state, and counters since the start.

use std::collections::BTreeMap;

use crate::metrics::cluster_stats::ClusterStats;
use crate::session::RefusedSessions;
use crate::session::release::ReleasedSessions;
use roomer_hub::ConnId;
use roomer_hub::RejectedPackets;

/// The current state of a server, and counters since its start; see
/// [`Server::stats`](crate::Server::stats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections in the hub.
    pub connections: usize,
    /// Rooms, including `root`.
    pub rooms: usize,
    /// Memberships: each connection counts once for each room that it is in.
    pub memberships: usize,
    /// Open sockets: connections, handshakes and closing connections.
    pub sockets: usize,
    /// Open sockets with a handshake in progress, or rejected with a response that is not yet read.
    pub handshakes: usize,
    /// Bytes queued for writing, of all connections.
    pub queued_bytes: usize,
    /// Bytes held by connections, as [`memory_budget`](crate::Builder::memory_budget) counts them,
    /// except that a buffer queued for many connections counts for each of them.
    pub held_bytes: usize,
    /// Connections opened since the start.
    pub opened: u64,
    /// Packets received from clients.
    pub messages_in: u64,
    /// Bytes received from clients, including frame headers and excluding handshakes.
    pub bytes_in: u64,
    /// Packets queued for clients, counted for each receiver.
    pub messages_out: u64,
    /// Bytes written to sockets.
    pub bytes_out: u64,
    /// Packets rejected by the hub, by reason.
    pub rejected_packets: RejectedPackets,
    /// Rejected handshakes and other HTTP requests, by status. Those above a limit such as
    /// [`max_handshakes`](crate::Builder::max_handshakes) count as 429 and 503.
    pub rejected_requests: BTreeMap<u16, u64>,
    /// Connections closed by the server, by close code.
    pub closes: BTreeMap<u16, u64>,
    /// Connections closed by clients with a close frame.
    pub closed_by_peer: u64,
    /// Connections that ended without a close frame.
    pub lost: u64,
    /// Errors returned by handlers.
    pub handler_errors: u64,
    /// Panics of handlers, rules and hooks.
    pub panics: u64,
    /// Failures of the system to accept a connection, for example for lack of file descriptors.
    pub accept_errors: u64,
    /// Sessions of extended clients.
    pub sessions: SessionStats,
    /// The messages that rooms remember.
    pub histories: HistoryStats,
    /// The node's part of a cluster; `None` without one.
    pub cluster: Option<ClusterStats>,
}

/// Sessions of extended clients, which outlive their sockets; part of [`Stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Sessions that currently have no socket. They are among [`Stats::connections`], but not among
    /// [`Stats::sockets`].
    pub detached: usize,
    /// Sessions that were continued on a new socket.
    pub resumed: u64,
    /// Clients that could not return to their sessions, by reason.
    pub refused: RefusedSessions,
    /// Reports of other nodes of a cluster that a client has returned to them, by their effect.
    pub released: ReleasedSessions,
}

/// The memories of rooms ([`Builder::history`](crate::Builder::history)); part of [`Stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryStats {
    /// Rooms that are remembered, including those without members.
    pub rooms: usize,
    /// Bytes of all memories.
    pub bytes: usize,
}

/// The bytes queued for one connection; see [`Server::slowest`](crate::Server::slowest).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// The connection's id.
    pub id: ConnId,
    /// Bytes queued for writing.
    pub bytes: usize,
}
