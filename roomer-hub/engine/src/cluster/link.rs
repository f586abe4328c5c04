//! The task between the machine and the broker.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use roomer_hub::cluster::{Event, Input};

use super::carrier::{Carrier, CarrierEvent};
use super::hooks::ClusterEvent;
use crate::Server;
use crate::metrics::trace;
use crate::metrics::warning::WarningCause;
use crate::timer::moment::Moment;

/// The maximum number of the broker's events that are handled under one lock.
const MAX_EVENTS: usize = 64;

/// The maximum number of rounds in one poll, before other tasks get their turn.
const MAX_ROUNDS: usize = 8;

/// The time in which a stopping node tries to publish its last frame.
const GOODBYE: Duration = Duration::from_secs(1);

impl Server {
    /// Runs this node's link to its broker, with the runtime's `sleep`. Spawn it once. It ends when the
    /// server is closed and its last connection is gone; until then it connects again whenever the
    /// broker was away. The server serves its own clients with or without it.
    ///
    /// Without [`Builder::cluster`](crate::Builder::cluster) it ends at once.
    pub async fn run_cluster<C, S>(&self, carrier: C, sleep: impl Fn(Duration) -> S)
    where
        C: Carrier,
        S: Future,
    {
        if self.core().cluster.is_none() {
            return;
        }
        // Until this future ends, or is dropped.
        let _linked = Linked::new(self);
        let mut link = Link {
            server: self,
            carrier,
            sleep,
            timer: None,
            flush_at: None,
            goodbye: None,
            is_closing: false,
            events: Vec::new(),
        };
        poll_fn(|cx| link.poll(cx)).await;
    }
}

impl Server {
    /// Warns of a link to a broker whose server is not part of a cluster; for adapters.
    pub fn warn_without_cluster(&self) {
        self.warn(WarningCause::NoCluster);
    }

    /// Wakes the link's task, which checks whether the server is closed.
    pub(crate) fn wake_link(&self) {
        let link = self.core().cluster.as_mut().and_then(|state| state.link.take());
        if let Some(link) = link {
            link.wake();
        }
    }
}

/// Counts the link while it runs, so that a drain waits for its last frame.
struct Linked<'s>(&'s Server);

impl<'s> Linked<'s> {
    fn new(server: &'s Server) -> Self {
        server.0.lifecycle.link(true);
        Linked(server)
    }
}

impl Drop for Linked<'_> {
    fn drop(&mut self) {
        self.0.0.lifecycle.link(false);
    }
}

struct Link<'s, C, F, S> {
    server: &'s Server,
    carrier: C,
    sleep: F,
    /// The runtime's timer, and when it fires.
    timer: Option<(Duration, Pin<Box<S>>)>,
    /// When to flush the rooms that the last flush has left.
    flush_at: Option<Moment>,
    /// When a stopping node no longer tries to publish its last frame.
    goodbye: Option<Duration>,
    /// True once nothing is left to publish, and the broker has to end the link.
    is_closing: bool,
    events: Vec<CarrierEvent>,
}

