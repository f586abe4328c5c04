//! What a world knows of the application in its server: what panicked, what returned an error,
//! what does not end.

use std::any::Any;
use std::cell::RefCell;

use super::world::World;
use roomer_engine::{HandlerFailure, HandlerMonitor, PendingHandler};
use roomer_hub::ConnId;

/// What tokio's panic says where there is no tokio.
const NO_TOKIO: &str = "there is no reactor running";

#[derive(Default)]
pub(super) struct Application {
    pub(super) witness: HandlerMonitor,
    may_panic: bool,
    may_wait: bool,
    /// A runtime drives this world, and wakes it.
    pub(super) is_driven: bool,
    panics: RefCell<Vec<HandlerFailure>>,
    errors: RefCell<Vec<HandlerFailure>>,
}

impl Application {
    /// Takes note of what has gone wrong. The first panic since the last time, unless panics are
    /// allowed.
    fn note(&self) -> Option<HandlerFailure> {
        let mut unexpected = None;
        for mishap in self.witness.take_mishaps() {
            if !mishap.is_panic {
                self.errors.borrow_mut().push(mishap);
                continue;
            }
            if !self.may_panic {
                unexpected.get_or_insert(mishap.clone());
            }
            self.panics.borrow_mut().push(mishap);
        }
        unexpected
    }
}

impl World {
    /// Lets the application panic: a test about that looks at [`panics`](Self::panics). Otherwise
    /// the first panic of a handler, a rule or a hook fails the test with its message and the seed,
    /// though the server contains it.
    pub fn allow_panics(&mut self) {
        self.application.may_panic = true;
    }

    /// Lets handlers, rules and hooks wait for ever, or for another thread. Otherwise the test
    /// fails when one waits for something that can no longer wake it, or that is outside this
    /// world and has no order that the seed decides.
    pub fn allow_waiting(&mut self) {
        self.application.may_wait = true;
    }

    /// Lets other threads wake handlers, rules and hooks, and send while this world is at rest: for
    /// a runtime that drives it and waits for them, by [`poll_woken`](Self::poll_woken).
    pub fn allow_outside(&mut self) {
        self.application.is_driven = true;
    }

    /// What has panicked so far, in order.
    #[must_use]
    pub fn panics(&self) -> Vec<HandlerFailure> {
        // One that is unexpected is still to fail the test, and does so with the next step.
        if self.application.may_panic {
            self.application.note();
        }
        self.application.panics.borrow().clone()
    }

    /// The errors that handlers have returned so far, in order. They are printed, too, when a test
    /// fails.
    #[must_use]
    pub fn errors(&self) -> Vec<HandlerFailure> {
        if let Some(panic) = self.application.note() {
            self.fail_for(&panic);
        }
        self.application.errors.borrow().clone()
    }

    /// The handlers, rules and hooks that have begun and wait for something, in the order in which
    /// they began. They are printed, too, when a test fails.
    #[must_use]
    pub fn waiting(&self) -> Vec<PendingHandler> {
        self.application.witness.waiting()
    }

    /// Fails if something of the application's has panicked, was woken from outside, or
    /// `is_restless`.
    pub(super) fn check_application(&self, is_restless: bool) {
        if let Some(panic) = self.application.note() {
            self.fail_for(&panic);
        }
        let outsiders = self.application.witness.take_outsiders();
        if !(self.application.may_wait || self.application.is_driven)
            && let Some((part, conn)) = outsiders.first()
        {
            self.fail(&format!(
                "{} waits for something outside this world: another thread has woken it. \
                 roomer_tokio::testkit::TokioWorld waits for such things; World::allow_waiting lets \
                 them be",
                self.name(part, *conn)
            ));
        }
        if is_restless && let Some(waiting) = self.waiting().first() {
            self.fail(&format!(
                "{} does not come to rest: it wakes itself over and over. If it waits for tokio, \
                 run it in roomer_tokio::testkit::TokioWorld",
                self.name(&waiting.part, waiting.conn)
            ));
        }
    }

    /// Fails if something waits that nothing can wake.
    pub(super) fn check_waiting(&self) {
        if self.application.may_wait {
            return;
        }
        if let Some(stuck) = self.waiting().iter().find(|waiting| !waiting.can_wake) {
            self.fail(&format!(
                "{} waits for something outside this world, or for nothing: nothing is left that \
                 could wake it. If that is meant, call World::allow_waiting",
                self.name(&stuck.part, stuck.conn)
            ));
        }
    }

    fn fail_for(&self, panic: &HandlerFailure) -> ! {
        let hint = match panic.message.contains(NO_TOKIO) {
            true => ". This world has no tokio: use roomer_tokio::testkit::TokioWorld",
            false => "",
        };
        let name = self.name(&panic.part, panic.conn);
        self.fail(&format!("{name} panicked: {}{hint}", panic.message));
    }

    /// Names a part of the application, and the client that it runs or ran for, as messages of a
    /// world's do: ``the handler of `save`, for client 0,``.
    #[must_use]
    pub fn name(&self, part: &str, conn: Option<ConnId>) -> String {
        let Some(conn) = conn else { return part.to_owned() };
        let has = |id: &str| self.clients().iter().position(|client| client.id() == id);
        // One that has not read its id yet is known by the turn that it has just had.
        let in_turn = || self.in_turn.filter(|number| self.clients()[*number].id().is_empty());
        match has(conn.as_str()).or_else(in_turn) {
            Some(number) => format!("{part}, for client {number},"),
            None => format!("{part}, for {conn},"),
        }
    }
}

impl Drop for World {
    /// Fails the test for what has panicked since the last step. When the test is failing already,
    /// prints what may be the cause.
    fn drop(&mut self) {
        let panic = self.application.note();
        if !std::thread::panicking() {
            if let Some(panic) = panic {
                self.fail_for(&panic);
            }
            return;
        }
        for mishap in self.application.errors.borrow().iter() {
            tell(&format!("{} {mishap}", self.seed()));
        }
        let hint = match self.application.is_driven {
            true => "",
            false => " that has not come in this world, which no runtime drives",
        };
        for PendingHandler { part, conn, .. } in self.waiting() {
            let name = self.name(&part, conn);
            tell(&format!("{} {name} had not ended: it waits for something{hint}", self.seed()));
        }
    }
}

#[allow(clippy::print_stderr, reason = "the test harness shows it with the failure")]
fn tell(what: &str) {
    eprintln!("under seed {what}");
}

/// What a panic has said.
pub(super) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
