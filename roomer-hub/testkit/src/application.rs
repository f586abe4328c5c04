//! Detects application panics, handler errors, and callbacks that never complete.

use std::any::Any;
use std::cell::RefCell;

use super::world::World;
use roomer_engine::{HandlerFailure, HandlerMonitor, PendingHandler};
use roomer_hub::ConnId;

/// The message with which tokio panics outside its runtime.
const NO_TOKIO: &str = "there is no reactor running";

#[derive(Default)]
pub(super) struct Application {
    pub(super) monitor: HandlerMonitor,
    may_panic: bool,
    may_wait: bool,
    /// True if a runtime drives this world, and may wake the world's tasks from outside.
    pub(super) has_driver: bool,
    panics: RefCell<Vec<HandlerFailure>>,
    errors: RefCell<Vec<HandlerFailure>>,
}

impl Application {
    /// Collects new panics and errors. Returns the first new panic, unless panics are allowed.
    fn record(&self) -> Option<HandlerFailure> {
        let mut unexpected = None;
        for failure in self.monitor.take_failures() {
            if !failure.is_panic {
                self.errors.borrow_mut().push(failure);
                continue;
            }
            if !self.may_panic {
                // The first panic is usually the cause of the later ones.
                unexpected.get_or_insert(failure.clone());
            }
            self.panics.borrow_mut().push(failure);
        }
        unexpected
    }
}

impl World {
    /// Allows the application to panic. The test can then inspect [`panics`](Self::panics).
    /// Otherwise, the first panic in a handler, a rule or a hook fails the test with the panic
    /// message and the seed, although the server catches it.
    pub fn allow_panics(&mut self) {
        self.application.may_panic = true;
    }

    /// Allows handlers, rules and hooks to wait forever, or for another thread. Otherwise, the test
    /// fails if one of them waits for an event that can no longer happen, or for an event outside
    /// this world, whose order the seed does not determine.
    pub fn allow_waiting(&mut self) {
        self.application.may_wait = true;
    }

    /// Allows other threads to wake handlers, rules and hooks, and to send while this world is
    /// idle. Required by a runtime that drives the world and waits with
    /// [`poll_woken`](Self::poll_woken).
    pub fn allow_external_wakeups(&mut self) {
        self.application.has_driver = true;
    }

    /// Returns all panics so far, in order.
    #[must_use]
    pub fn panics(&self) -> Vec<HandlerFailure> {
        // An unexpected panic stays recorded so that the next step fails the test.
        if self.application.may_panic {
            self.application.record();
        }
        self.application.panics.borrow().clone()
    }

    /// Returns all handler errors so far, in order. They are also printed if the test fails.
    #[must_use]
    pub fn errors(&self) -> Vec<HandlerFailure> {
        if let Some(panic) = self.application.record() {
            self.fail_for(&panic);
        }
        self.application.errors.borrow().clone()
    }

    /// Returns the handlers, rules and hooks that have started but not completed, in the order in
    /// which they started. They are also printed if the test fails.
    #[must_use]
    pub fn waiting(&self) -> Vec<PendingHandler> {
        self.application.monitor.pending()
    }

    /// Fails the test if application code has panicked, was woken from outside, or keeps waking
    /// itself.
    pub(super) fn check_application(&self, is_busy_looping: bool) {
        if let Some(panic) = self.application.record() {
            self.fail_for(&panic);
        }
        // Take the external wakeups even if they are allowed, so that they do not accumulate.
        let outsiders = self.application.monitor.take_external_wakeups();
        if !(self.application.may_wait || self.application.has_driver)
            && let Some((part, conn)) = outsiders.first()
        {
            self.fail(&format!(
                "{} waits for something outside this world: another thread has woken it. \
                 roomer_tokio::testkit::TokioWorld waits for such things; World::allow_waiting \
                 permits them",
                self.describe(part, *conn)
            ));
        }
        if is_busy_looping && let Some(waiting) = self.waiting().first() {
            self.fail(&format!(
                "{} keeps waking itself. If it waits for tokio, \
                 run it in roomer_tokio::testkit::TokioWorld",
                self.describe(&waiting.part, waiting.conn)
            ));
        }
    }

    /// Fails the test if a callback is waiting and nothing can wake it.
    pub(super) fn check_waiting(&self) {
        if self.application.may_wait {
            return;
        }
        if let Some(stalled) = self.waiting().iter().find(|waiting| !waiting.can_wake) {
            self.fail(&format!(
                "{} waits for something outside this world, or for nothing: nothing is left that \
                 could wake it. If this is intended, call World::allow_waiting",
                self.describe(&stalled.part, stalled.conn)
            ));
        }
    }

    fn fail_for(&self, panic: &HandlerFailure) -> ! {
        let hint = match panic.message.contains(NO_TOKIO) {
            true => ". This world has no tokio: use roomer_tokio::testkit::TokioWorld",
            false => "",
        };
        let name = self.describe(&panic.part, panic.conn);
        self.fail(&format!("{name} panicked: {}{hint}", panic.message));
    }

    /// Describes a callback and the client that it runs for, as in a world's failure messages:
    /// ``the handler of `save`, for client 0,``.
    #[must_use]
    pub fn describe(&self, part: &str, conn: Option<ConnId>) -> String {
        let Some(conn) = conn else { return part.to_owned() };
        let has = |id: &str| self.clients().iter().position(|client| client.id() == id);
        // If the client has not received its id yet, identify it as the one that was last polled.
        let last_polled =
            || self.last_polled.filter(|number| self.clients()[*number].id().is_empty());
        match has(conn.as_str()).or_else(last_polled) {
            Some(number) => format!("{part}, for client {number},"),
            None => format!("{part}, for {conn},"),
        }
    }
}

impl Drop for World {
    /// Fails the test if a callback has panicked since the last step. If the test is already
    /// failing, prints errors and pending callbacks instead, which may be the cause.
    fn drop(&mut self) {
        let panic = self.application.record();
        // A second panic would abort the process and hide the first.
        if !std::thread::panicking() {
            if let Some(panic) = panic {
                self.fail_for(&panic);
            }
            return;
        }
        for failure in self.application.errors.borrow().iter() {
            print_line(&format!("{} {failure}", self.seed()));
        }
        let hint = match self.application.has_driver {
            true => "",
            false => " that has not come in this world, which no runtime drives",
        };
        for PendingHandler { part, conn, .. } in self.waiting() {
            let name = self.describe(&part, conn);
            print_line(&format!(
                "{} {name} had not ended: it waits for something{hint}",
                self.seed()
            ));
        }
    }
}

#[allow(clippy::print_stderr, reason = "the test harness shows it with the failure")]
fn print_line(what: &str) {
    eprintln!("under seed {what}");
}

/// Extracts the message from a panic's payload.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
