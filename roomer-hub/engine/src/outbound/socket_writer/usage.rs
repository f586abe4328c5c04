//! Accounting for the bytes that a connection holds or has written.

use super::{SocketWriter, State};
use crate::outbound::budget::Usage;
use crate::outbound::outbox::OutboxPhase;
use crate::sync::lock;

impl SocketWriter {
    /// Reports the bytes held by the connection to the memory budget.
    pub(super) fn report_usage(&self, state: &mut State) {
        let holds = state.holds();
        if holds != state.outbox.queue().reported {
            let reported = &mut state.outbox.own().reported;
            self.budget.change(std::mem::replace(reported, holds), holds);
        }
    }

    /// Sets the number of received bytes that the connection buffers.
    pub(crate) fn set_buffered(&self, bytes: usize) {
        let mut state = lock(&self.state);
        // A connection that has ended has dropped its buffers, so a late report must not count them
        // again.
        if state.outbox.phase() == OutboxPhase::Open {
            state.outbox.set_buffered(bytes);
            self.report_usage(&mut state);
            state.outbox.settle();
        }
    }

    /// Returns the memory held by the connection.
    pub(crate) fn usage(&self) -> Usage {
        let state = lock(&self.state);
        let buffers = state.outbox.chunks().map(|chunk| {
            let range = chunk.bytes.as_ptr_range();
            (range.end.addr(), chunk.len())
        });
        let mut buffers: Vec<_> = buffers.collect();
        // The chunks of a write in progress are not among the outbox's chunks, but are included in
        // its count.
        let seen: usize = buffers.iter().map(|(_, len)| len).sum();
        let in_flight = state.outbox.queued().saturating_sub(seen);
        // A batch keeps its compressed form for the connections that have not written it yet.
        let pending = state.outbox.chunks().filter_map(|chunk| chunk.compressed.as_ref()?.made());
        buffers.extend(pending.map(|form| (form.as_ptr_range().end.addr(), form.len())));
        let mut own = state.outbox.queue().buffered;
        if let Some(replay) = &state.outbox.queue().replay {
            own += replay.own();
            // Each buffer counts as a whole: acknowledged frames stay in memory as long as a later
            // frame in the same buffer is kept.
            buffers.extend(replay.buffers().map(|bytes| {
                let range = bytes.as_ptr_range();
                (range.end.addr(), bytes.len())
            }));
        }
        Usage { own, in_flight, buffers }
    }

    /// Returns the number of queued bytes, and the number written since
    /// [`count_written`](Self::count_written).
    pub(crate) fn backlog(&self) -> (usize, u64) {
        let state = lock(&self.state);
        (state.outbox.queued(), state.outbox.written() - state.outbox.queue().counted)
    }

    /// Returns the number of bytes written since the last call.
    pub(crate) fn count_written(&self) -> u64 {
        let mut state = lock(&self.state);
        let written = state.outbox.written();
        let counted = state.outbox.queue().counted;
        if counted != written {
            state.outbox.own().counted = written;
        }
        written - counted
    }
}

impl State {
    /// Returns the number of bytes held by the connection.
    pub(super) fn holds(&self) -> usize {
        let queue = self.outbox.queue();
        let kept = queue.replay.as_ref().map_or(0, |replay| replay.held());
        self.outbox.queued() + queue.buffered + kept
    }
}
