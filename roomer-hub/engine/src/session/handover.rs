//! Handover of a session from its task to the task of the client's new socket.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::connection::established::Established;
use crate::outbound::socket_writer::SocketWriter;
use crate::sync::{Mutex, lock};

/// The session to hand over: the connection's state, and the detached writer that keeps its packets.
pub(crate) struct HandedOver {
    pub(crate) open: Established,
    pub(crate) writer: Arc<SocketWriter>,
}

/// The reason why a waiting task does not receive the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandoverError {
    /// The session ended before the handover.
    Ended,
    /// The client has returned on another socket, and no longer uses this one.
    Superseded,
}

/// A slot for one session. The new task waits for it, and the old task fills it at its next poll.
/// `T` is the session; the loom models use a simpler type.
pub(crate) struct Handover<T = HandedOver>(Mutex<Slot<T>>);

#[derive(Default)]
enum Slot<T> {
    #[default]
    Empty,
    Waiting(Waker),
    Given(Box<T>),
    Rejected(HandoverError),
    /// The new task no longer waits.
    Abandoned,
}

impl<T> Default for Handover<T> {
    fn default() -> Self {
        Handover(Mutex::new(Slot::Empty))
    }
}

impl<T> Handover<T> {
    /// Passes the session to the waiting task, or returns it if that task no longer waits.
    pub(crate) fn give(&self, session: Box<T>) -> Result<(), Box<T>> {
        let mut slot = lock(&self.0);
        if let Slot::Abandoned | Slot::Rejected(_) = *slot {
            return Err(session);
        }
        let before = std::mem::replace(&mut *slot, Slot::Given(session));
        drop(slot);
        // Wake the task after releasing the lock, since the woken task takes it immediately.
        before.wake();
        Ok(())
    }

    /// Ends the wait without a session.
    pub(crate) fn reject(&self, reason: HandoverError) {
        let mut slot = lock(&self.0);
        // A session that was already passed stays in the slot, and the waiting task ends it.
        if let Slot::Empty | Slot::Waiting(_) = *slot {
            let before = std::mem::replace(&mut *slot, Slot::Rejected(reason));
            drop(slot);
            before.wake();
        }
    }

    /// Returns `Poll::Ready` with the session, or with the reason why there is none.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Result<T, HandoverError>> {
        let mut slot = lock(&self.0);
        match std::mem::take(&mut *slot) {
            Slot::Given(session) => {
                *slot = Slot::Abandoned;
                Poll::Ready(Ok(*session))
            }
            Slot::Rejected(reason) => {
                *slot = Slot::Abandoned;
                Poll::Ready(Err(reason))
            }
            Slot::Abandoned => Poll::Ready(Err(HandoverError::Ended)),
            Slot::Empty | Slot::Waiting(_) => {
                *slot = Slot::Waiting(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Stops waiting. Returns the session if it was already passed.
    pub(crate) fn abandon(&self) -> Option<T> {
        // Replace the slot in a single step, so that the session is either taken here or returned
        // to the task that passes it.
        match std::mem::replace(&mut *lock(&self.0), Slot::Abandoned) {
            Slot::Given(session) => Some(*session),
            _ => None,
        }
    }
}

impl<T> Slot<T> {
    fn wake(self) {
        if let Slot::Waiting(task) = self {
            task.wake();
        }
    }
}

impl<T> fmt::Debug for Handover<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handover")
    }
}
