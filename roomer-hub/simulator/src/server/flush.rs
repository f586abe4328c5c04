//! Checks large flushes. The task that causes a large flush shares it with the flush workers.

use roomer_engine::RecordedInput;

use super::harness::Harness;
use super::marks::Mark;
use crate::fault::Fault;

impl Harness<'_> {
    /// Checks that no room is flushed by two tasks independently. Sets marks for what has changed
    /// since the last poll.
    pub(super) fn observe_flushes(&mut self, task: Option<usize>) -> Result<(), Fault> {
        if self.plan.setup.flush.is_none() {
            return Ok(());
        }
        let flushes = self.server.large_flushes().map_err(Fault::new)?;
        let before = std::mem::replace(&mut self.flushes, flushes);
        let marks = &mut self.marks;
        marks.mark(!self.flushes.is_empty(), Mark::LargeFlush);
        marks.mark(self.flushes.len() > 1, Mark::TwoFlushes);
        if !before.is_empty() {
            let is_helper = task.is_some_and(|task| (1..=self.workers).contains(&task));
            marks.mark(is_helper && self.flushes != before, Mark::FlushShared);
            let is_end = |entry: &RecordedInput| {
                matches!(entry, RecordedInput::Gone(_) | RecordedInput::Close(..))
            };
            marks.mark(self.journal.iter().any(is_end), Mark::GoneDuringFlush);
            marks.mark(self.journal.iter().any(|entry| !is_end(entry)), Mark::InputDuringFlush);
        }
        Ok(())
    }
}
