//! Hands a session over from the task that has it to the task of its client's new socket.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::connection::established::Established;
use crate::outbound::socket_writer::SocketWriter;
use crate::sync::{Mutex, lock};

/// The session that is handed over: the connection's state, and the detached writer that keeps its
/// packets.
pub(crate) struct HandedOver {
    pub(crate) open: Established,
    pub(crate) writer: Arc<SocketWriter>,
}

/// Why a waiting task does not get the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandoverError {
    /// The session has ended.
    Ended,
    /// The client is back on yet another socket, and therefore does not use this one.
    Superseded,
}

/// A place for one session. The old task fills it at its next poll, the new task waits for it.
/// `T` is the session, of which the models of loom have a simpler one.
pub(crate) struct Handover<T = HandedOver>(Mutex<Slot<T>>);

#[derive(Default)]
enum Slot<T> {
    #[default]
    Empty,
    Waiting(Waker),
    Given(Box<T>),
    Refused(HandoverError),
    /// The new task no longer waits.
    Abandoned,
}

impl<T> Default for Handover<T> {
    fn default() -> Self {
        Handover(Mutex::new(Slot::Empty))
    }
}

impl<T> Handover<T> {
    /// Gives the session to the waiting task; returns it if that no longer waits.
    pub(crate) fn give(&self, session: Box<T>) -> Result<(), Box<T>> {
        let mut slot = lock(&self.0);
        if let Slot::Abandoned | Slot::Refused(_) = *slot {
            return Err(session);
        }
        let before = std::mem::replace(&mut *slot, Slot::Given(session));
        drop(slot);
        // After the unlock: the woken task takes the lock at once.
        before.wake();
        Ok(())
    }

    /// Ends the wait: the task does not get the session.
    pub(crate) fn refuse(&self, why: HandoverError) {
        let mut slot = lock(&self.0);
        // A session that was given stays given, and its new task ends it.
        if let Slot::Empty | Slot::Waiting(_) = *slot {
            let before = std::mem::replace(&mut *slot, Slot::Refused(why));
            drop(slot);
            before.wake();
        }
    }

    /// Polls for the session.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Result<T, HandoverError>> {
        let mut slot = lock(&self.0);
        match std::mem::take(&mut *slot) {
            Slot::Given(session) => {
                *slot = Slot::Abandoned;
                Poll::Ready(Ok(*session))
            }
            Slot::Refused(why) => {
                *slot = Slot::Abandoned;
                Poll::Ready(Err(why))
            }
            Slot::Abandoned => Poll::Ready(Err(HandoverError::Ended)),
            Slot::Empty | Slot::Waiting(_) => {
                *slot = Slot::Waiting(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Stops waiting, and takes the session if it was given already.
    pub(crate) fn abandon(&self) -> Option<T> {
        // In one step, so that the session is either taken here or returned to the task that gives
        // it.
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
