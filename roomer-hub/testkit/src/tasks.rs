//! A runtime of one thread on which nothing happens by itself: whoever holds it says which task
//! has its turn.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Tasks, by number in order of [`spawn`](Tasks::spawn), and those of them that have been woken.
#[derive(Default)]
pub struct Tasks {
    slots: Vec<Slot>,
    woken: Arc<Mutex<Woken>>,
}

/// The tasks that have been woken, and what is to hear of the next.
#[derive(Default)]
struct Woken {
    tasks: Vec<usize>,
    watcher: Option<Waker>,
}

struct Slot {
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    alarm: Arc<Bell>,
    waker: Waker,
}

/// Puts its task on the list of those that have been woken, once.
struct Bell {
    task: usize,
    has_rung: AtomicBool,
    woken: Arc<Mutex<Woken>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.has_rung.swap(true, Ordering::Relaxed) {
            let mut woken = list(&self.woken);
            woken.tasks.push(self.task);
            let watcher = woken.watcher.take();
            drop(woken);
            watcher.into_iter().for_each(Waker::wake);
        }
    }
}

impl Tasks {
    /// A runtime without tasks.
    #[must_use]
    pub fn new() -> Self {
        Tasks::default()
    }

    /// Takes a task on. It counts as woken.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> usize {
        let task = self.slots.len();
        let (has_rung, woken) = (AtomicBool::new(false), self.woken.clone());
        let alarm = Arc::new(Bell { task, has_rung, woken });
        alarm.wake_by_ref();
        let waker = Waker::from(alarm.clone());
        self.slots.push(Slot { future: Some(Box::pin(future)), alarm, waker });
        task
    }

    /// How many tasks have been woken and not had their turn since.
    #[must_use]
    pub fn woken(&self) -> usize {
        list(&self.woken).tasks.len()
    }

    /// Waits until a task has been woken, for a runtime that these tasks are a part of: what wakes
    /// them may come from there.
    pub fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut woken = list(&self.woken);
        if woken.tasks.is_empty() {
            woken.watcher = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Gives the one that was woken as number `place` its turn, and says which task that was.
    /// `None` when there is no such one.
    pub fn turn(&mut self, place: usize) -> Option<usize> {
        let task = {
            let mut woken = list(&self.woken);
            if place >= woken.tasks.len() {
                return None;
            }
            woken.tasks.remove(place)
        };
        self.slots[task].alarm.has_rung.store(false, Ordering::Relaxed);
        self.poll(task);
        Some(task)
    }

    /// Gives a task a turn, woken or not: the contract of futures allows that at any time.
    ///
    /// # Panics
    ///
    /// When there is no such task.
    pub fn poll(&mut self, task: usize) {
        let slot = &mut self.slots[task];
        if let Some(future) = &mut slot.future
            && let Poll::Ready(()) = future.as_mut().poll(&mut Context::from_waker(&slot.waker))
        {
            slot.future = None;
        }
    }

    /// Whether a task has come to its end.
    #[must_use]
    pub fn is_done(&self, task: usize) -> bool {
        self.slots.get(task).is_none_or(|slot| slot.future.is_none())
    }

    /// Drops a task wherever it is, as a runtime does with one that is aborted.
    pub fn abort(&mut self, task: usize) {
        if let Some(slot) = self.slots.get_mut(task) {
            slot.future = None;
        }
    }
}

fn list(woken: &Mutex<Woken>) -> MutexGuard<'_, Woken> {
    woken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.slots.iter().filter(|slot| slot.future.is_some()).count();
        f.debug_struct("Tasks").field("running", &running).field("woken", &self.woken()).finish()
    }
}
