//! Sends events about connections and members to a webhook.
//!
//! They are stored in a bounded queue, and one task delivers them in order.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64, HEXLOWER};
use ring::rand::{self, SystemRandom};
use roomer_tokio::{Builder, Conn, DisconnectReason, Message};
use serde::Serialize;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::call::Call;
use crate::serve::config::options::{EventKind, Options};
use crate::serve::rights::Pattern;

/// The maximum delay before another attempt.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(30);

/// The room that every client joins. The event `connected` stands for this join.
const ROOT: &str = "root";

/// The webhook that receives events.
pub(crate) struct Events {
    pub(super) call: Arc<Call>,
    kinds: Vec<EventKind>,
    /// The patterns of the rooms about which events are sent; empty for all rooms.
    rooms: Arc<[Pattern]>,
    /// The patterns that the event of a message must match to be sent; empty for all.
    message_events: Vec<Pattern>,
    /// The maximum number of bytes in the queue that come from messages.
    queue_bytes: u64,
    /// The number of the last event. The lock is held while an event is queued, so that the numbers
    /// are in the order of the queue.
    last: Mutex<u64>,
    queue: mpsc::Sender<Event>,
    /// The receiving end of the queue, until the delivery task takes it.
    receiver: Mutex<Option<mpsc::Receiver<Event>>>,
    end: Notify,
    /// Identifies this process, since every process numbers its events from the start.
    process: String,
    batch: usize,
    retries: usize,
    retry_after: Duration,
    timeout: Duration,
    pub(super) counts: EventCounts,
    /// The number of dropped events that have not been logged yet.
    unlogged: AtomicU64,
}

#[derive(Default)]
pub(super) struct EventCounts {
    pub(super) waiting: AtomicU64,
    /// The number of bytes in the queue that come from messages.
    waiting_bytes: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) dropped: AtomicU64,
}

#[derive(Serialize)]
struct Event {
    /// The number of the event. Numbers are consecutive; where events were dropped, there is a gap.
    number: u64,
    /// The Unix time of the event, in milliseconds.
    at: u64,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(flatten)]
    content: Content,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Content {
    Connected {
        address: Option<IpAddr>,
    },
    Joined {
        room: String,
    },
    Left {
        room: String,
    },
    Disconnected {
        by: &'static str,
        code: Option<u16>,
    },
    Message {
        room: String,
        name: String,
        #[serde(flatten)]
        payload: Payload,
    },
}

/// A payload, encoded as in the HTTP API.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Payload {
    Text(String),
    Base64(String),
}

impl Payload {
    fn new(bytes: &[u8]) -> Payload {
        match std::str::from_utf8(bytes) {
            Ok(text) => Payload::Text(text.into()),
            Err(_) => Payload::Base64(BASE64.encode(bytes)),
        }
    }
}

impl Event {
    /// Returns the number of bytes in the event that come from a client's message.
    fn message_bytes(&self) -> u64 {
        match &self.content {
            Content::Message {
                name, payload: Payload::Text(text) | Payload::Base64(text), ..
            } => (name.len() + text.len()) as u64,
            _ => 0,
        }
    }
}

#[derive(Serialize)]
struct Batch<'a> {
    r#type: &'static str,
    process: &'a str,
    events: &'a [Event],
}

/// The task that delivers events.
pub(crate) struct Delivery {
    events: Arc<Events>,
    task: JoinHandle<()>,
}

impl Events {
    pub(super) fn new(
        call: Arc<Call>,
        rooms: Arc<[Pattern]>,
        options: &Options,
    ) -> Result<Events, String> {
        let process = rand::generate::<[u8; 16]>(&SystemRandom::new());
        let process = process.map_err(|_| "the system provides no random numbers")?.expose();
        // The queue has a maximum size. A limit above it has the same effect as none.
        let places = options.webhooks_queue.min(tokio::sync::Semaphore::MAX_PERMITS);
        let (queue, receiver) = mpsc::channel(places);
        Ok(Events {
            call,
            kinds: options.webhooks_kinds.clone(),
            rooms,
            message_events: options.webhooks_message_events.clone(),
            queue_bytes: options.webhooks_queue_bytes.0 as u64,
            last: Mutex::new(0),
            queue,
            receiver: Mutex::new(Some(receiver)),
            end: Notify::new(),
            process: HEXLOWER.encode(&process),
            batch: options.webhooks_batch,
            retries: options.webhooks_retries,
            retry_after: options.webhooks_retry_after,
            timeout: options.webhooks_timeout,
            counts: EventCounts::default(),
            unlogged: AtomicU64::new(0),
        })
    }

