//! State that a client's handles share with its driver.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytestring::ByteString;
use roomer_proto::client::{Client as Machine, Closing, Event, JoinError, Options, Request};

use super::requests::Answers;

use crate::env::{Environment, SystemEnvironment};

/// A client's state, shared by its driver and its handles under one lock.
pub(super) struct Shared {
    inner: Mutex<Inner>,
    environment: SystemEnvironment,
}

pub(super) struct Inner {
    pub(super) machine: Machine,
    /// The waker of the driver's task, if it has been registered since the last wake-up.
    pub(super) driver: Option<Waker>,
    /// Rejected joins, kept until the room is joined again.
    pub(super) refused: BTreeMap<ByteString, JoinError>,
    /// The value of `is_resumed` in the last `Opened` event, until the connection is lost.
    opened: Option<bool>,
    pub(super) closed: Option<Box<Closing>>,
    /// Wakers of the handles' futures waiting for a change.
    waiters: Vec<Waker>,
    pub(super) answers: Answers,
    subscribers: Vec<Arc<Subscriber>>,
}

/// Work to do after events have been dispatched and the lock has been released.
#[derive(Default)]
pub(super) struct Dispatched {
    pub(super) woken: Vec<Waker>,
    pub(super) requests: Vec<Request>,
    pub(super) is_expiring: bool,
}

/// One stream's queue of events or messages.
pub(super) struct Subscriber {
    /// The room whose messages are queued, or `None` for all events.
    room: Option<ByteString>,
    capacity: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) events: VecDeque<Event>,
    pub(super) missed: u64,
    pub(super) is_finished: bool,
    pub(super) reader: Option<Waker>,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        Shared {
            inner: Mutex::new(Inner {
                machine: Machine::new(options),
                driver: None,
                refused: BTreeMap::new(),
                opened: None,
                closed: None,
                waiters: Vec::new(),
                answers: Answers::default(),
                subscribers: Vec::new(),
            }),
            environment: SystemEnvironment::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Duration {
        self.environment.now()
    }

    pub(super) fn random(&self) -> [u8; 16] {
        self.environment.random()
    }

    /// Calls `act` with the locked state, then wakes the driver.
    pub(super) fn call<T>(&self, act: impl FnOnce(&mut Inner, Duration) -> T) -> T {
        let now = self.now();
        let mut inner = self.lock();
        let result = act(&mut inner, now);
        // Take the waker, since the driver registers it again when it runs, and needs no further
        // wake-up before then.
        let driver = inner.driver.take();
        drop(inner);
        driver.into_iter().for_each(Waker::wake);
        result
    }
}

impl Inner {
    /// Registers the waker of a future waiting for a change.
    pub(super) fn wait(&mut self, waker: &Waker) {
        if !self.waiters.iter().any(|other| other.will_wake(waker)) {
            self.waiters.push(waker.clone());
        }
    }

    pub(super) fn subscribe(&mut self, room: Option<&str>, capacity: usize) -> Arc<Subscriber> {
        // The stream of a room that the client is not in ends immediately, since the event that
        // would end it may already have been dispatched.
        let is_outside = room.is_some_and(|room| !self.machine.rooms().any(|other| other == room));
        let is_finished = self.closed.is_some() || is_outside;
        let mut queue = Queue { is_finished, ..Queue::default() };
        if room.is_none() {
            queue.events.extend(self.current_state());
        }
        // With a capacity of zero, every event would be counted as missed.
        let (room, capacity) = (room.map(ByteString::from), capacity.max(1));
        let subscriber = Arc::new(Subscriber { room, capacity, queue: Mutex::new(queue) });
        if !is_finished {
            self.subscribers.push(subscriber.clone());
        }
        subscriber
    }

    /// Returns the event with which a new stream begins. The client's task may have connected, or even
    /// failed, before the application calls `events`, which would otherwise wait for that forever.
    fn current_state(&self) -> Option<Event> {
        if let Some(closing) = &self.closed {
            return Some(Event::Closed((**closing).clone()));
        }
        Some(Event::Opened { is_resumed: self.opened?, id: self.machine.id()? })
    }

    pub(super) fn unsubscribe(&mut self, subscriber: &Arc<Subscriber>) {
        self.subscribers.retain(|other| !Arc::ptr_eq(other, subscriber));
    }

