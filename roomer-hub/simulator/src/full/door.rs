//! Who is let in: the application's `authorize` hook, and what it makes of a handshake.

use std::panic::resume_unwind;
use std::time::Duration;

use roomer_engine::{AuthResult, Builder, Claims, Rejection, Request};
use roomer_testkit::Clock;

use super::due::{Order, What};
use super::handlers::{Application, yield_now};
use super::line::MAX_HEAD;
use super::marks::Mark;
use super::plan::Door;
use super::stage::Stage;
use super::talk::{Meaning, Said};
use crate::fault::{Fault, ensure};

/// A handshake about which the application was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    /// Until when it takes its time.
    pub(super) until: Duration,
    /// The status that it comes to, if nothing is in the way by then.
    status: u16,
    /// Where the request ended.
    pub(super) at: u64,
    /// How much may have been read by the time that it has decided.
    pub(super) most: u64,
}

/// A hook that has not come to its end.
struct Knock(Application);

impl Drop for Knock {
    fn drop(&mut self) {
        self.0.state().knocking -= 1;
    }
}

impl Door {
    fn has(slots: u32, slot: u8) -> bool {
        slots >> (slot % 32) & 1 == 1
    }

    /// What a request comes to that would be answered with this status otherwise.
    fn status(&self, slot: u8, status: u16) -> u16 {
        match self {
            door if Door::has(door.admits, slot) => status,
            door if Door::has(door.panics, slot) => 500,
            _ => 401,
        }
    }

    fn verdict(&self, slot: u8) -> AuthResult {
        match self.status(slot, 101) {
            101 => Ok(Claims::default()),
            401 => Err(Rejection::unauthorized("not today")),
            // Not panic!, whose hook would tell people.
            _ => resume_unwind(Box::new("a plan's panic")),
        }
    }

    fn wait(&self, slot: u8) -> Option<u32> {
        self.wait.filter(|_| Door::has(self.waits, slot))
    }
}

impl Application {
    /// Registers the hook, if there is to be one.
    pub(super) fn door(&self, builder: Builder, door: Option<Door>, clock: &Clock) -> Builder {
        let (application, clock) = (self.clone(), clock.clone());
        match door {
            None => builder,
            Some(door) if door.wait.is_none() => {
                builder.authorize(move |request| door.verdict(application.knocks(request)))
            }
            Some(door) => builder.authorize_async(move |request| {
                let slot = application.knocks(&request);
                application.state().knocking += 1;
                let (application, clock) = (application.clone(), clock.clone());
                let knock = Knock(application.clone());
                async move {
                    let _knock = knock;
                    match door.wait(slot) {
                        None => {}
                        Some(0) => yield_now().await,
                        Some(wait) => clock.sleep(Duration::from_millis(wait.into())).await,
                    }
                    if door.wait(slot).is_some() {
                        application.state().resolved.push(slot);
                    }
                    door.verdict(slot)
                }
            }),
        }
    }

    /// Notes that it was asked about the one in a slot.
    fn knocks(&self, request: &Request) -> u8 {
        let slot = request.header("x-slot").and_then(|slot| slot.parse().ok()).unwrap_or(u8::MAX);
        self.state().knocks.push(slot);
        slot
    }
}