    /// Configures a server so that it queues its events.
    pub(crate) fn add(self: &Arc<Self>, mut builder: Builder) -> Builder {
        for kind in &self.kinds {
            let events = self.clone();
            builder = match kind {
                EventKind::Connected => builder.on_connect(move |conn| {
                    events
                        .push(conn, Content::Connected { address: conn.peer().map(|at| at.ip()) });
                }),
                EventKind::Joined => builder.on_join(move |conn, room| {
                    if events.includes_room(room) {
                        events.push(conn, Content::Joined { room: room.into() });
                    }
                }),
                EventKind::Left => builder.on_leave(move |conn, room| {
                    if events.includes_room(room) {
                        events.push(conn, Content::Left { room: room.into() });
                    }
                }),
                EventKind::Disconnected => builder.on_disconnect(move |conn, reason| {
                    let (by, code) = match reason {
                        DisconnectReason::ByPeer(code) => ("client", code),
                        DisconnectReason::ByServer(code) => ("server", Some(code)),
                        // The connection was lost, or ended for a reason that was added in a later
                        // version.
                        _ => ("network", None),
                    };
                    events.push(conn, Content::Disconnected { by, code });
                }),
                // These events are queued by the rules for rooms, which see every message, and know
                // which ones are permitted.
                EventKind::Message => builder,
            };
        }
        builder
    }

    /// Returns true if events about messages are sent.
    pub(crate) fn has_messages(&self) -> bool {
        self.kinds.contains(&EventKind::Message)
    }

    /// Queues the event about a message to a room.
    pub(crate) fn message(&self, conn: &Conn, message: &Message<'_>) {
        let matches = |pattern: &Pattern| pattern.matches(message.event);
        let is_event = self.message_events.is_empty() || self.message_events.iter().any(matches);
        if is_event && self.includes_room(message.room) {
            self.push(
                conn,
                Content::Message {
                    room: message.room.into(),
                    name: message.event.into(),
                    payload: Payload::new(message.payload),
                },
            );
        }
    }

    fn includes_room(&self, room: &str) -> bool {
        room != ROOT
            && (self.rooms.is_empty() || self.rooms.iter().any(|pattern| pattern.matches(room)))
    }

    /// Queues an event. If the queue is full, drops the event: the server must not wait for a
    /// webhook.
    fn push(&self, conn: &Conn, content: Content) {
        // This is the time of the event, which may be delivered much later.
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        let event = Event {
            number: *last,
            at: u64::try_from(at).unwrap_or(u64::MAX),
            id: conn.id().to_string(),
            user: conn.user().map(str::to_owned),
            content,
        };
        // Add the bytes before the event is queued, since the delivery task may subtract them
        // immediately.
        let bytes = event.message_bytes();
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        let before = self.counts.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let is_full = bytes > 0 && before + bytes > self.queue_bytes;
        if is_full || self.queue.try_send(event).is_err() {
            self.counts.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.drop_events(1);
            self.unlogged.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn drop_events(&self, count: u64) {
        self.counts.waiting.fetch_sub(count, Ordering::Relaxed);
        self.counts.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Starts the task that delivers the events.
    pub(crate) fn start(self: Arc<Self>) -> Delivery {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        let events = self.clone();
        let task = tokio::spawn(async move {
            if let Some(receiver) = receiver {
                events.deliver_all(receiver).await;
            }
        });
        Delivery { events: self, task }
    }

    async fn deliver_all(&self, mut queue: mpsc::Receiver<Event>) {
        let mut batch = Vec::new();
        loop {
            // `recv_many` is cancel safe: if the other branch completes, no event is lost.
            let count = tokio::select! {
                count = queue.recv_many(&mut batch, self.batch) => count,
                () = self.end.notified() => {
                    // Events that are already in the queue can still be received.
                    queue.close();
                    continue;
                }
            };
            if count == 0 {
                return;
            }
            self.deliver(&batch).await;
            let bytes = batch.iter().map(Event::message_bytes).sum();
            self.counts.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            batch.clear();
            let dropped = self.unlogged.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                tracing::warn!(
                    dropped,
                    "events dropped, since webhooks.queue or queue_bytes was full"
                );
            }
        }
    }

    /// Delivers a batch. After the last attempt has failed, drops the batch. Later batches wait, so
    /// that events arrive in order.
    async fn deliver(&self, batch: &[Event]) {
        let count = batch.len() as u64;
        let content = Batch { r#type: "events", process: &self.process, events: batch };
        // Serialize the batch once for all attempts.
        let body = match serde_json::to_vec(&content) {
            Ok(body) => hyper::body::Bytes::from(body),
            Err(error) => {
                tracing::error!(%error, "events cannot be written as JSON");
                return self.drop_events(count);
            }
        };
        let mut pause = self.retry_after;
        let mut repetitions = 0..self.retries;
        loop {
            let Err(error) = self.call.notify(body.clone()).await else {
                self.call.counts.accepted.fetch_add(1, Ordering::Relaxed);
                self.counts.waiting.fetch_sub(count, Ordering::Relaxed);
                self.counts.delivered.fetch_add(count, Ordering::Relaxed);
                return;
            };
            self.call.fail(&error);
            if repetitions.next().is_none() {
                tracing::warn!(dropped = count, error, "events dropped after the last repetition");
                return self.drop_events(count);
            }
            sleep(pause).await;
            pause = (pause * 2).min(MAX_RETRY_PAUSE);
        }
    }
}

impl Delivery {
    /// Delivers the events that are left, within the time limit.
    pub(crate) async fn finish(mut self) {
        // If the task is not waiting at this moment, the notification is stored.
        self.events.end.notify_one();
        if timeout(self.events.timeout, &mut self.task).await.is_err() {
            self.task.abort();
            let dropped = self.events.counts.waiting.load(Ordering::Relaxed);
            tracing::warn!(dropped, "events dropped, since the server ended");
        }
    }
}
