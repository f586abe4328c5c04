//! Holds senders back while other nodes, or the broker, take less than is sent to them.

use std::task::{Context, Poll, Waker};

use crate::sync::{Mutex, lock};

/// Closed while a peer has not applied too much of what was sent to it.
#[derive(Debug, Default)]
pub(crate) struct LinkGate(Mutex<Gate>);

#[derive(Debug, Default)]
struct Gate {
    is_closed: bool,
    /// Tasks of senders that wait.
    waiting: Vec<Waker>,
}

impl LinkGate {
    pub(crate) fn close(&self) {
        lock(&self.0).is_closed = true;
    }

    /// Opens the gate and returns the tasks to wake, once the server's lock is released.
    pub(crate) fn open(&self) -> Vec<Waker> {
        let mut gate = lock(&self.0);
        gate.is_closed = false;
        std::mem::take(&mut gate.waiting)
    }

    /// Polls until the gate is open, for a sender's task.
    pub(crate) fn poll_open(&self, cx: &Context<'_>) -> Poll<()> {
        let mut gate = lock(&self.0);
        // Under the lock that opens it, so that an opening in between is not missed.
        if !gate.is_closed {
            return Poll::Ready(());
        }
        if !gate.waiting.iter().any(|sender| sender.will_wake(cx.waker())) {
            gate.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