impl Stage<'_> {
    /// A request has been read: the status that it is answered with at once, if it is.
    fn decided(&mut self, at: usize, said: Said) -> Result<Option<u16>, Fault> {
        let Meaning::Request(status) = said.what else {
            return Err(Fault::new(format!("{:?} before a request", said.what)));
        };
        // The wrong place or the wrong method: nobody is asked.
        if matches!(status, 404 | 405) {
            return Ok(Some(status));
        }
        // Whatever else is wrong with a request for an upgrade, this comes first.
        if let Some(status) = self.refusal(at) {
            self.full(status);
            return Ok(Some(status));
        }
        let Some(door) = self.plan.setup.door else { return Ok(Some(status)) };
        let slot = self.lines[at].slot;
        let asked = std::mem::take(&mut self.application.state().knocks);
        ensure!(
            asked == [slot],
            "connection {at} asks to come in, the hook was asked for {asked:?}"
        );
        let (now, comes_to) = (self.now(), door.status(slot, status));
        self.seen.mark(comes_to == 401, Mark::Unauthorized);
        self.seen.mark(comes_to == 500, Mark::DoorPanics);
        let Some(wait) = door.wait(slot) else { return Ok(Some(comes_to)) };
        let until = now + Duration::from_millis(wait.into());
        let most = self.lines[at].read.max(said.at + MAX_HEAD);
        self.lines[at].asking = Some(Asking { until, status: comes_to, at: said.at, most });
        Ok(None)
    }

    /// The hook that was asked about a connection has decided: the status that it comes to.
    fn resolved(&mut self, at: usize) -> Result<Option<Asking>, Fault> {
        let resolved = std::mem::take(&mut self.application.state().resolved);
        if resolved.is_empty() {
            return Ok(None);
        }
        let (now, line) = (self.now(), &mut self.lines[at]);
        let asking = line.asking.take().filter(|asking| now >= asking.until);
        let is_due = resolved == [line.slot] && asking.is_some();
        ensure!(is_due, "the hook lets {resolved:?} know, connection {at} waits: {asking:?}");
        Ok(asking)
    }

    /// A connection opens. Where its request ended.
    pub(super) fn admitted(&mut self, at: usize) -> Result<u64, Fault> {
        let line = &mut self.lines[at];
        let (mut status, mut end) = (None, 0);
        if line.asking.is_none()
            && let Some(said) = line.mouth.next(line.read)
        {
            (status, end) = (self.decided(at, said)?, said.at);
        }
        if let Some(asking) = self.resolved(at)? {
            (status, end) = (Some(asking.status), asking.at);
            self.seen.mark(true, Mark::AdmittedAfterWait);
        }
        let refusal = self.refusal(at);
        ensure!(status == Some(101), "connection {at} opens, its request comes to {status:?}");
        ensure!(refusal.is_none(), "connection {at} opens, due is {refusal:?}");
        Ok(end)
    }

    /// What a turn has come to of a connection whose handshake is not done.
    pub(super) fn after_handshake_turn(&mut self, at: usize, is_done: bool) -> Result<(), Fault> {
        let now = self.now();
        let limit = Duration::from_millis(self.plan.setup.handshake);
        let (is_stopping, may_be_cut) = (self.is_stopping, self.may_be_cut());
        let line = &mut self.lines[at];
        if line.is_aborted || (is_done && may_be_cut) {
            line.asking = None;
            return Ok(());
        }
        if let Some(status) = line.turned_away {
            self.seen.mark(true, Mark::TurnedAway);
            return self.refused(at, status);
        }
        if line.asking.is_none()
            && let Some(said) = line.mouth.next(line.read)
            && let Some(status) = self.decided(at, said)?
        {
            return self.refused(at, status);
        }
        if let Some(Asking { status, .. }) = self.resolved(at)? {
            let refusal = self.refusal(at).filter(|_| status == 101);
            if let Some(refusal) = refusal {
                self.seen.mark(true, Mark::FullAfterWait);
                self.full(refusal);
            }
            return self.refused(at, refusal.unwrap_or(status));
        }
        let line = &mut self.lines[at];
        let is_asking = line.asking.is_some();
        let status = match line {
            _ if is_asking && is_stopping => None,
            _ if is_asking && now >= line.created + limit => Some(503),
            _ if line.is_read_to_the_end() && !line.is_glutted() => None,
            _ if is_stopping => None,
            _ if now >= line.created + limit => Some(408),
            _ => {
                ensure!(!is_done, "the handshake of connection {at} ends for nothing");
                return Ok(());
            }
        };
        self.seen.mark(is_asking && status.is_none(), Mark::GoneWhileAsking);
        self.seen.mark(is_asking && status.is_some(), Mark::AskedTooLong);
        match status {
            Some(status) => self.refused(at, status),
            None => {
                ensure!(is_done, "the handshake of connection {at} goes on");
                self.lines[at].asking = None;
                Ok(())
            }
        }
    }

    /// A handshake is answered with an error.
    fn refused(&mut self, at: usize, status: u16) -> Result<(), Fault> {
        ensure!(status != 101, "connection {at} is not opened");
        let now = self.now();
        let line = &mut self.lines[at];
        if line.turned_away.is_none() {
            self.counts.refused(status);
        }
        line.asking = None;
        line.due.push(now, Order::Alone, What::Answer(status), false);
        line.is_deaf = true;
        line.begin_closing(now);
        Ok(())
    }

    /// There was no room for one more.
    fn full(&mut self, status: u16) {
        let is_ending = self.is_stopping || self.drain.is_some();
        self.seen.mark(is_ending, Mark::Unavailable);
        self.seen.mark(!is_ending && status == 503, Mark::Full);
        self.seen.mark(status == 429, Mark::FullForAddress);
        self.was_full |= !is_ending;
    }
}
