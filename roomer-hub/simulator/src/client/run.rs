//! Runs a plan, and checks the events that clients report to their applications.
//!
//! Whatever happens to connections, each message arrives at most once and in order, and each lost
//! message is reported.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a simulation is reported as a fault"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use roomer_engine::Server;
use roomer_proto::client::{Event, Options, State};

use super::marks::{Mark, Marks};
use super::net::{MINUTE, Net, plain};
use super::plan::{CLIENTS, Kind, LOBBY, Plan, ROOMS, Step};
use crate::fault::{Fault, caught, ensure};
use crate::simulation::Outcome;
use crate::trace::Trace;

/// A session lifetime that exceeds all disconnections in a plan, including the delays between
/// connection attempts.
const LONG_WINDOW: Duration = Duration::from_secs(150);
/// A session lifetime that is shorter than some disconnections.
const SHORT_WINDOW: Duration = Duration::from_secs(5);

struct Run<'p> {
    plan: &'p Plan,
    net: Net,
    /// The texts that each client has sent.
    sent: Vec<Vec<String>>,
    /// For each client, the rooms besides the lobby that its application wants to be in.
    wished: BTreeSet<(usize, &'static str)>,
    marks: Marks,
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Outcome {
    let window = if plan.kind == Kind::Sessions { LONG_WINDOW } else { SHORT_WINDOW };
    let net = Net::new(plan.seed, Server::builder().resume_window(window));
    let (sent, marks) = (vec![Vec::new(); CLIENTS], Marks::default());
    let mut run = Run { plan, net, sent, wished: BTreeSet::new(), marks };
    let fault = caught(|| run.all()).err();
    // Hash only the events: a release may change the bytes that carry them.
    let mut trace = Trace::new();
    for end in &run.net.ends {
        end.events.iter().for_each(|event| trace.bytes(format!("{event:?}").as_bytes()));
    }
    Outcome {
        steps: plan.steps.len() as u64,
        hash: trace.hash(),
        marks: run.marks.0,
        fault: fault.map(|Fault(what)| what),
    }
}

impl Run<'_> {
    fn all(&mut self) -> Result<(), Fault> {
        let options = if self.plan.kind == Kind::Plain { plain() } else { Options::default() };
        for _ in 0..CLIENTS {
            let number = self.net.add(options.clone());
            self.net.join(number, LOBBY);
        }
        self.net.settle();
        for step in &self.plan.steps {
            self.step(*step);
        }
        self.net.is_up = true;
        // Wait longer than the maximum backoff and the maximum delay of membership notices.
        self.net.advance(3 * MINUTE);
        self.mark_events();
        self.check_members()?;
        match self.plan.kind {
            Kind::Sessions => self.check_nothing_is_lost(),
            _ => self.check_losses_are_reported(),
        }
    }

    fn step(&mut self, step: Step) {
        let net = &mut self.net;
        let is_away = |net: &Net, number: usize| net.state(number) != State::Open;
        match step {
            Step::Send(number) => {
                let text = format!("{number}:{}", self.sent[number].len());
                net.send(number, LOBBY, &text);
                self.sent[number].push(text);
                let is_other_away = (0..CLIENTS).any(|at| at != number && is_away(net, at));
                self.marks.mark(is_away(net, number), Mark::Queued);
                self.marks.mark(is_other_away, Mark::Crossing);
            }
            Step::Join(number, room) => {
                net.join(number, room);
                self.wished.insert((number, room));
                self.marks.mark(is_away(net, number), Mark::JoinedAway);
            }
            Step::Leave(number, room) => {
                net.leave(number, room);
                let was_wished = self.wished.remove(&(number, room));
                self.marks.mark(was_wished && is_away(net, number), Mark::LeftAway);
            }
            Step::Disconnect(number) => {
                self.marks.mark(!is_away(net, number), Mark::Disconnect);
                net.cut(number);
            }
            Step::Blackhole(number) => {
                self.marks.mark(!is_away(net, number), Mark::Dark);
                net.drop_silently(number);
            }
            Step::Advance(span) => net.advance(span),
            Step::Settle => net.settle(),
            Step::Reachable(is_up) => net.is_up = is_up,
        }
    }

    fn mark_events(&mut self) {
        for end in &self.net.ends {
            let count = |is_it: fn(&Event) -> bool| end.events.iter().filter(|e| is_it(e)).count();
            let resumed = count(|event| matches!(event, Event::Opened { is_resumed: true, .. }));
            let opened = count(|event| matches!(event, Event::Opened { is_resumed: false, .. }));
            let is_plain = self.plan.kind == Kind::Plain;
            let marks = &mut self.marks;
            marks.mark(resumed > 0, Mark::Resumed);
            marks.mark(resumed > 2, Mark::SeveralReturns);
            marks.mark(opened > 1 && !is_plain, Mark::Outdated);
            marks.mark(opened > 1 && is_plain, Mark::Anew);
            marks.mark(end.attempts > resumed + opened, Mark::Unreachable);
            marks.mark(count(|event| matches!(event, Event::Lost(_))) > 0, Mark::Lost);
            marks.mark(count(|event| matches!(event, Event::Rejoined { .. })) > 0, Mark::Rejoined);
            marks.mark(count(|event| matches!(event, Event::Left { .. })) > 0, Mark::Left);
        }
    }

    /// Checks that each client is connected, is in the rooms that its application wants to be in,
    /// and lists their members correctly.
    fn check_members(&self) -> Result<(), Fault> {
        for number in 0..CLIENTS {
            let state = self.net.state(number);
            ensure!(state == State::Open, "client {number} is {state:?}");
            for room in ROOMS.into_iter().chain([LOBBY]) {
                let mut members = self.net.world.server().members(room);
                members.sort_unstable();
                let is_in = members.contains(&self.net.id(number));
                let believes = self.net.ends[number].client.is_joined(room);
                let wishes = room == LOBBY || self.wished.contains(&(number, room));
                // The server puts each connection into `root`, whether or not the application wants
                // it.
                ensure!(wishes == is_in || room == "root", "client {number} in {room}: {is_in}");
                ensure!(is_in == believes, "client {number} in {room}: {is_in}, not {believes}");
                let known = self.net.members(number, room);
                ensure!(!is_in || known == members, "client {number} knows {known:?} in {room}");
            }
        }
        Ok(())
    }

    fn check_nothing_is_lost(&self) -> Result<(), Fault> {
        for sender in 0..CLIENTS {
            let lost = self.net.lost(sender);
            ensure!(lost.is_empty(), "client {sender} reports {lost:?} as lost");
            for receiver in (0..CLIENTS).filter(|receiver| *receiver != sender) {
                let received = self.received(sender, receiver);
                let sent = &self.sent[sender];
                ensure!(received == *sent, "{received:?} of {sender} at {receiver}, not {sent:?}");
            }
        }
        let lost = self.net.world.server().stats().lost;
        ensure!(lost == 0, "the server has lost {lost}");
        Ok(())
    }

    /// Checks that the last client, which was never disconnected, has received each message that
    /// its sender has not reported as lost.
    fn check_losses_are_reported(&self) -> Result<(), Fault> {
        let last = CLIENTS - 1;
        for sender in 0..last {
            let received = self.received(sender, last);
            let lost = self.net.lost(sender);
            let sent = &self.sent[sender];
            let missing = sent.iter().find(|text| !received.contains(text) && !lost.contains(text));
            ensure!(missing.is_none(), "{missing:?} is missing, and not reported");
            // The messages that have arrived must have done so once and in order.
            let expected = sent.iter().filter(|text| received.contains(text));
            ensure!(received.iter().eq(expected), "{received:?} of {sender}, sent as {sent:?}");
            let events = &self.net.ends[sender].events;
            // A client whose connection never broke must not lose any message.
            let has_broken = events.iter().any(|event| matches!(event, Event::Suspended(_)));
            ensure!(lost.is_empty() || has_broken, "client {sender} lost {lost:?} while connected");
        }
        for receiver in 0..last {
            let received = self.received(last, receiver);
            let once: BTreeSet<_> = received.iter().collect();
            ensure!(
                once.len() == received.len(),
                "{received:?} at {receiver}: a message arrived twice"
            );
            let expected = self.sent[last].iter().filter(|text| received.contains(text));
            ensure!(received.iter().eq(expected), "{received:?} at {receiver}: out of order");
        }
        let lost = self.net.lost(last);
        ensure!(lost.is_empty(), "a client that stays reports {lost:?} as lost");
        Ok(())
    }

    /// Returns the texts that one client has received from another, in order.
    fn received(&self, sender: usize, receiver: usize) -> Vec<String> {
        let prefix = format!("{sender}:");
        let mut texts = self.net.texts(receiver, LOBBY);
        texts.retain(|text| text.starts_with(&prefix));
        texts
    }
}
