//! Whether an outbox agrees with itself.

use crate::builder::options::Options;
use crate::outbound::outbox::{Outbox, OutboxPhase, lock};

impl Outbox {
    /// See [`Server::audit`](crate::Server::audit).
    pub(crate) fn audit(&self, at_rest: bool, options: &Options) -> Result<(), String> {
        let outbox = lock(&self.outbox);
        let pieces = std::iter::once(&outbox.front).chain(&outbox.back);
        let waiting: usize = pieces.map(|piece| piece.len()).sum();
        if !outbox.writing && waiting != outbox.queued {
            return Err(format!("{waiting} bytes wait, {} are counted", outbox.queued));
        }
        if outbox.front.len() == 0 && !outbox.back.is_empty() && !outbox.writing {
            return Err("the outbox has a gap".into());
        }
        if outbox.is_partial {
            return Err("half a message is queued".into());
        }
        let owed = outbox.queued.saturating_sub(outbox.newest);
        let limit = options.water_marks().max;
        if owed > limit {
            return Err(format!("{owed} bytes are owed, {limit} may be"));
        }
        if !at_rest {
            return Ok(());
        }
        if outbox.writing || outbox.scheduled {
            return Err("somebody is said to be writing, and nobody is".into());
        }
        if outbox.reported != outbox.queued + outbox.unfinished {
            return Err(format!("{} bytes are accounted for", outbox.reported));
        }
        if outbox.queued > 0 && !outbox.blocked && outbox.phase == OutboxPhase::Open {
            return Err(format!("{} bytes wait though the socket has room", outbox.queued));
        }
        if !outbox.paused_senders.is_empty() && !self.is_congested() {
            return Err("a sender is paused although no receiver is congested".into());
        }
        match outbox.phase {
            OutboxPhase::Overrun => Err("one that is owed too much is not closed".into()),
            OutboxPhase::Dead => Err("a dead connection is in the tables".into()),
            OutboxPhase::Open | OutboxPhase::Closing => Ok(()),
        }
    }
}
