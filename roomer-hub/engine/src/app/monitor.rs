//! Reports panics, errors and pending futures in application code to a test.
//!
//! In production, a handler that panics or never completes costs one connection and a log line. In
//! a test, it is a defect to find. Without the `audit` feature, the monitor is not compiled.

use std::task::{Context, Poll};

use roomer_hub::ConnId;

#[cfg(feature = "audit")]
pub use self::recorder::{HandlerFailure, HandlerMonitor, PendingHandler};

/// A description of the application's function, and the connection for which it runs.
pub(crate) type CallOwner = (String, Option<ConnId>);

/// A server's monitor, if it was built with one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Monitor {
    #[cfg(feature = "audit")]
    recorder: Option<HandlerMonitor>,
}

#[cfg(feature = "audit")]
impl From<HandlerMonitor> for Monitor {
    fn from(recorder: HandlerMonitor) -> Self {
        Monitor { recorder: Some(recorder) }
    }
}

impl Monitor {
    /// Records a panic in application code, or an error returned by a handler.
    #[inline]
    pub(crate) fn report_failure(
        &self,
        owner: impl FnOnce() -> CallOwner,
        error: &dyn std::fmt::Display,
        is_panic: bool,
    ) {
        #[cfg(feature = "audit")]
        if let Some(recorder) = &self.recorder {
            recorder.record(owner(), error.to_string(), is_panic);
        }
        #[cfg(not(feature = "audit"))]
        let _ = (owner, error, is_panic);
    }

    /// Starts observing an application future.
    #[inline]
    pub(crate) fn observe(&self, owner: impl FnOnce() -> CallOwner) -> ObservedCall {
        #[cfg(feature = "audit")]
        return ObservedCall {
            entry: self.recorder.as_ref().map(|recorder| recorder.observe(owner())),
        };
        #[cfg(not(feature = "audit"))]
        {
            let _ = owner;
            ObservedCall {}
        }
    }
}

/// Observes an application future until it is dropped.
pub(crate) struct ObservedCall {
    #[cfg(feature = "audit")]
    entry: Option<recorder::Entry>,
}

impl ObservedCall {
    /// Polls the future, with a waker that records wake-ups if there is a monitor.
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
mod recorder {
    use std::fmt;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
    use std::task::{Context, Wake, Waker};
    use std::thread::{self, ThreadId};

    use roomer_hub::ConnId;

    use super::CallOwner;

    /// Records panics, errors and pending futures in application code. Pass it to
    /// [`Builder::monitor`](crate::Builder::monitor). Clones share the record.
    #[derive(Clone, Debug, Default)]
    pub struct HandlerMonitor(Arc<Mutex<Record>>);

    #[derive(Debug, Default)]
    struct Record {
        failures: Vec<HandlerFailure>,
        external_wakeups: Vec<CallOwner>,
        observed: Vec<Weak<CallWaker>>,
        waits: u64,
    }

    /// A recorded panic in application code, or an error returned by a handler.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct HandlerFailure {
        /// The application's function, in words: `` the handler of `save` ``.
        pub part: String,
        /// The connection for which the function ran; `None` before the connection was established.
        pub conn: Option<ConnId>,
        /// The panic or error text.
        pub message: String,
        /// True for a panic, false for an error.
        pub is_panic: bool,
    }