    /// Distributes the machine's events to streams, answers and handlers.
    pub(super) fn dispatch(&mut self, due: &mut Dispatched) {
        let woken = &mut due.woken;
        while let Some(event) = self.machine.next_event() {
            match &event {
                // A message usually completes none of the handles' futures.
                Event::Message(_) => {}
                Event::Request(request) => due.requests.push(request.clone()),
                Event::Answered { request, result } => {
                    self.answers.put(*request, result.clone(), woken);
                }
                Event::Expiring { .. } => due.is_expiring = true,
                Event::Refused { room } => {
                    self.refused.insert(room.clone(), JoinError::Refused);
                    woken.extend(take(&mut self.waiters));
                }
                Event::Opened { is_resumed, .. } => {
                    self.opened = Some(*is_resumed);
                    woken.extend(take(&mut self.waiters));
                }
                Event::Suspended(_) => {
                    self.opened = None;
                    woken.extend(take(&mut self.waiters));
                }
                Event::Closed(reason) => {
                    self.closed = Some(Box::new(reason.clone()));
                    woken.extend(take(&mut self.waiters));
                }
                _ => woken.extend(take(&mut self.waiters)),
            }
            // A late `Left`, after the application has joined again, must not end the streams
            // created since.
            let ended = match &event {
                Event::Left { room } | Event::Removed { room } | Event::Refused { room }
                    if !self.machine.rooms().any(|other| other == &**room) =>
                {
                    Some(room.clone())
                }
                _ => None,
            };
            let mut event = Some(event);
            let count = self.subscribers.len();
            for (number, subscriber) in self.subscribers.iter().enumerate() {
                // The last queue takes the event itself, and the others take a clone.
                let copy = if number + 1 == count { event.take() } else { event.clone() };
                if let Some(copy) = copy {
                    subscriber.push(copy, ended.as_ref(), woken);
                }
            }
        }
        // No event follows `Closed`, so the subscriptions end. Streams still return their queued
        // events.
        if self.closed.is_some() {
            self.subscribers.clear();
        }
    }
}

impl Subscriber {
    /// Queues an event for the stream, or ends the stream. `ended` is the room whose streams end.
    fn push(&self, event: Event, ended: Option<&ByteString>, woken: &mut Vec<Waker>) {
        let is_last = matches!(event, Event::Closed(_));
        let (is_for_it, is_end) = match (&self.room, &event) {
            (None, _) => (true, is_last),
            (Some(room), Event::Message(message)) => (message.room == *room, false),
            (Some(room), _) => (false, is_last || ended == Some(room)),
        };
        if !is_for_it && !is_end {
            return;
        }
        let mut queue = self.lock();
        queue.is_finished |= is_end;
        if is_for_it {
            if queue.events.len() >= self.capacity {
                queue.events.pop_front();
                queue.missed += 1;
            }
            queue.events.push_back(event);
        }
        woken.extend(queue.reader.take());
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct("Client")
            .field("state", &inner.machine.state())
            .field("id", &inner.machine.id())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_stream_begins_with_last_state() {
        let shared = Shared::new(Options::default());
        let mut inner = shared.lock();
        let first = |inner: &mut Inner| inner.subscribe(None, 1).lock().events.pop_front();
        assert_eq!(first(&mut inner), None, "not yet connected");
        inner.machine.failed(Duration::ZERO, "refused");
        inner.machine.close(Duration::ZERO);
        inner.dispatch(&mut Dispatched::default());
        assert_eq!(first(&mut inner), Some(Event::Closed(Closing::Application)));
        let stream = inner.subscribe(None, 1);
        assert!(stream.lock().is_finished, "nothing follows");
        let room = inner.subscribe(Some("lobby"), 1);
        assert!(room.lock().events.is_empty(), "a stream of messages has no states");
    }

    #[test]
    fn late_membership_end_keeps_streams_of_next_membership() {
        let shared = Shared::new(Options::default());
        let mut inner = shared.lock();
        let now = Duration::ZERO;
        let is_finished = |stream: &Arc<Subscriber>| stream.lock().is_finished;
        inner.machine.join(now, "lobby").expect("an open client");
        let first = inner.subscribe(Some("lobby"), 9);
        inner.machine.leave(now, "lobby");
        inner.dispatch(&mut Dispatched::default());
        assert!(is_finished(&first), "the application has left");

        inner.machine.join(now, "lobby").expect("an open client");
        inner.machine.leave(now, "lobby");
        inner.machine.join(now, "lobby").expect("an open client");
        let second = inner.subscribe(Some("lobby"), 9);
        // Dispatch the events only now, as when the driver runs after the application's calls.
        inner.dispatch(&mut Dispatched::default());
        assert!(!is_finished(&second), "the event belongs to the earlier membership");
    }
}
