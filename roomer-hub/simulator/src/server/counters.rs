//! Compares the server's statistics with the events of the run.

use std::collections::BTreeMap;

use super::conn_model::{ConnModel, State};
use super::harness::Harness;
use crate::fault::{Fault, ensure};

/// The expected counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) opened: u64,
    pub(super) messages_in: u64,
    pub(super) messages_out: u64,
    pub(super) closes: BTreeMap<u16, u64>,
    pub(super) closed_by_peer: u64,
    pub(super) lost: u64,
    /// The number of rejected handshakes, by status.
    pub(super) rejected: BTreeMap<u16, u64>,
}

impl Counts {
    pub(super) fn rejected(&mut self, status: u16) {
        *self.rejected.entry(status).or_default() += 1;
    }
}

impl Harness<'_> {
    /// Compares the statistics with the expected counters. Requires an idle server.
    pub(super) fn check_counts(&mut self) -> Result<(), Fault> {
        let stats = self.server.stats();
        let conns = || self.conns.iter().filter(|conn| conn.state != State::Ended);
        let here = self.model.clients.iter().filter(|client| client.is_connected).count();
        let rooms = &self.model.rooms;
        let seats: usize = rooms.iter().map(|room| room.members.len()).sum();
        let begins = conns().filter(|conn| conn.client.is_none() && conn.rejected_early.is_none());
        let expected = (here, rooms.len(), seats, conns().count(), begins.count());
        let found = (stats.connections, stats.rooms, stats.memberships, stats.sockets);
        let found = (found.0, found.1, found.2, found.3, stats.handshakes);
        ensure!(
            found == expected,
            "connections, rooms, memberships, sockets and handshakes are {found:?}, expected {expected:?}"
        );
        let (found, expected) = (stats.rejected_packets, self.model.rejected_packets);
        ensure!(found == expected, "rejected: {found:?}, expected {expected:?}");
        let (found, expected) = ((stats.handler_errors, stats.panics), self.failures);
        ensure!(found == expected, "errors and panics are {found:?}, expected {expected:?}");
        let found = Counts {
            opened: stats.opened,
            messages_in: stats.messages_in,
            messages_out: stats.messages_out,
            closes: stats.closes,
            closed_by_peer: stats.closed_by_peer,
            lost: stats.lost,
            rejected: stats.rejected_requests,
        };
        ensure!(found == self.counts, "counters are {found:?}, expected {:?}", self.counts);
        // The output of handshakes and closing connections is added to the statistics only when
        // they end.
        let written = |is_so: fn(&ConnModel) -> bool| -> u64 {
            let conns = self.conns.iter().filter(|conn| is_so(conn));
            conns.map(|conn| conn.peer.bytes_written()).sum()
        };
        let counted = written(|conn| matches!(conn.state, State::Open | State::Ended));
        let written = written(|_| true);
        let is_so = (counted..=written).contains(&stats.bytes_out);
        ensure!(is_so, "{} bytes out, {counted} to {written} written", stats.bytes_out);
        // Without connections no bytes are in flight, so the sum must be exact.
        if conns().count() == 0 {
            let found = (stats.bytes_out, stats.queued_bytes, stats.held_bytes);
            ensure!(found == (written, 0, 0), "{found:?} bytes out and left, {written} written");
        }
        Ok(())
    }
}