    impl fmt::Display for HandlerFailure {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let HandlerFailure { part, message, is_panic, .. } = self;
            let verb = if *is_panic { "panicked" } else { "returned an error" };
            write!(f, "{part} {verb}: {message}")
        }
    }

    /// A handler, a rule or an authorize hook with a pending future.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct PendingHandler {
        /// The application's function, in words: `` the handler of `save` ``.
        pub part: String,
        /// The connection for which the function runs; `None` before the connection is established.
        pub conn: Option<ConnId>,
        /// True if something holds the future's waker, such as a channel, a timer, a socket or a
        /// thread. Otherwise the future is never woken again.
        pub can_wake: bool,
        /// Identifies one wait. Changes each time the future is woken and then returns pending
        /// again.
        pub wait_id: u64,
    }

    impl HandlerMonitor {
        /// Removes and returns the failures so far, in order.
        #[must_use]
        pub fn take_failures(&self) -> Vec<HandlerFailure> {
            std::mem::take(&mut self.record_lock().failures)
        }

        /// Removes and returns the functions whose futures were woken by a thread other than the
        /// one that had polled them, together with the connections for which they ran.
        #[must_use]
        pub fn take_external_wakeups(&self) -> Vec<(String, Option<ConnId>)> {
            std::mem::take(&mut self.record_lock().external_wakeups)
        }

        /// Returns the pending futures, in creation order.
        #[must_use]
        pub fn pending(&self) -> Vec<PendingHandler> {
            let mut record = self.record_lock();
            record.observed.retain(|waker| waker.strong_count() > 0);
            let pending = record.observed.iter().filter_map(|weak| {
                // The record's entry holds one reference, so any other reference is a waker held
                // elsewhere. Count before `upgrade` below, which adds a reference.
                let can_wake = weak.strong_count() > 1;
                let waker = weak.upgrade().filter(|waker| waker.is_observed.load(Relaxed))?;
                Some(PendingHandler {
                    part: waker.owner.0.clone(),
                    conn: waker.owner.1,
                    can_wake,
                    wait_id: waker.wait_id.load(Relaxed),
                })
            });
            pending.collect()
        }

        pub(crate) fn record(&self, (part, conn): CallOwner, message: String, is_panic: bool) {
            self.record_lock().failures.push(HandlerFailure { part, conn, message, is_panic });
        }

        pub(crate) fn observe(&self, owner: CallOwner) -> Entry {
            let waker = Arc::new(CallWaker {
                owner,
                monitor: self.clone(),
                task: Mutex::new((Waker::noop().clone(), thread::current().id())),
                is_observed: AtomicBool::new(true),
                // Initially true, since the future's first poll also begins a wait.
                was_woken: AtomicBool::new(true),
                wait_id: AtomicU64::new(0),
            });
            self.record_lock().observed.push(Arc::downgrade(&waker));
            Entry(waker)
        }

        fn record_lock(&self) -> MutexGuard<'_, Record> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// One future's entry in a monitor's record.
    pub(crate) struct Entry(Arc<CallWaker>);

    impl Entry {
        /// Returns the waker to poll the future with, in its connection's task.
        pub(crate) fn waker(&self, cx: &Context<'_>) -> Waker {
            *self.0.task() = (cx.waker().clone(), thread::current().id());
            if self.0.was_woken.swap(false, Relaxed) {
                let mut record = self.0.monitor.record_lock();
                record.waits += 1;
                self.0.wait_id.store(record.waits, Relaxed);
            }
            Waker::from(self.0.clone())
        }
    }

    impl Drop for Entry {
        fn drop(&mut self) {
            self.0.is_observed.store(false, Relaxed);
        }
    }

    /// The waker for one application future. Wakes the connection's task.
    #[derive(Debug)]
    struct CallWaker {
        owner: CallOwner,
        monitor: HandlerMonitor,
        /// The waker of the connection's task, and the thread that last polled the future.
        task: Mutex<(Waker, ThreadId)>,
        is_observed: AtomicBool,
        was_woken: AtomicBool,
        wait_id: AtomicU64,
    }

    impl CallWaker {
        fn task(&self) -> MutexGuard<'_, (Waker, ThreadId)> {
            self.task.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl Wake for CallWaker {
        fn wake(self: Arc<Self>) {
            self.wake_by_ref();
        }

        fn wake_by_ref(self: &Arc<Self>) {
            // Clone the waker so that the lock is not held while the task is woken.
            let (task, thread) = self.task().clone();
            self.was_woken.store(true, Relaxed);
            if thread != thread::current().id() && self.is_observed.load(Relaxed) {
                self.monitor.record_lock().external_wakeups.push(self.owner.clone());
            }
            task.wake();
        }
    }
}
