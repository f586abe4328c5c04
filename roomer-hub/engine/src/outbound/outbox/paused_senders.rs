//! The list of senders waiting for a congested receiver.

use std::task::Waker;

/// The wakers of waiting senders. Boxed, since few connections have any.
#[derive(Default)]
pub(crate) struct PausedSenders(Option<Box<Senders>>);

#[derive(Default)]
struct Senders(Vec<Waker>);

impl PausedSenders {
    pub(crate) const fn new() -> Self {
        PausedSenders(None)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn add(&mut self, task: &Waker) {
        let Senders(tasks) = &mut **self.0.get_or_insert_default();
        // A sender's task may be polled for other reasons while it waits, so add its waker only
        // once.
        if !tasks.iter().any(|sender| sender.will_wake(task)) {
            tasks.push(task.clone());
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Waker> {
        self.0.take().map_or_else(Vec::new, |senders| senders.0)
    }
}
