//! Whether an outbox agrees with itself.

use crate::builder::options::Options;
use crate::outbound::outbox::{Link, Phase, lock};

impl Link {
    /// See [`Server::audit`](crate::Server::audit).
    pub(crate) fn audit(&self, at_rest: bool, options: &Options) -> Result<(), String> {
        let outbox = lock(&self.outbox);
        let pieces = std::iter::once(&outbox.first).chain(&outbox.rest);
        let waiting: usize = pieces.map(|piece| piece.len()).sum();
        if !outbox.writing && waiting != outbox.queued {
            return Err(format!("{waiting} bytes wait, {} are counted", outbox.queued));
        }
        if outbox.first.len() == 0 && !outbox.rest.is_empty() && !outbox.writing {
            return Err("the outbox has a gap".into());
        }
        if outbox.is_partial {
            return Err("half a message is queued".into());
        }
        let owed = outbox.queued.saturating_sub(outbox.newest);
        let limit = options.link_limit().hard;
        if owed > limit {
            return Err(format!("{owed} bytes are owed, {limit} may be"));
        }
        if !at_rest {
            return Ok(());
        }
        if outbox.writing || outbox.listed {
            return Err("somebody is said to be writing, and nobody is".into());
        }
        if outbox.weighed != outbox.queued + outbox.unfinished {
            return Err(format!("{} bytes are accounted for", outbox.weighed));
        }
        if outbox.queued > 0 && !outbox.blocked && outbox.phase == Phase::Open {
            return Err(format!("{} bytes wait though the socket has room", outbox.queued));
        }
        if !outbox.held.is_empty() && !self.is_jammed() {
            return Err("somebody is held back for nothing".into());
        }
        match outbox.phase {
            Phase::Overrun => Err("one that is owed too much is not closed".into()),
            Phase::Dead => Err("a dead connection is in the tables".into()),
            Phase::Open | Phase::Closing => Ok(()),
        }
    }
}
