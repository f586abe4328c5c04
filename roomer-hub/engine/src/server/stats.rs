//! Collects a server's statistics from its parts.

use crate::Server;
use crate::metrics::cluster_stats::ClusterStats;
use crate::metrics::stats::{Backlog, HistoryStats, SessionStats, Stats};

impl Server {
    /// Returns statistics. The call visits each connection, so make it every few seconds rather than
    /// for each message.
    #[must_use]
    pub fn stats(&self) -> Stats {
        // The two locks are taken in sequence, so the figures may be from different moments.
        let (sockets, handshakes, rejected_requests) = self
            .0
            .lifecycle
            .with_counts(|counts| (counts.sockets(), counts.handshakes, counts.rejected().clone()));
        let core = self.0.core();
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
                forwarded: core.cluster.as_ref().map_or(0, |state| state.tunnels.outgoing()),
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
        self.0.options().memory_budget
    }

    /// Returns up to `max` connections, those with the most queued bytes first. Connections without
    /// queued bytes are omitted.
    #[must_use]
    pub fn slowest(&self, max: usize) -> Vec<Backlog> {
        let core = self.0.core();
        let mut all: Vec<Backlog> = core
            .outbound
            .writers
            .iter()
            .filter_map(|(conn, outbox)| {
                Some(Backlog { id: core.hub.tables().conn_id(conn)?, bytes: outbox.backlog().0 })
            })
            .filter(|backlog| backlog.bytes > 0)
            .collect();
        // Break ties by id so that each call returns the same order.
        all.sort_unstable_by_key(|backlog| (std::cmp::Reverse(backlog.bytes), backlog.id));
        all.truncate(max);
        all
    }
}
