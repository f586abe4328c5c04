//! Whether the engine's tables, queues and counts agree, for tests.

use crate::{RecordedInput, Server};

impl Server {
    /// Compares everything that the engine keeps twice. With `at_rest`, also what must be true
    /// when no task has anything to do: nothing waits for a write that nobody will make, and
    /// everybody has an alarm.
    ///
    /// # Errors
    ///
    /// The first contradiction, in words.
    pub fn audit(&self, at_rest: bool) -> Result<(), String> {
        let (most, closing) = (self.0.lifecycle.audit()?, self.is_closing());
        let core = self.core();
        core.outbound.audit(core.hub.tables(), at_rest, self.options())?;
        core.infos.audit()?;
        drop(core);
        let held = self.0.budget.held();
        if at_rest && most == 0 && held > 0 {
            return Err(format!("{held} bytes are held by nobody"));
        }
        let timers = self.0.timers.count();
        let too_many = timers > most;
        if too_many || (at_rest && timers < most) {
            return Err(format!("{timers} timers for {most} sockets and drains"));
        }
        let (there, counted) = (
            self.core().outbound.writers.len(),
            self.0.lifecycle.with_counts(|counts| counts.connections),
        );
        if there > counted {
            return Err(format!("{there} connections, of which {counted} are counted"));
        }
        if at_rest && self.0.flush_pool.job().is_some() {
            return Err("a large flush waits for hands".into());
        }
        if closing && at_rest && !self.core().outbound.writers.is_empty() {
            return Err("a connection is open after a shutdown".into());
        }
        Ok(())
    }

    /// The large flushes under way: how many connections of each nobody has taken yet.
    ///
    /// # Errors
    ///
    /// A room that somebody else will flush as well, in words.
    pub fn large_flushes(&self) -> Result<Vec<usize>, String> {
        let jobs = self.0.flush_pool.unfinished_jobs();
        let core = self.core();
        core.outbound.audit_dirty()?;
        for job in &jobs {
            core.outbound.audit_work(core.hub.tables(), &job.work)?;
        }
        Ok(jobs.iter().map(|job| job.left()).collect())
    }

    /// Begins to keep a journal of all inputs, for [`take_journal`](Self::take_journal).
    pub fn keep_journal(&self) {
        self.core().journal.entries.get_or_insert_default();
    }

    /// Moves the inputs since the last call to the end of `into`.
    pub fn take_journal(&self, into: &mut Vec<RecordedInput>) {
        if let Some(entries) = &mut self.core().journal.entries {
            into.append(entries);
        }
    }
}
