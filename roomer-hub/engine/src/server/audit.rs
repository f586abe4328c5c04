//! Consistency checks of the engine's tables, queues and counts, for tests.

use crate::lifecycle::admission::SocketCounts;
use crate::{RecordedInput, Server};

impl Server {
    /// Compares all redundant data of the engine. With `at_rest`, also checks the invariants of a
    /// state in which no task is ready: no bytes wait for a write that no task will make, and each
    /// socket has a timer.
    ///
    /// # Errors
    ///
    /// Returns a description of the first contradiction.
    pub fn audit(&self, at_rest: bool) -> Result<(), String> {
        let (sockets, closing) = (self.0.lifecycle.audit()?, self.0.is_closing());
        let core = self.0.core();
        let options = self.0.options();
        let limits = (options.water_marks().max, options.memory_budget);
        core.outbound.audit(core.hub.tables(), at_rest, limits)?;
        core.infos.audit()?;
        core.sessions.audit(core.hub.tables())?;
        core.requests.audit(core.hub.tables())?;
        let requests = core.requests.count();
        drop(core);
        let held = self.0.budget.held();
        if at_rest && sockets == 0 && held > 0 {
            return Err(format!("{held} bytes are held without a socket"));
        }
        // A task that has not been polled yet has no timer, so equality holds only at rest.
        let timers = self.0.timers.count();
        if timers > sockets + requests || (at_rest && timers < sockets) {
            return Err(format!("{timers} timers for {sockets} sockets and drains"));
        }
        // A connection is counted before it is in the hub, and until its socket is closed.
        let (open, counted) = (
            self.0.core().outbound.writers.len(),
            self.0.lifecycle.with_counts(SocketCounts::to_drain),
        );
        if open > counted {
            return Err(format!("{open} connections, of which {counted} are counted"));
        }
        if at_rest && self.0.flush_pool.job().is_some() {
            return Err("a large flush waits for a worker".into());
        }
        if closing && at_rest && !self.0.core().outbound.writers.is_empty() {
            return Err("a connection is open after a shutdown".into());
        }
        Ok(())
    }

    /// Returns the number of connections of each unfinished large flush that no worker has taken yet.
    ///
    /// # Errors
    ///
    /// Returns a description of a room that two tasks are to flush.
    pub fn large_flushes(&self) -> Result<Vec<usize>, String> {
        let jobs = self.0.flush_pool.unfinished_jobs();
        let core = self.0.core();
        core.outbound.audit_dirty()?;
        for job in &jobs {
            core.outbound.audit_work(core.hub.tables(), &job.work)?;
        }
        Ok(jobs.iter().map(|job| job.left()).collect())
    }

    /// Starts to record the hub's inputs, for [`take_journal`](Self::take_journal).
    pub fn keep_journal(&self) {
        self.0.core().journal.entries.get_or_insert_default();
    }

    /// Appends to `into` the inputs since the last call.
    pub fn take_journal(&self, into: &mut Vec<RecordedInput>) {
        if let Some(entries) = &mut self.0.core().journal.entries {
            into.append(entries);
        }
    }
}
