//! Input behind a pending handler: pings are answered, and the rest waits.

use std::time::Duration;

use super::conn_model::READ_AHEAD;
use super::expected::{Order, Output};
use super::harness::Harness;
use super::marks::Mark;
use super::plan::Violation;
use super::traffic::{Meaning, Sent};
use crate::fault::{Fault, ensure};

/// The maximum size in bytes of a control frame from a client.
const CONTROL_FRAME: u64 = 6 + 125;

impl Harness<'_> {
    /// Consumes the input that precedes the end of a connection.
    pub(super) fn settle_before_gone(&mut self, at: usize) {
        self.settle_pings(at);
        self.settle_overtaking_pings(at, true);
        self.skip_late(at, None);
    }

    /// Consumes the pings and pongs that the server has read behind a pending handler. `may_be_cut`
    /// is true if the connection may have ended before the server found them.
    pub(super) fn settle_overtaking_pings(&mut self, at: usize, may_be_cut: bool) {
        let mut is_optional = may_be_cut;
        let mut index = 0;
        while let conn = &mut self.conns[at]
            && let Some(waiting) = &mut conn.waiting
            && let Some(&Sent { at: end, meaning }) = conn.traffic.pending.get(index)
            && end <= conn.read
        {
            match meaning {
                Meaning::Ping(_) | Meaning::Pong => {
                    conn.traffic.pending.remove(index);
                    waiting.overtaken += CONTROL_FRAME;
                }
                Meaning::Close(_) => return,
                // Behind some violations, but not all, the server finds no more frames.
                Meaning::Violation(_) => is_optional = true,
                Meaning::Packet(_) | Meaning::Request(_) => {}
            }
            match meaning {
                Meaning::Ping(payload) => {
                    let (now, is_optional) = (self.now(), is_optional || self.may_be_congested(at));
                    let expected = &mut self.conns[at].expected;
                    expected.push(now, Order::Direct, Output::Pong(payload), is_optional);
                    self.marks.mark(index > 0, Mark::PingBehindSlow);
                }
                Meaning::Pong => {}
                _ => index += 1,
            }
        }
    }

    /// Returns the code in a close frame that ends a connection whose handler is pending: its client
    /// closed long ago, or its socket is lost.
    pub(super) fn close_behind(&mut self, at: usize) -> Option<Option<u16>> {
        let is_late = self.is_late(at);
        let conn = &self.conns[at];
        let is_cut = conn.is_broken || conn.is_aborted;
        if conn.waiting.is_none() || !(is_late || is_cut) {
            return None;
        }
        self.marks.mark(is_late && !is_cut, Mark::DroppedCall);
        // The server does not inspect the packets, but detects violations in the frames around
        // them.
        let is_inside = matches!(
            conn.violation,
            Some(
                Violation::ShortPacket
                    | Violation::LongPacket
                    | Violation::PastEnd
                    | Violation::NameBytes
            )
        );
        let is_last = |sent: &&Sent| match sent.meaning {
            Meaning::Violation(_) => !is_inside,
            meaning => matches!(meaning, Meaning::Close(_)),
        };
        let last = conn.traffic.pending.iter().find(is_last).filter(|sent| sent.at <= conn.read)?;
        match last.meaning {
            Meaning::Close(code) => Some(code),
            _ => None,
        }
    }

    /// Checks how much a connection has read behind a pending handler.
    pub(super) fn check_read_ahead(&mut self, at: usize) -> Result<(), Fault> {
        let now = self.now();
        let conn = &mut self.conns[at];
        let Some(waiting) = conn.waiting else { return Ok(()) };
        // Otherwise a client could fill the buffer without limit while its handler is pending.
        ensure!(
            conn.read <= conn.most_read(&waiting),
            "connection {at} reads too much while its handler is pending"
        );
        if conn.may_have_read_close() || conn.is_fully_read() {
            conn.ended_behind.get_or_insert(now);
        }
        Ok(())
    }

    /// Checks that a connection whose handler is pending reads as much as it may.
    pub(super) fn check_reads_ahead(&mut self, at: usize) -> Result<(), Fault> {
        let may_pause_senders = self.may_pause_senders();
        let conn = &self.conns[at];
        let is_unread = conn.peer.unread() > 0;
        let is_full = conn.read >= conn.parsed + READ_AHEAD;
        self.marks.mark(is_unread && is_full, Mark::UnreadBehindSlow);
        ensure!(
            !is_unread || is_full || conn.may_have_read_close() || may_pause_senders,
            "bytes have arrived behind a pending handler and are not read"
        );
        Ok(())
    }

    /// Returns true if the server may drop a connection's messages, since its client closed long
    /// ago.
    pub(super) fn is_late(&self, at: usize) -> bool {
        let close = Duration::from_millis(self.plan.setup.close);
        self.conns[at].ended_behind.is_some_and(|ended| self.now() >= ended + close)
    }

    /// Removes the messages that the server may have dropped, up to an item that ends the
    /// connection: a close frame, or a violation with this code.
    pub(super) fn skip_late(&mut self, at: usize, violation: Option<u16>) {
        if !self.is_late(at) {
            return;
        }
        let pending = &mut self.conns[at].traffic.pending;
        while let Some(what) = pending.front().map(|sent| sent.meaning)
            && match what {
                Meaning::Packet(_) | Meaning::Ping(_) | Meaning::Pong => true,
                // The server does not inspect a dropped message.
                Meaning::Violation(code) => violation != Some(code),
                Meaning::Close(_) | Meaning::Request(_) => false,
            }
        {
            pending.pop_front();
            self.marks.mark(matches!(what, Meaning::Packet(_)), Mark::DroppedBehindSlow);
        }
    }
}
