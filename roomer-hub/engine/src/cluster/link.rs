//! The task of a node's broker link: connects the cluster's state machine and the carrier.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use roomer_hub::cluster::{Event, Input};

use super::carrier::{Carrier, CarrierEvent};
use super::event::ClusterEvent;
use crate::connection::Connection;
use crate::lifecycle::Lifecycle;
use crate::metrics::trace;
use crate::metrics::warning::WarningReason;
use crate::server::Server;
use crate::shared::Shared;
use crate::timer::moment::Moment;
use crate::tunnel::due::DueTunnels;

/// The maximum number of broker events handled under one lock.
const MAX_EVENTS: usize = 64;

/// The maximum number of rounds in one poll before the task yields.
const MAX_ROUNDS: usize = 8;

/// The time limit for a stopping node to publish its last frame.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The time for which a stopping node waits for its tunnels to end, after all its connections have
/// ended.
const TUNNELS_LEAVE: Duration = Duration::from_secs(1);

impl Server {
    /// Runs this node's link to its broker, with the runtime's `sleep`. Spawn the future once. It
    /// completes when the server is closed and the server's last connection has ended. Until then,
    /// it reconnects whenever the broker becomes reachable again after a failure. The server serves
    /// its own clients whether or not the link is up.
    ///
    /// Without [`Builder::cluster`](crate::Builder::cluster) it completes immediately.
    ///
    /// `spawn` starts the task of a connection, as for [`connect`](Self::connect). The link creates
    /// such connections for clients that have returned to another node of the cluster while their
    /// sessions are on this one.
    pub async fn run_cluster<C, S>(
        &self,
        carrier: C,
        sleep: impl Fn(Duration) -> S,
        spawn: impl Fn(Connection),
    ) where
        C: Carrier,
        S: Future,
    {
        let shared = &self.0;
        let hands_over = shared.options().cluster.as_ref().is_some_and(|options| options.hand_over);
        let due = shared.core().cluster.as_mut().map(|state| {
            state.machine.accept_tunnels(hands_over);
            state.tunnels.due.clone()
        });
        let Some(due) = due else { return };
        // The link is counted until this future ends or is dropped.
        let _linked = Linked::new(&shared.lifecycle);
        let mut link = LinkTask {
            shared,
            due,
            carrier,
            sleep,
            spawn,
            timer: None,
            flush_at: None,
            goodbye: None,
            tunnels_until: None,
            is_closing: false,
            events: Vec::new(),
        };
        poll_fn(|cx| link.poll(cx)).await;
    }
}

impl Shared {
    /// Wakes the link's task, to check whether the server is closed.
    pub(crate) fn wake_link(&self) {
        let link = self.core().cluster.as_mut().and_then(|state| state.link.take());
        if let Some(link) = link {
            link.wake();
        }
    }
}

/// Counts a running link so that a drain waits for its last frame.
struct Linked<'s>(&'s Lifecycle);

impl<'s> Linked<'s> {
    fn new(lifecycle: &'s Lifecycle) -> Self {
        lifecycle.link(true);
        Linked(lifecycle)
    }
}

impl Drop for Linked<'_> {
    fn drop(&mut self) {
        self.0.link(false);
    }
}

struct LinkTask<'s, C, F, G, S> {
    shared: &'s Arc<Shared>,
    due: Arc<DueTunnels>,
    carrier: C,
    sleep: F,
    /// Starts the task of a connection.
    spawn: G,
    /// The runtime's timer and its deadline.
    timer: Option<(Duration, Pin<Box<S>>)>,
    /// The time at which to flush the rooms left by the last flush.
    flush_at: Option<Moment>,
    /// The deadline after which a stopping node gives up publishing its last frame.
    goodbye: Option<Duration>,
    /// The deadline after which a stopping node no longer waits for its tunnels.
    tunnels_until: Option<Duration>,
    /// True once everything is published and the link is being closed.
    is_closing: bool,
    events: Vec<CarrierEvent>,
}

