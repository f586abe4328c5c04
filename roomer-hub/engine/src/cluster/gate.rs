//! Backpressure on senders while other nodes or the broker lag behind.

use std::task::{Context, Poll, Waker};

use crate::sync::{Mutex, lock};

/// A gate that is closed while a peer has too many unapplied frames.
#[derive(Debug, Default)]
pub(crate) struct LinkGate(Mutex<Gate>);

#[derive(Debug, Default)]
struct Gate {
    is_closed: bool,
    /// The wakers of senders' tasks that wait until the gate is open.
    waiting: Vec<Waker>,
}

impl LinkGate {
    pub(crate) fn close(&self) {
        lock(&self.0).is_closed = true;
    }

    /// Opens the gate. Returns the wakers, which the caller must call after releasing the server's
    /// lock.
    pub(crate) fn open(&self) -> Vec<Waker> {
        let mut gate = lock(&self.0);
        gate.is_closed = false;
        std::mem::take(&mut gate.waiting)
    }

    /// Returns `Poll::Ready` if the gate is open. Otherwise registers the sender's task.
    pub(crate) fn poll_open(&self, cx: &Context<'_>) -> Poll<()> {
        let mut gate = lock(&self.0);
        // Check and register under the gate's lock so that an opening in between is not missed.
        if !gate.is_closed {
            return Poll::Ready(());
        }
        if !gate.waiting.iter().any(|sender| sender.will_wake(cx.waker())) {
            gate.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
