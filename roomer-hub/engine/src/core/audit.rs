//! Whether the core's tables agree with each other.

use crate::builder::options::Options;
use crate::core::{Core, Work};
use crate::outbound::budget::Ledger;

impl Core {
    /// See [`Server::audit`](crate::Server::audit).
    pub(crate) fn audit(&self, at_rest: bool, options: &Options) -> Result<(), String> {
        if self.links.len() != self.hub.connections() {
            let (links, conns) = (self.links.len(), self.hub.connections());
            return Err(format!("{links} links for {conns} connections"));
        }
        for (conn, link) in &self.links {
            if self.hub.id(conn).is_none() {
                return Err(format!("a link of nobody: {conn:?}"));
            }
            link.audit(at_rest, options).map_err(|error| format!("{conn:?}: {error}"))?;
        }
        if at_rest {
            let mut ledger = Ledger::new();
            self.links.values().for_each(|link| ledger.add(&link.holding()));
            let (held, limit) = (ledger.sum(), options.memory_budget);
            if held > limit {
                return Err(format!("{held} bytes are held, {limit} may be"));
            }
        }
        self.people.audit()?;
        self.audit_dirty()?;
        for (room, tick) in &self.ticks {
            let Some(name) = self.hub.name(room) else {
                return Err("a tick of a room that is gone".into());
            };
            let is_dirty = self.dirty.contains(&room);
            let is_due = !tick.frames.is_empty();
            if is_due && !(tick.awaited || is_dirty) {
                return Err(format!("nobody is to flush {name:?}"));
            }
            if at_rest && is_due && !is_dirty {
                return Err(format!("nobody will flush {name:?}"));
            }
        }
        if at_rest && !self.listed.is_empty() {
            return Err(format!("{} links wait for a flush that nobody makes", self.listed.len()));
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
    pub(crate) fn audit_work(&self, work: &Work) -> Result<(), String> {
        for &room in &work.rooms {
            let Some(name) = self.hub.name(room) else { continue };
            if self.dirty.contains(&room) || !self.ticks.contains_key(room) {
                return Err(format!("{name:?} is settled before all of it is written"));
            }
        }
        Ok(())
    }
}
