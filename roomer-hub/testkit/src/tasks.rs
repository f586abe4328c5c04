//! A single-threaded runtime without a scheduler: the caller decides which task to poll.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Tasks, numbered in the order of [`spawn`](Tasks::spawn), and the list of woken tasks.
#[derive(Default)]
pub struct Tasks {
    slots: Vec<Slot>,
    woken: Arc<Mutex<Woken>>,
}

/// The list of woken tasks, and the waker to wake when a task is added to it.
#[derive(Default)]
struct Woken {
    tasks: Vec<usize>,
    watcher: Option<Waker>,
}

struct Slot {
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    flag: Arc<TaskWaker>,
    waker: Waker,
}

/// A task's waker, which adds the task to the list of woken tasks at most once.
struct TaskWaker {
    task: usize,
    is_woken: AtomicBool,
    woken: Arc<Mutex<Woken>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // The flag only prevents a second entry; the lock publishes the list.
        if !self.is_woken.swap(true, Ordering::Relaxed) {
            let mut woken = lock(&self.woken);
            woken.tasks.push(self.task);
            let watcher = woken.watcher.take();
            drop(woken);
            watcher.into_iter().for_each(Waker::wake);
        }
    }
}

impl Tasks {
    /// Creates a runtime without tasks.
    #[must_use]
    pub fn new() -> Self {
        Tasks::default()
    }

    /// Adds a task, which counts as woken. Returns the task's number.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> usize {
        let task = self.slots.len();
        let (is_woken, woken) = (AtomicBool::new(false), self.woken.clone());
        let flag = Arc::new(TaskWaker { task, is_woken, woken });
        flag.wake_by_ref();
        let waker = Waker::from(flag.clone());
        self.slots.push(Slot { future: Some(Box::pin(future)), flag, waker });
        task
    }

    /// Returns the number of tasks that have been woken and not polled since.
    #[must_use]
    pub fn woken_count(&self) -> usize {
        lock(&self.woken).tasks.len()
    }

    /// Completes when a task has been woken. For a runtime that drives these tasks, and must wait
    /// for wakeups caused by its own events.
    pub fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut woken = lock(&self.woken);
        if woken.tasks.is_empty() {
            woken.watcher = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Polls the task at position `nth` in the list of woken tasks. Returns its number, or `None`
    /// if the list is shorter.
    pub fn poll_nth_woken(&mut self, nth: usize) -> Option<usize> {
        let task = {
            let mut woken = lock(&self.woken);
            if nth >= woken.tasks.len() {
                return None;
            }
            woken.tasks.remove(nth)
        };
        // Clear the flag before the poll: a wakeup during the poll must put the task on the list
        // again.
        self.slots[task].flag.is_woken.store(false, Ordering::Relaxed);
        self.poll(task);
        Some(task)
    }

    /// Polls a task whether or not it has been woken, which the contract of futures permits.
    ///
    /// # Panics
    ///
    /// Panics if there is no such task.
    pub fn poll(&mut self, task: usize) {
        // Slots are never removed, so a task's number stays valid.
        let slot = &mut self.slots[task];
        if let Some(future) = &mut slot.future
            && let Poll::Ready(()) = future.as_mut().poll(&mut Context::from_waker(&slot.waker))
        {
            // Drop the future immediately, as runtimes do: a connection's socket is closed when its
            // task completes.
            slot.future = None;
        }
    }

    /// Returns true if a task has completed.
    #[must_use]
    pub fn is_done(&self, task: usize) -> bool {
        self.slots.get(task).is_none_or(|slot| slot.future.is_none())
    }

    /// Drops a task before it completes, as a runtime does with an aborted task.
    pub fn abort(&mut self, task: usize) {
        if let Some(slot) = self.slots.get_mut(task) {
            slot.future = None;
        }
    }
}

fn lock(woken: &Mutex<Woken>) -> MutexGuard<'_, Woken> {
    woken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.slots.iter().filter(|slot| slot.future.is_some()).count();
        f.debug_struct("Tasks")
            .field("running", &running)
            .field("woken", &self.woken_count())
            .finish()
    }
}
