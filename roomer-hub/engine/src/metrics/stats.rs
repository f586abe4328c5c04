//! A server's statistics: its current state, and counters since the start.

use std::collections::BTreeMap;

use crate::metrics::cluster_stats::ClusterStats;
use crate::metrics::session_stats::{RefusedSessions, ReleasedSessions};
use roomer_hub::ConnId;
use roomer_hub::RejectedPackets;

/// A server's current state, and counters since its start; see
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
    /// Open sockets with a pending handshake, or with a rejection that the client has not read yet.
    pub handshakes: usize,
    /// Bytes queued for all connections.
    pub queued_bytes: usize,
    /// Bytes held by all connections. They are counted as for
    /// [`memory_budget`](crate::Builder::memory_budget), except that a buffer queued for many
    /// connections counts once for each of them.
    pub held_bytes: usize,
    /// Connections opened since the server started.
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
    /// Rejected handshakes and other rejected HTTP requests, by status. Those above a limit such as
    /// [`max_handshakes`](crate::Builder::max_handshakes) count as 429 or 503.
    pub rejected_requests: BTreeMap<u16, u64>,
    /// Connections closed by the server, by close code.
    pub closes: BTreeMap<u16, u64>,
    /// Connections closed by clients with a close frame.
    pub closed_by_peer: u64,
    /// Connections that ended without a close frame.
    pub lost: u64,
    /// Errors returned by handlers.
    pub handler_errors: u64,
    /// Panics in handlers, rules and hooks.
    pub panics: u64,
    /// Errors returned by the system when accepting a connection, for example for lack of file
    /// descriptors.
    pub accept_errors: u64,
    /// Sessions of extended clients.
    pub sessions: SessionStats,
    /// Statistics of the room histories.
    pub histories: HistoryStats,
    /// This node's cluster statistics; `None` without a cluster.
    pub cluster: Option<ClusterStats>,
}

/// Statistics of extended clients' sessions, which outlive their sockets; part of [`Stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Sessions that currently have no socket. Included in [`Stats::connections`], but not in
    /// [`Stats::sockets`].
    pub detached: usize,
    /// Sessions resumed on a new socket, on this node or on another one.
    pub resumed: u64,
    /// Sockets on this node whose sessions are on other nodes of the cluster. They are included in
    /// [`Stats::sockets`], but not in [`Stats::connections`], since the session's node counts the
    /// connection.
    pub forwarded: usize,
    /// Clients' failed attempts to resume a session, by reason.
    pub refused: RefusedSessions,
    /// Reports from other cluster nodes that a client now has a session on the reporting node, by
    /// effect.
    pub released: ReleasedSessions,
}

/// Statistics of room histories ([`Builder::history`](crate::Builder::history)); part of [`Stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryStats {
    /// Rooms with a history, including those without members.
    pub rooms: usize,
    /// The histories' total size in bytes.
    pub bytes: usize,
}

/// The bytes queued for one connection; see [`Server::slowest`](crate::Server::slowest).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// The connection's id.
    pub id: ConnId,
    /// Bytes queued for the connection.
    pub bytes: usize,
}
