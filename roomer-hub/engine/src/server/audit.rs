//! Consistency checks across the engine's tables, queues and counters, for tests.

use crate::lifecycle::admission::SocketCounts;
use crate::{RecordedInput, Server};

impl Server {
    /// Cross-checks all redundant data in the engine. With `at_rest`, also checks invariants that
    /// hold only while no task is ready: each queued byte has a task that will write it, and each
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
        core.joins.audit(core.hub.tables())?;
        let requests = core.requests.count();
        drop(core);
        let held = self.0.budget.held();
        if at_rest && sockets == 0 && held > 0 {
            return Err(format!("{held} bytes are held without a socket"));
        }
        // A task that has not been polled yet has no timer, so the counts are equal only once the
        // server is idle.
        let timers = self.0.timers.count();
        if timers > sockets + requests || (at_rest && timers < sockets) {
            return Err(format!("{timers} timers for {sockets} sockets and drains"));
        }
        // A connection is counted from before it is added to the hub until its socket is closed.
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

    /// Returns, for each unfinished large flush, the number of connections that no worker has taken
    /// yet.
    ///
    /// # Errors
    ///
    /// Returns a description of a room scheduled for two flushes.
    pub fn large_flushes(&self) -> Result<Vec<usize>, String> {
        let jobs = self.0.flush_pool.unfinished_jobs();
        let core = self.0.core();
        core.outbound.audit_dirty()?;
        for job in &jobs {
            core.outbound.audit_work(core.hub.tables(), &job.work)?;
        }
        Ok(jobs.iter().map(|job| job.left()).collect())
    }

    /// Starts recording the hub's inputs, to be read with [`take_journal`](Self::take_journal).
    pub fn keep_journal(&self) {
        self.0.core().journal.entries.get_or_insert_default();
    }

    /// Moves the inputs recorded since the last call to the end of `into`.
    pub fn take_journal(&self, into: &mut Vec<RecordedInput>) {
        if let Some(entries) = &mut self.0.core().journal.entries {
            into.append(entries);
        }
    }
}