impl<C, F, G, S> LinkTask<'_, C, F, G, S>
where
    C: Carrier,
    F: Fn(Duration) -> S,
    G: Fn(Connection),
    S: Future,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..MAX_ROUNDS {
            if self.is_closing {
                return self.poll_close(cx);
            }
            let has_more = self.receive(cx);
            self.accept_returned();
            self.publish(cx);
            let is_written = self.carrier.poll_flush(cx).is_ready();
            if self.is_finished(is_written) {
                // Close the link within this poll, since nothing may wake the task later.
                self.is_closing = true;
                continue;
            }
            if !has_more && !self.is_due(cx) {
                return Poll::Pending;
            }
        }
        // Yield: a busy broker must not keep the runtime's other tasks waiting.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Handles the broker's events, and the deadlines of the cluster's machine. Returns true if
    /// there may be more events.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        // Collect the broker's events before taking the lock so that many frames cost one lock and
        // one flush.
        while self.events.len() < MAX_EVENTS
            && let Poll::Ready(event) = self.carrier.poll_event(cx)
        {
            self.events.push(event);
        }
        let has_more = self.events.len() == MAX_EVENTS;
        let (shared, now) = (self.shared, self.shared.now());
        self.due.register(cx.waker());
        if self.flush_at.is_some_and(|at| now >= at) {
            self.flush_at = shared.flush().then_some(now.into());
        }
        let mut reports = Vec::new();
        let mut core = shared.core();
        for event in self.events.drain(..) {
            let (input, report) = read(event);
            reports.extend(report);
            if let Some(input) = input {
                core.apply_cluster(now, input);
            }
        }
        let state = core.cluster.as_ref();
        // Handle waiting frames first, since each proves that its node is alive.
        if !has_more && state.is_some_and(|state| state.machine.wake_at() <= now) {
            core.apply_cluster(now, Input::Tick);
        }
        // The node stops only after all its connections have ended, so that its peers receive the
        // leaves before the last frame.
        let stops =
            self.goodbye.is_none() && shared.is_closing() && core.outbound.writers.is_empty();
        // Send the tunnels' data before counting the tunnels, since nothing wakes the task after
        // the last one is removed.
        core.send_tunnels(now);
        let has_tunnels = core.cluster.as_ref().is_some_and(|state| !state.tunnels.is_empty());
        // A peer that accepts no more tunnel data must not keep the node from stopping.
        let waits =
            stops && has_tunnels && now < *self.tunnels_until.get_or_insert(now + TUNNELS_LEAVE);
        if !waits {
            self.tunnels_until = None;
        }
        if stops && !waits {
            core.apply_cluster(now, Input::Stop);
            self.goodbye = Some(now + CLOSE_GRACE);
        }
        core.close_lossy(now, shared.options().drain_policy(), shared.options().flush.max_per_poll);
        let mut senders = Vec::new();
        if let Some(state) = &mut core.cluster {
            senders = state.tunnels.take_woken();
            for event in state.events.drain(..) {
                let hook = ClusterEvent::new(&event, &mut state.shown);
                reports.push(Report::Event(event));
                reports.extend(hook.map(Report::Hook));
            }
            if !state.machine.is_any_congested() {
                senders.append(&mut state.gate.open());
            }
        }
        shared.flush_after_input(now, core, &mut self.flush_at);
        // Wake the senders after releasing the lock, since a woken task or a hook may call the
        // server immediately.
        senders.into_iter().for_each(Waker::wake);
        reports.into_iter().for_each(|report| report.make(shared));
        has_more
    }

    /// Starts a task for each client that has returned to another node while its session is on this
    /// one.
    fn accept_returned(&self) {
        let mut core = self.shared.core();
        let Some(state) = &mut core.cluster else { return };
        let arrivals = state.tunnels.take_arrivals();
        drop(core);
        let returned = |arrival| Connection::returned(self.shared, arrival);
        arrivals.into_iter().filter_map(returned).for_each(&self.spawn);
    }

    /// Passes frames to the carrier until it is full, and registers the task's waker for further ones.
    fn publish(&mut self, cx: &Context<'_>) {
        let now = self.shared.now();
        let mut core = self.shared.core();
        let Some(state) = &mut core.cluster else { return };
        // A clone shares the bytes, which the journal keeps until the peers have applied them.
        state.machine.publish(now, |to, frame| self.carrier.publish(to, frame.clone()));
        // Register under the lock so that the next input with something to publish wakes this task.
        state.link = Some(cx.waker().clone());
    }

    /// Returns true if the node's last frame was published, or can no longer be published.
    fn is_finished(&self, is_written: bool) -> bool {
        let Some(deadline) = self.goodbye else { return false };
        let core = self.shared.core();
        let wants = core.cluster.as_ref().is_some_and(|state| state.machine.wants_to_publish());
        (is_written && !wants) || deadline <= self.shared.now()
    }

    /// Closes the link. Returns `Poll::Ready` no later than the deadline for the last frame.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.goodbye else { return Poll::Ready(()) };
        match self.carrier.poll_close(cx).is_ready() || self.is_past(deadline, cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Sets the timer. Returns true if a deadline has already passed.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        let core = self.shared.core();
        let state = core.cluster.as_ref();
        let wake_at = state.map(|state| state.machine.wake_at());
        let close_at = state.and_then(|state| state.close_on_loss.due_at());
        drop(core);
        let flush_at = self.flush_at.map(Duration::from);
        let own = flush_at.into_iter().chain(self.goodbye).chain(self.tunnels_until);
        let at = wake_at.into_iter().chain(close_at).chain(own).min();
        at.is_some_and(|at| self.is_past(at, cx))
    }

    /// Returns true if the time `at` has passed. Otherwise sets the timer for it.
    fn is_past(&mut self, at: Duration, cx: &mut Context<'_>) -> bool {
        let now = self.shared.now();
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

/// Converts a carrier's event into an input for the cluster's machine and a report for the
/// operator.
fn read(event: CarrierEvent) -> (Option<Input>, Option<Report>) {
    match event {
        CarrierEvent::Up { max_payload } => (Some(Input::Up { max_payload }), Some(Report::Up)),
        CarrierEvent::Down(reason) => (Some(Input::Down), Some(Report::Down(reason))),
        CarrierEvent::Notice(text) => (None, Some(Report::Notice(text))),
        CarrierEvent::Frame(frame) => (Some(Input::Frame(frame)), None),
    }
}

/// A report to the operator or to the application, delivered without holding the lock.
enum Report {
    Up,
    Down(String),
    Notice(String),
    Event(Event),
    Hook(ClusterEvent),
}

impl Report {
    fn make(self, shared: &Arc<Shared>) {
        match self {
            Report::Up => trace::broker_up(),
            Report::Down(reason) => shared.warnings.give(WarningReason::BrokerDown { reason }),
            Report::Notice(text) => shared.warnings.give(WarningReason::BrokerNotice { text }),
            Report::Hook(event) => shared.call_cluster_hook(&event),
            Report::Event(event) => {
                trace::cluster_event(&event);
                match event {
                    Event::Settings { name, .. } => {
                        shared.warnings.give(WarningReason::PeerSettings { peer: name.into() });
                    }
                    Event::Foreign { node, version } => {
                        shared
                            .warnings
                            .give(WarningReason::ForeignPeer { node: node.to_string(), version });
                    }
                    _ => {}
                }
            }
        }
    }
}
