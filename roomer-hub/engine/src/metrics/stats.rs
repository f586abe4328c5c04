//! How much there is of everything, and how much there has been.

use std::collections::BTreeMap;

use crate::Server;
use roomer_hub::ConnId;
use roomer_hub::RejectedPackets;

/// How much there is of everything, and how much there has been since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections in the hub.
    pub connections: usize,
    /// Rooms, `root` included.
    pub rooms: usize,
    /// Seats in rooms: each connection counts once for each room that it is in.
    pub memberships: usize,
    /// Sockets in the engine's care: connections, handshakes and those being closed.
    pub sockets: usize,
    /// Of those, handshakes under way, and refused ones whose answer is still to be read.
    pub handshakes: usize,
    /// Bytes that wait to be written, of all connections.
    pub queued_bytes: usize,
    /// Bytes that connections hold, as [`memory_budget`](crate::Builder::memory_budget) counts
    /// them, but for buffers that many wait for, which count for each of them.
    pub held_bytes: usize,
    /// Connections that there have been.
    pub opened: u64,
    /// Packets that clients have sent.
    pub messages_in: u64,
    /// Bytes that connections have sent, frames and all, handshakes not counted.
    pub bytes_in: u64,
    /// Packets that were queued for clients, each counted for each receiver.
    pub messages_out: u64,
    /// Bytes that sockets have taken.
    pub bytes_out: u64,
    /// What the hub has refused.
    pub rejected_packets: RejectedPackets,
    /// Handshakes and other requests that were refused, by HTTP status. Those over a cap
    /// ([`max_handshakes`](crate::Builder::max_handshakes) and its kind) are among 429 and 503.
    pub refused: BTreeMap<u16, u64>,
    /// Connections that the server has closed, by close code.
    pub closes: BTreeMap<u16, u64>,
    /// Connections that clients have closed with a close frame.
    pub closed_by_peer: u64,
    /// Connections that were cut without a close frame.
    pub lost: u64,
    /// Errors that handlers have returned.
    pub handler_errors: u64,
    /// Panics of handlers, rules and hooks.
    pub panics: u64,
    /// How often the system has refused to give the next connection: out of file descriptors, say.
    pub accept_errors: u64,
}

/// A connection and how many bytes wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backlog {
    /// Whose.
    pub id: ConnId,
    /// Bytes that wait to be written.
    pub bytes: usize,
}

/// What is counted as it happens.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) opened: u64,
    pub(crate) messages_in: u64,
    pub(crate) bytes_in: u64,
    pub(crate) messages_out: u64,
    /// Of connections that are no more.
    pub(crate) bytes_out: u64,
    pub(crate) closes: BTreeMap<u16, u64>,
    pub(crate) by_peer: u64,
    pub(crate) lost: u64,
    pub(crate) handler_errors: u64,
    pub(crate) panics: u64,
    pub(crate) accept_errors: u64,
}

impl Server {
    /// Counts everything. Looks at each connection, so ask every few seconds, not at each
    /// message.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (sockets, handshakes, refused) = self
            .0
            .lifecycle
            .with_counts(|counts| (counts.sockets(), counts.handshakes, counts.refused().clone()));
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
            refused,
            closes: counts.closes.clone(),
            closed_by_peer: counts.by_peer,
            lost: counts.lost,
            handler_errors: counts.handler_errors,
            panics: counts.panics,
            accept_errors: counts.accept_errors,
        }
    }

    /// The most bytes that all connections together may hold: what was chosen
    /// ([`memory_budget`](crate::Builder::memory_budget)), or the default for the memory that there
    /// is.
    #[must_use]
    pub fn memory_budget(&self) -> usize {
        self.options().memory_budget
    }

    /// The connections that most bytes wait for, the worst first, at most `most` of them. One for
    /// which nothing waits is not among them.
    #[must_use]
    pub fn slowest(&self, most: usize) -> Vec<Backlog> {
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
        all.sort_unstable_by_key(|backlog| (std::cmp::Reverse(backlog.bytes), backlog.id));
        all.truncate(most);
        all
    }
}
