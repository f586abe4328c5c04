//! Consistency checks for the outbound tables.

use roomer_hub::Tables;

use crate::outbound::budget::BufferSet;
use crate::outbound::{FlushWork, Outbound};

impl Outbound {
    /// Returns an error for the first contradiction found; see
    /// [`Server::audit`](crate::Server::audit). `max` limits one connection's outbox, and `budget`
    /// limits all outboxes together.
    pub(crate) fn audit(
        &self,
        tables: &Tables,
        at_rest: bool,
        (max, budget): (usize, usize),
    ) -> Result<(), String> {
        if self.writers.len() != tables.conn_count() {
            let (writers, conns) = (self.writers.len(), tables.conn_count());
            return Err(format!("{writers} writers for {conns} connections"));
        }
        for (conn, writer) in self.writers.iter() {
            if tables.conn_id(conn).is_none() {
                return Err(format!("a writer without a connection: {conn:?}"));
            }
            writer.audit(at_rest, max).map_err(|error| format!("{conn:?}: {error}"))?;
        }
        // Check the budget only once the server is idle: memory may exceed the budget until a flush
        // has counted it.
        if at_rest {
            let mut buffers = BufferSet::new();
            self.writers.values().for_each(|writer| buffers.add(&writer.usage()));
            let (held, limit) = (buffers.sum(), budget);
            if held > limit {
                return Err(format!("{held} bytes are held, at most {limit} are allowed"));
            }
        }
        self.audit_dirty()?;
        for (room, batch) in self.batches.iter() {
            let Some(name) = tables.room_name(room) else {
                return Err("a batch of a room that is closed".into());
            };
            let is_dirty = self.dirty.contains(&room);
            let is_due = !batch.frames.is_empty();
            // A room being flushed is not on the dirty list. The flushing task adds the room again
            // if necessary.
            if is_due && !(batch.is_queued || is_dirty) {
                return Err(format!("{name:?} is not scheduled for a flush"));
            }
            if at_rest && is_due && !is_dirty {
                return Err(format!("no task will flush {name:?}"));
            }
        }
        if at_rest && !self.flush_list.is_empty() {
            return Err(format!("{} connections wait for a flush", self.flush_list.len()));
        }
        Ok(())
    }

    /// Checks that no room is scheduled twice.
    pub(crate) fn audit_dirty(&self) -> Result<(), String> {
        let mut dirty = self.dirty.clone();
        dirty.sort_unstable();
        match dirty.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err("a room is scheduled for two flushes".into()),
            false => Ok(()),
        }
    }

    /// Checks that the rooms in an ongoing flush are not scheduled for another one.
    pub(crate) fn audit_work(&self, tables: &Tables, work: &FlushWork) -> Result<(), String> {
        for &room in &work.rooms {
            let Some(name) = tables.room_name(room) else { continue };
            if self.dirty.contains(&room) || !self.batches.contains_key(room) {
                return Err(format!("{name:?} is finished before all of it is written"));
            }
        }
        Ok(())
    }
}
