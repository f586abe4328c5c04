//! What becomes of the application's code, for the test that runs it.
//!
//! In production a handler that panics or never ends costs one connection and a line of a log. In
//! a test it is what the test looks for, so it is shown. Without the feature `testkit` nothing of
//! this is compiled.

use std::task::{Context, Poll};

use crate::Server;
use roomer_hub::ConnId;

#[cfg(feature = "audit")]
pub use self::kept::{HandlerFailure, HandlerMonitor, PendingHandler};

/// Whose code it is: the application's part, and the connection that it ran for.
pub(crate) type CallOwner = (String, Option<ConnId>);

impl Server {
    /// Shows a panic of the application's, or an error that a handler has returned.
    #[inline]
    pub(crate) fn report_failure(
        &self,
        whose: impl FnOnce() -> CallOwner,
        error: &dyn std::fmt::Display,
        is_panic: bool,
    ) {
        #[cfg(feature = "audit")]
        if let Some(monitor) = &self.options().monitor {
            monitor.note(whose(), error.to_string(), is_panic);
        }
        #[cfg(not(feature = "audit"))]
        let _ = (whose, error, is_panic);
    }

    /// Begins to follow a future of the application's.
    #[inline]
    pub(crate) fn observe(&self, whose: impl FnOnce() -> CallOwner) -> ObservedCall {
        #[cfg(feature = "audit")]
        return ObservedCall { entry: self.options().monitor.as_ref().map(|w| w.observe(whose())) };
        #[cfg(not(feature = "audit"))]
        {
            let _ = whose;
            ObservedCall {}
        }
    }
}

/// A future of the application's that is shown for as long as this lives.
pub(crate) struct ObservedCall {
    #[cfg(feature = "audit")]
    entry: Option<kept::Entry>,
}

impl ObservedCall {
    /// Polls it.
    #[inline]
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        #[cfg(feature = "audit")]
        if let Some(entry) = &self.entry {
            return poll(&mut Context::from_waker(&entry.waker(cx)));
        }
        poll(cx)
    }
}

#[cfg(feature = "audit")]
mod kept {
    use std::fmt;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
    use std::task::{Context, Wake, Waker};
    use std::thread::{self, ThreadId};

    use super::CallOwner;
    use roomer_hub::ConnId;

    /// Sees what becomes of the application's code in a server that was built with it
    /// ([`Builder::monitor`](crate::Builder::monitor)). Clones see the same.
    #[derive(Clone, Debug, Default)]
    pub struct HandlerMonitor(Arc<Mutex<Seen>>);

    #[derive(Debug, Default)]
    struct Seen {
        mishaps: Vec<HandlerFailure>,
        outsiders: Vec<CallOwner>,
        observed: Vec<Weak<Bell>>,
        turns: u64,
    }

    /// A panic of the application's, or an error that one of its handlers has returned.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct HandlerFailure {
        /// Whose it was, in words: `` the handler of `save` ``.
        pub part: String,
        /// The connection that the code ran for; `None` when it had none yet.
        pub conn: Option<ConnId>,
        /// What the panic or the error said.
        pub message: String,
        /// Whether it is a panic.
        pub is_panic: bool,
    }

    impl fmt::Display for HandlerFailure {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let HandlerFailure { part, message, is_panic, .. } = self;
            let what = if *is_panic { "panicked" } else { "returned an error" };
            write!(f, "{part} {what}: {message}")
        }
    }

    /// A handler, a rule or an authorize hook that has begun and not ended.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct PendingHandler {
        /// Which, in words: `` the handler of `save` ``.
        pub part: String,
        /// The connection that it runs for; `None` when it has none yet.
        pub conn: Option<ConnId>,
        /// Whether its waker is kept by something: a channel, a timer, a socket, a thread. What
        /// waits without that is never woken again.
        pub can_wake: bool,
        /// Tells this wait from all others: a new number each time it was woken and waits again.
        pub turn: u64,
    }

    impl HandlerMonitor {
        /// Moves out what has gone wrong so far, in order.
        #[must_use]
        pub fn take_mishaps(&self) -> Vec<HandlerFailure> {
            std::mem::take(&mut self.seen().mishaps)
        }

        /// Moves out what other threads have woken than those that run it: parts of the application
        /// and the connections that they ran for.
        #[must_use]
        pub fn take_outsiders(&self) -> Vec<(String, Option<ConnId>)> {
            std::mem::take(&mut self.seen().outsiders)
        }

        /// What is waiting now, in the order in which it began.
        #[must_use]
        pub fn waiting(&self) -> Vec<PendingHandler> {
            let mut seen = self.seen();
            seen.observed.retain(|bell| bell.strong_count() > 0);
            let waiting = seen.observed.iter().filter_map(|weak| {
                // Its entry has one; what is above that, something waits to wake it by.
                let can_wake = weak.strong_count() > 1;
                let bell = weak.upgrade().filter(|bell| bell.is_followed.load(Relaxed))?;
                Some(PendingHandler {
                    part: bell.whose.0.clone(),
                    conn: bell.whose.1,
                    can_wake,
                    turn: bell.turn.load(Relaxed),
                })
            });
            waiting.collect()
        }

        pub(crate) fn note(&self, (part, conn): CallOwner, message: String, is_panic: bool) {
            self.seen().mishaps.push(HandlerFailure { part, conn, message, is_panic });
        }

        pub(crate) fn observe(&self, whose: CallOwner) -> Entry {
            let bell = Arc::new(Bell {
                whose,
                monitor: self.clone(),
                task: Mutex::new((Waker::noop().clone(), thread::current().id())),
                is_followed: AtomicBool::new(true),
                has_rung: AtomicBool::new(true),
                turn: AtomicU64::new(0),
            });
            self.seen().observed.push(Arc::downgrade(&bell));
            Entry(bell)
        }

        fn seen(&self) -> MutexGuard<'_, Seen> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// The place on a monitor's list of one future.
    pub(crate) struct Entry(Arc<Bell>);

    impl Entry {
        /// What to poll the future with, in its connection's turn.
        pub(crate) fn waker(&self, cx: &Context<'_>) -> Waker {
            *self.0.task() = (cx.waker().clone(), thread::current().id());
            if self.0.has_rung.swap(false, Relaxed) {
                let mut seen = self.0.monitor.seen();
                seen.turns += 1;
                self.0.turn.store(seen.turns, Relaxed);
            }
            Waker::from(self.0.clone())
        }
    }

    impl Drop for Entry {
        fn drop(&mut self) {
            self.0.is_followed.store(false, Relaxed);
        }
    }

    /// The waker of one future of the application's: it wakes the connection's task.
    #[derive(Debug)]
    struct Bell {
        whose: CallOwner,
        monitor: HandlerMonitor,
        /// The task, and the thread that has last polled it.
        task: Mutex<(Waker, ThreadId)>,
        is_followed: AtomicBool,
        has_rung: AtomicBool,
        turn: AtomicU64,
    }

    impl Bell {
        fn task(&self) -> MutexGuard<'_, (Waker, ThreadId)> {
            self.task.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.wake_by_ref();
        }

        fn wake_by_ref(self: &Arc<Self>) {
            let (task, thread) = self.task().clone();
            self.has_rung.store(true, Relaxed);
            if thread != thread::current().id() && self.is_followed.load(Relaxed) {
                self.monitor.seen().outsiders.push(self.whose.clone());
            }
            task.wake();
        }
    }
}
