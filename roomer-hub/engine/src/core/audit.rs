//! Whether the core's tables agree with each other.

use crate::builder::options::Options;
use crate::core::{Core, FlushWork};
use crate::outbound::budget::BufferSet;

impl Core {
    /// See [`Server::audit`](crate::Server::audit).
    pub(crate) fn audit(&self, at_rest: bool, options: &Options) -> Result<(), String> {
        if self.outboxes.len() != self.hub.connections() {
            let (outboxes, conns) = (self.outboxes.len(), self.hub.connections());
            return Err(format!("{outboxes} outboxes for {conns} connections"));
        }
        for (conn, outbox) in &self.outboxes {
            if self.hub.id(conn).is_none() {
                return Err(format!("an outbox without a connection: {conn:?}"));
            }
            outbox.audit(at_rest, options).map_err(|error| format!("{conn:?}: {error}"))?;
        }
        if at_rest {
            let mut ledger = BufferSet::new();
            self.outboxes.values().for_each(|outbox| ledger.add(&outbox.usage()));
            let (held, limit) = (ledger.sum(), options.memory_budget);
            if held > limit {
                return Err(format!("{held} bytes are held, {limit} may be"));
            }
        }
        self.infos.audit()?;
        self.audit_dirty()?;
        for (room, batch) in &self.batches {
            let Some(name) = self.hub.name(room) else {
                return Err("a batch of a room that is gone".into());
            };
            let is_dirty = self.dirty.contains(&room);
            let is_due = !batch.frames.is_empty();
            if is_due && !(batch.queued || is_dirty) {
                return Err(format!("nobody is to flush {name:?}"));
            }
            if at_rest && is_due && !is_dirty {
                return Err(format!("nobody will flush {name:?}"));
            }
        }
        if at_rest && !self.flush_list.is_empty() {
            return Err(format!(
                "{} outboxes wait for a flush that no task makes",
                self.flush_list.len()
            ));
        }
        Ok(())
    }

    /// Each room that is to be flushed is so once.
    pub(crate) fn audit_dirty(&self) -> Result<(), String> {
        let mut dirty = self.dirty.clone();
        dirty.sort_unstable();
        match dirty.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err("a room is to be flushed twice".into()),
            false => Ok(()),
        }
    }

    /// Whoever speaks in a room that is being written leaves it to those who write.
    pub(crate) fn audit_work(&self, work: &FlushWork) -> Result<(), String> {
        for &room in &work.rooms {
            let Some(name) = self.hub.name(room) else { continue };
            if self.dirty.contains(&room) || !self.batches.contains_key(room) {
                return Err(format!("{name:?} is settled before all of it is written"));
            }
        }
        Ok(())
    }
}
