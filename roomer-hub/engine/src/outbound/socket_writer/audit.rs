//! Consistency checks for a writer's queue.

use crate::outbound::chunk::Chunk;
use crate::outbound::outbox::OutboxPhase;
use crate::outbound::socket_writer::SocketWriter;
use crate::sync::lock;

impl SocketWriter {
    /// Checks the queue against its counters and marks; see [`Server::audit`](crate::Server::audit).
    pub(crate) fn audit(&self, at_rest: bool, max: usize) -> Result<(), String> {
        let state = lock(&self.state);
        let outbox = &state.outbox;
        let waiting: usize = outbox.chunks().map(Chunk::len).sum();
        if !outbox.is_writing && waiting != outbox.queued() {
            return Err(format!("{waiting} bytes wait, {} are counted", outbox.queued()));
        }
        if outbox.is_partial() {
            return Err("half a message is queued".into());
        }
        if outbox.counted() > max {
            return Err(format!(
                "{} bytes are queued, at most {max} are allowed",
                outbox.counted()
            ));
        }
        if !at_rest {
            return Ok(());
        }
        if outbox.is_writing || outbox.is_scheduled {
            return Err("a flush is scheduled or under way, but no task performs it".into());
        }
        if outbox.queue().reported != state.holds() {
            return Err(format!("{} bytes are reported to the budget", outbox.queue().reported));
        }
        if outbox.is_writable() && outbox.phase() == OutboxPhase::Open {
            return Err(format!("{} bytes wait though the socket has room", outbox.queued()));
        }
        if !outbox.queue().paused_senders.is_empty() && !self.is_congested() {
            return Err("a sender is paused although no receiver is congested".into());
        }
        match outbox.phase() {
            OutboxPhase::Overrun => Err("a connection above its maximum is not closed".into()),
            OutboxPhase::Dead => Err("a dead connection is in the tables".into()),
            OutboxPhase::Open | OutboxPhase::Closing | OutboxPhase::Detached => Ok(()),
        }
    }
}
