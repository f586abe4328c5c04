//! A carrier over the official NATS client. It is an example for other brokers.
//!
//! ```no_run
//! use roomer_async_nats::NatsCarrier;
//! use roomer_tokio::{Cluster, Server};
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder().cluster(Cluster::named("chat")).build()?;
//! let subjects = server.cluster_subjects().ok_or("no cluster")?;
//! let carrier = NatsCarrier::connect("nats://127.0.0.1:4222", subjects);
//! let link = server.clone();
//! tokio::spawn(async move { link.run_cluster(carrier, tokio::time::sleep, |it| drop(tokio::spawn(it))).await });
//! # Ok(())
//! # }
//! ```
//!
//! The feature `nats` of `roomer-tokio` and `roomer-smol` contains another carrier for NATS, which
//! has fewer dependencies and costs less per frame.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use futures_util::StreamExt;
use futures_util::stream::select;
use roomer_tokio::{Bytes, Carrier, CarrierEvent, Subject, Subjects};
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};

/// The maximum number of bytes that are queued for the client.
const MAX_QUEUED: usize = 1 << 20;

/// The maximum number of events that are queued for the server.
const MAX_EVENTS: usize = 1024;

/// The delay before the client reconnects for the first time. It grows with each attempt.
const MIN_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(1);

/// The beginning of a message that the node publishes to itself; no frame begins with it. When the
/// message arrives, the broker has handled all earlier subscriptions.
const PROBE: &[u8] = b"probe ";

/// A link to a NATS server through the official client.
pub struct NatsCarrier {
    subjects: Subjects,
    link: Arc<Link>,
    /// The queue of frames for the client. `None` after the link has begun to close.
    frames: Option<UnboundedSender<(String, Bytes)>>,
    events: Receiver<CarrierEvent>,
}

/// The state that the carrier and the client's task share.
#[derive(Default)]
struct Link(Mutex<State>);

#[derive(Default)]
struct State {
    /// The maximum length of a frame; 0 if the link is down.
    max_payload: usize,
    queued: usize,
    /// Wakes the task that waits until all frames have been passed to the client.
    flusher: Option<Waker>,
}

impl Link {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NatsCarrier {
    /// Creates a link to the server at `address`, for a node with these subjects. The link runs in
    /// a task of the current tokio runtime, and reconnects when necessary.
    #[must_use]
    pub fn connect(address: &str, subjects: Subjects) -> Self {
        let (frames, queue) = mpsc::unbounded_channel();
        let (tell, events) = mpsc::channel(MAX_EVENTS);
        let link = Arc::new(Link::default());
        let task = Task {
            own: subjects.own(),
            all: subjects.all(),
            link: link.clone(),
            events: tell,
            probe: 0,
        };
        tokio::spawn(task.run(address.to_owned(), queue));
        NatsCarrier { subjects, link, frames: Some(frames), events }
    }
}

impl Carrier for NatsCarrier {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<CarrierEvent> {
        match self.events.poll_recv(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(event),
            // The task has ended, since the address is invalid or the link was closed. There are no
            // more events.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn publish(&mut self, to: Subject, frame: Bytes) -> bool {
        let mut state = self.link.state();
        if frame.len() > state.max_payload || state.queued > MAX_QUEUED {
            return false;
        }
        let Some(frames) = &self.frames else { return false };
        state.queued += frame.len();
        frames.send((self.subjects.name(to), frame)).is_ok()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.link.state();
        if state.queued == 0 || state.max_payload == 0 {
            return Poll::Ready(());
        }
        state.flusher = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The task ends after it has handled the last frame.
        self.frames = None;
        while let Poll::Ready(event) = self.events.poll_recv(cx) {
            if event.is_none() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

/// The task that runs the client.
struct Task {
    own: String,
    all: String,
    link: Arc<Link>,
    events: Sender<CarrierEvent>,
    /// The number of the probe that was sent last.
    probe: u64,
}

impl Task {
    async fn run(mut self, address: String, mut queue: UnboundedReceiver<(String, Bytes)>) {
        let (tell, mut changes) = mpsc::unbounded_channel();
        let options = ConnectOptions::new()
            .retry_on_initial_connect()
            .reconnect_delay_callback(|tries| {
                MIN_DELAY.saturating_mul(u32::try_from(tries).unwrap_or(u32::MAX)).min(MAX_DELAY)
            })
            .event_callback(move |event| {
                // The send fails only if the task that has the receiver has ended.
                let _ = tell.send(event);
                std::future::ready(())
            });
        // After a reconnect, the client restores its subscriptions automatically.
        let subscribed = async {
            let client = options.connect(&address).await?;
            let (own, all) = (&self.own, &self.all);
            let messages =
                select(client.subscribe(own.clone()).await?, client.subscribe(all.clone()).await?);
            Ok::<_, async_nats::Error>((client, messages))
        };
        let (client, mut messages) = match subscribed.await {
            Ok(subscribed) => subscribed,
            Err(error) => return self.event(CarrierEvent::Down(error.to_string())).await,
        };
        loop {
            tokio::select! {
                Some(event) = changes.recv() => self.changed(&client, event).await,
                Some(message) = messages.next() => self.received(&client, message.payload).await,
                frame = queue.recv() => {
                    let Some((subject, frame)) = frame else { break };
                    let len = frame.len();
                    // If the client does not accept a frame, the frame counts as lost.
                    if self.is_up() {
                        let _ = client.publish(subject, frame).await;
                    }
                    self.handed_over(len);
                }
            }
        }
        let _ = client.flush().await;
    }

    fn is_up(&self) -> bool {
        self.link.state().max_payload > 0
    }

    /// Handles an event of the client's connection.
    async fn changed(&mut self, client: &Client, event: Event) {
        match event {
            Event::Connected => {
                self.down("the connection was replaced").await;
                self.probe += 1;
                let probe = [PROBE, &self.probe.to_be_bytes()].concat();
                let _ = client.publish(self.own.clone(), probe.into()).await;
            }
            Event::Disconnected | Event::Closed => self.down("the connection has ended").await,
            Event::ServerError(_) | Event::ClientError(_) | Event::SlowConsumer(_) => {
                self.event(CarrierEvent::Notice(event.to_string())).await;
            }
            _ => {}
        }
    }

    async fn received(&mut self, client: &Client, payload: Bytes) {
        match payload.strip_prefix(PROBE) {
            None => self.event(CarrierEvent::Frame(payload)).await,
            Some(number) if *number == self.probe.to_be_bytes() && !self.is_up() => {
                let max_payload = client.server_info().max_payload;
                self.link.state().max_payload = max_payload;
                self.event(CarrierEvent::Up { max_payload }).await;
            }
            // The probe was sent on an earlier connection.
            Some(_) => {}
        }
    }

    /// If the link was up, reports that it is down.
    async fn down(&self, why: &str) {
        let was_up = std::mem::take(&mut self.link.state().max_payload) > 0;
        if was_up {
            self.event(CarrierEvent::Down(why.into())).await;
        }
    }

    async fn event(&self, event: CarrierEvent) {
        // The send fails only if the carrier was dropped. Then the queue of frames ends too.
        let _ = self.events.send(event).await;
    }

    fn handed_over(&self, len: usize) {
        let mut state = self.link.state();
        state.queued -= len;
        let flusher = if state.queued == 0 { state.flusher.take() } else { None };
        drop(state);
        flusher.into_iter().for_each(Waker::wake);
    }
}
