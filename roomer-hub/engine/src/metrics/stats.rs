//! Statistics: the current state, and counters since the start.

use std::collections::BTreeMap;

use crate::Server;
use crate::metrics::cluster_stats::ClusterStats;
use crate::session::RefusedSessions;
use crate::session::release::ReleasedSessions;
use roomer_hub::ConnId;
use roomer_hub::RejectedPackets;

/// The current state of a server, and counters since its start; see [`Server::stats`].
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

/// The bytes queued for one connection; see [`Server::slowest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// The connection's id.
    pub id: ConnId,
    /// Bytes queued for writing.
    pub bytes: usize,
}

/// The counters that are updated under the core's lock.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) opened: u64,
    pub(crate) messages_in: u64,
    pub(crate) bytes_in: u64,
    pub(crate) messages_out: u64,
    /// Bytes written to connections that have ended; outboxes count for open ones.
    pub(crate) bytes_out: u64,
    pub(crate) closes: BTreeMap<u16, u64>,
    pub(crate) by_peer: u64,
    pub(crate) lost: u64,
    pub(crate) handler_errors: u64,
    pub(crate) panics: u64,
    pub(crate) accept_errors: u64,
}

impl Server {
    /// Returns statistics. This visits each connection, so call it every few seconds rather than for
    /// each message.
    #[must_use]
    pub fn stats(&self) -> Stats {
        // The two locks are held one after the other, so the figures may be from different moments.
        let (sockets, handshakes, rejected_requests) = self
            .0
            .lifecycle
            .with_counts(|counts| (counts.sockets(), counts.handshakes, counts.rejected().clone()));
        let core = self.core();
        let (hub, counts) = (&core.hub, &core.counts);
        let tables = hub.tables();
        let status = core.outbound.writers.values().map(|outbox| outbox.backlog());
        let (queued_bytes, written) =
            status.fold((0, 0), |(queued, sum), (bytes, written)| (queued + bytes, sum + written));
        Stats {
            connections: tables.conn_count(),
            rooms: tables.room_count(),
            memberships: tables.rooms().map(|(room, _)| tables.members(room).len()).sum(),
            sockets,
            handshakes,
            queued_bytes,
            held_bytes: self.0.budget.held(),
            opened: counts.opened,
            messages_in: counts.messages_in,
            bytes_in: counts.bytes_in,
            messages_out: counts.messages_out,
            bytes_out: counts.bytes_out + written,
            rejected_packets: hub.rejected_packets(),
            rejected_requests,
            closes: counts.closes.clone(),
            closed_by_peer: counts.by_peer,
            lost: counts.lost,
            handler_errors: counts.handler_errors,
            panics: counts.panics,
            accept_errors: counts.accept_errors,
            sessions: SessionStats {
                detached: core.sessions.detached,
                resumed: core.sessions.resumed,
                refused: core.sessions.refused,
                released: core.sessions.released,
            },
            histories: HistoryStats {
                rooms: tables.history_count(),
                bytes: tables.history_bytes(),
            },
            cluster: core.cluster.as_ref().map(|state| ClusterStats::new(state, tables)),
        }
    }

    /// Returns the maximum number of bytes that all connections together may hold: the value set by
    /// [`memory_budget`](crate::Builder::memory_budget), or the default for the available memory.
    #[must_use]
    pub fn memory_budget(&self) -> usize {
        self.options().memory_budget
    }

    /// Returns the connections with the most queued bytes, the largest first, at most `max` of them.
    /// Connections without queued bytes are left out.
    #[must_use]
    pub fn slowest(&self, max: usize) -> Vec<Backlog> {
        let core = self.core();
        let mut all: Vec<Backlog> = core
            .outbound
            .writers
            .iter()
            .filter_map(|(conn, outbox)| {
                Some(Backlog { id: core.hub.tables().conn_id(conn)?, bytes: outbox.backlog().0 })
            })
            .filter(|backlog| backlog.bytes > 0)
            .collect();
        // The id makes the order of equal ones the same in each call.
        all.sort_unstable_by_key(|backlog| (std::cmp::Reverse(backlog.bytes), backlog.id));
        all.truncate(max);
        all
    }
}
