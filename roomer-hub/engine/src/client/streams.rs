//! Streams of a client's events and of a room's messages.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use roomer_proto::client::{Event, Message};

use super::shared::{Shared, Subscriber};

/// The reading end of a subscription's queue. Dropping it ends the subscription.
struct Subscription {
    shared: Arc<Shared>,
    subscriber: Arc<Subscriber>,
}

impl Subscription {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut queue = self.subscriber.lock();
        if let Some(event) = queue.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if queue.is_finished {
            return Poll::Ready(None);
        }
        // Free the queue's memory, which an idle stream does not need.
        queue.events = Default::default();
        queue.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn take_missed(&self) -> u64 {
        std::mem::take(&mut self.subscriber.lock().missed)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.lock().unsubscribe(&self.subscriber);
    }
}

/// All of a client's events since the call to `events()`, in order. If the client is open or closed at
/// that time, [`Event::Opened`] or [`Event::Closed`] precedes them.
///
/// If events arrive faster than the application reads them, the oldest in the buffer are dropped and
/// [counted](Self::take_missed). The stream ends after [`Event::Closed`].
#[must_use]
pub struct Events(Subscription);

/// The messages of one room since the call to `messages()`, in order. They include messages sent to
/// this client alone through the room.
///
/// If messages arrive faster than the application reads them, the oldest in the buffer are dropped
/// and [counted](Self::take_missed). The stream ends when the client has left the room, or when the
/// client is closed. A reconnect does not end it.
#[must_use]
pub struct Messages(Subscription);

impl Events {
    pub(super) fn new(shared: &Arc<Shared>, capacity: usize) -> Self {
        let subscriber = shared.lock().subscribe(None, capacity);
        Events(Subscription { shared: shared.clone(), subscriber })
    }

    /// Waits for the next event. Returns `None` after the last.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.0.poll(cx)).await
    }

    /// Returns the number of events dropped since the last call.
    pub fn take_missed(&mut self) -> u64 {
        self.0.take_missed()
    }
}

impl Messages {
    pub(super) fn new(shared: &Arc<Shared>, room: &str, capacity: usize) -> Self {
        let subscriber = shared.lock().subscribe(Some(room), capacity);
        Messages(Subscription { shared: shared.clone(), subscriber })
    }

    /// Waits for the next message. Returns `None` after the last.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Returns the number of messages dropped since the last call.
    pub fn take_missed(&mut self) -> u64 {
        self.0.take_missed()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            return match self.0.poll(cx) {
                Poll::Ready(Some(Event::Message(message))) => Poll::Ready(Some(message)),
                // Unreachable: a room stream's queue contains only messages.
                Poll::Ready(Some(_)) => continue,
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
        }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll(cx)
    }
}

impl Stream for Messages {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll(cx)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").finish_non_exhaustive()
    }
}