impl<C: Carrier, F: Fn(Duration) -> S, S: Future> Link<'_, C, F, S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..MAX_ROUNDS {
            if self.is_closing {
                return self.poll_close(cx);
            }
            let has_more = self.receive(cx);
            self.publish(cx);
            let is_written = self.carrier.poll_flush(cx).is_ready();
            if self.is_over(is_written) {
                // Closed in this poll, since nothing may wake the task later.
                self.is_closing = true;
                continue;
            }
            if !has_more && !self.is_due(cx) {
                return Poll::Pending;
            }
        }
        // A busy broker must not keep the runtime's other tasks waiting.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Handles the broker's events, and the machine's deadlines. Returns true if there may be more
    /// events.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        // Collected before the lock is taken: many frames then cost one lock and one flush.
        while self.events.len() < MAX_EVENTS
            && let Poll::Ready(event) = self.carrier.poll_event(cx)
        {
            self.events.push(event);
        }
        let has_more = self.events.len() == MAX_EVENTS;
        let (server, now) = (self.server, self.server.now());
        if self.flush_at.is_some_and(|at| now >= at) {
            self.flush_at = server.flush().then_some(now.into());
        }
        let mut reports = Vec::new();
        let mut core = server.core();
        for event in self.events.drain(..) {
            let input = match event {
                CarrierEvent::Up { max_payload } => {
                    reports.push(Report::Up);
                    Input::Up { max_payload }
                }
                CarrierEvent::Down(why) => {
                    reports.push(Report::Down(why));
                    Input::Down
                }
                CarrierEvent::Notice(text) => {
                    reports.push(Report::Notice(text));
                    continue;
                }
                CarrierEvent::Frame(frame) => Input::Frame(frame),
            };
            core.apply_cluster(now, input);
        }
        let state = core.cluster.as_ref();
        // Waiting frames are handled first, since each is a sign of life of its node.
        if !has_more && state.is_some_and(|state| state.machine.wake_at() <= now) {
            core.apply_cluster(now, Input::Tick);
        }
        // Only after all connections have ended, so that peers receive each of these leaves first.
        let stops =
            self.goodbye.is_none() && server.is_closing() && core.outbound.writers.is_empty();
        if stops {
            core.apply_cluster(now, Input::Stop);
            self.goodbye = Some(now + GOODBYE);
        }
        core.close_lossy(now, server.options().drain_policy(), server.options().flush.max_per_poll);
        let mut senders = Vec::new();
        if let Some(state) = &mut core.cluster {
            for event in state.events.drain(..) {
                let hook = ClusterEvent::new(&event, &mut state.shown);
                reports.push(Report::Event(event));
                reports.extend(hook.map(Report::Hook));
            }
            if !state.machine.is_any_congested() {
                senders = state.gate.open();
            }
        }
        server.flush_after_input(now, core, &mut self.flush_at);
        // After the unlock: a woken task, or a hook, may use the server at once.
        senders.into_iter().for_each(Waker::wake);
        reports.into_iter().for_each(|report| report.make(server));
        has_more
    }

    /// Hands frames to the carrier until it is full, and registers the task for the next ones.
    fn publish(&mut self, cx: &Context<'_>) {
        let now = self.server.now();
        let mut core = self.server.core();
        let Some(state) = &mut core.cluster else { return };
        // A clone shares the bytes, which the journal keeps until the peers have applied them.
        state.machine.publish(now, |to, frame| self.carrier.publish(to, frame.clone()));
        // Under the lock, so that the next input with something to publish wakes this task.
        state.link = Some(cx.waker().clone());
    }

    /// Returns true once the node has published its last frame or cannot.
    fn is_over(&self, is_written: bool) -> bool {
        let Some(deadline) = self.goodbye else { return false };
        let core = self.server.core();
        let wants = core.cluster.as_ref().is_some_and(|state| state.machine.wants_to_publish());
        (is_written && !wants) || deadline <= self.server.now()
    }

    /// Closes the link; gives up at the deadline of the last frame.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.goodbye else { return Poll::Ready(()) };
        match self.carrier.poll_close(cx).is_ready() || self.is_past(deadline, cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Sets the timer. Returns true if something is due already.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        let core = self.server.core();
        let state = core.cluster.as_ref();
        let wake_at = state.map(|state| state.machine.wake_at());
        let close_at = state.and_then(|state| state.closing.due_at());
        drop(core);
        let flush_at = self.flush_at.map(Duration::from);
        let at = wake_at.into_iter().chain(close_at).chain(flush_at).chain(self.goodbye).min();
        at.is_some_and(|at| self.is_past(at, cx))
    }

    /// Returns true once the time `at` is reached; otherwise sets the timer for it.
    fn is_past(&mut self, at: Duration, cx: &mut Context<'_>) -> bool {
        let now = self.server.now();
        if at <= now {
            return true;
        }
        if self.timer.as_ref().is_none_or(|(set, _)| *set != at) {
            self.timer = Some((at, Box::pin((self.sleep)(at - now))));
        }
        let Some((_, timer)) = &mut self.timer else { return false };
        let is_due = timer.as_mut().poll(cx).is_ready();
        if is_due {
            self.timer = None;
        }
        is_due
    }
}

/// A report for the operator or the application, made without the lock.
enum Report {
    Up,
    Down(String),
    Notice(String),
    Event(Event),
    Hook(ClusterEvent),
}

impl Report {
    fn make(self, server: &Server) {
        match self {
            Report::Up => trace::broker_up(),
            Report::Down(why) => server.warn(WarningCause::BrokerDown { why }),
            Report::Notice(text) => server.warn(WarningCause::BrokerNotice { text }),
            Report::Hook(event) => server.call_cluster_hook(&event),
            Report::Event(event) => {
                trace::cluster_event(&event);
                match event {
                    Event::Settings { name, .. } => {
                        server.warn(WarningCause::PeerSettings { peer: name.into() });
                    }
                    Event::Foreign { node, version } => {
                        server.warn(WarningCause::ForeignPeer { node: node.to_string(), version });
                    }
                    _ => {}
                }
            }
        }
    }
}
