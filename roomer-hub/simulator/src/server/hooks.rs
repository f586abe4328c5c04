//! The application's hooks. Each event must be reported once and in order, and a hook may act on
//! it.

use roomer_engine::{Builder, Conn, DisconnectReason, RecordedInput};

use super::application::{Application, LogEntry};
use super::cursor::Cursor;
use super::harness::Harness;
use super::marks::Mark;
use super::plan::Hooks;
use crate::alphabet::{ROOMS, room_number};
use crate::fault::{Fault, ensure};

/// An event that calls a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookEvent {
    Connected,
    Joined(&'static str),
    Left(&'static str),
    Gone(DisconnectReason),
}

impl HookEvent {
    fn kind(self) -> u8 {
        match self {
            HookEvent::Connected => 0,
            HookEvent::Joined(_) => 1,
            HookEvent::Left(_) => 2,
            HookEvent::Gone(_) => 3,
        }
    }
}

/// An event whose hook must still be called.
#[derive(Clone, Copy, Debug)]
pub struct PendingHook {
    by: u16,
    event: HookEvent,
    /// The number of the input that caused the event. If one input causes events in several rooms,
    /// they may come in any order.
    cause: u32,
}

impl Hooks {
    fn is_enabled(self, what: HookEvent) -> bool {
        self.enabled >> what.kind() & 1 == 1
    }

    fn is_acting(self, by: u16, what: HookEvent) -> bool {
        self.acting >> (what.kind() + 4 * (by & 1) as u8) & 1 == 1
    }
}

impl Application {
    pub(super) fn register_hooks(&self, mut builder: Builder, hooks: Option<Hooks>) -> Builder {
        let Some(hooks) = hooks else { return builder };
        let application = self.clone();
        let receive = move |conn: &Conn, what| application.on_hook(hooks, conn, what);
        let (connect, join, leave, end) =
            (receive.clone(), receive.clone(), receive.clone(), receive);
        if hooks.is_enabled(HookEvent::Connected) {
            builder = builder.on_connect(move |conn| connect(conn, HookEvent::Connected));
        }
        if hooks.is_enabled(HookEvent::Joined("")) {
            builder = builder.on_join(move |conn, room| join(conn, HookEvent::Joined(known(room))));
        }
        if hooks.is_enabled(HookEvent::Left("")) {
            builder = builder.on_leave(move |conn, room| leave(conn, HookEvent::Left(known(room))));
        }
        if hooks.is_enabled(HookEvent::Gone(DisconnectReason::Lost)) {
            builder = builder.on_disconnect(move |conn, why| end(conn, HookEvent::Gone(why)));
        }
        builder
    }

    fn on_hook(&self, hooks: Hooks, conn: &Conn, what: HookEvent) {
        // Determine the position before the action, whose inputs follow it.
        let (after, bytes_in) = self.journal_position(conn);
        let by = self.record(conn, |by| LogEntry::HookCalled { by, event: what, after, bytes_in });
        if hooks.is_acting(by, what) {
            // A hook cannot return an error.
            _ = self.run_action(conn, by, hooks.action);
        }
        self.state().log.push(LogEntry::HookReturned);
    }
}

/// Returns a `'static` copy of a room's name.
fn known(room: &str) -> &'static str {
    room_number(room).map_or("unknown", |number| ROOMS[usize::from(number)])
}

impl Harness<'_> {
    /// Expects a hook call, if the plan registers the hook.
    pub(super) fn expect_hook(&mut self, client: u16, what: HookEvent) {
        if self.plan.setup.hooks.is_some_and(|hooks| hooks.is_enabled(what)) {
            let by = self.model.clients[usize::from(client)].id;
            self.pending_hooks.push_back(PendingHook { by, event: what, cause: self.input_count });
        }
    }

    /// Consumes the pings that the server answered before a hook was called in this poll.
    pub(super) fn answer_before_hook(&mut self, at: usize, bytes_in: u64) {
        let conn = &self.conns[at];
        let come = bytes_in - self.bytes_in;
        // Input behind a message whose handler is pending is parsed after the hooks for the
        // handler's events.
        if conn.parse_resumes_at != Some(bytes_in) {
            self.settle_pings_up_to(at, conn.read_at_poll + come);
        }
    }

    /// Checks that a hook is called for the expected event, and checks the effects of its action.
    pub(super) fn check_hook_called(
        &mut self,
        (by, what): (u16, HookEvent),
        journal: &mut Cursor<'_, RecordedInput>,
        log: &mut Cursor<'_, LogEntry>,
    ) -> Result<(), Fault> {
        let first = self.pending_hooks.front().copied();
        // A closed connection leaves its rooms in unspecified order.
        let place =
            self.pending_hooks.iter().position(|pending| pending.by == by && pending.event == what);
        let may = place.is_some_and(|place| {
            let is_left = |pending: &PendingHook| matches!(pending.event, HookEvent::Left(_));
            let together = |pending: &PendingHook| {
                is_left(pending)
                    && pending.by == by
                    && Some(pending.cause) == first.map(|pending| pending.cause)
            };
            place == 0 || self.pending_hooks.iter().take(place + 1).all(together)
        });
        ensure!(may, "a hook is called for {what:?} of {by} instead of {first:?}");
        place.and_then(|place| self.pending_hooks.remove(place));
        let Some(at) = self.by_id(by) else {
            return Err(Fault::new(format!("a hook is called for an unknown id {by}")));
        };
        while let Some(action) = log.next() {
            match action {
                LogEntry::HookReturned => return Ok(()),
                LogEntry::Panicked => {
                    self.failures.1 += 1;
                    self.marks.mark(true, Mark::HookPanics);
                    self.marks.mark(self.conns[at].waiting.is_some(), Mark::HookPanicsWhileWaiting);
                    return self.check_panicked(at, journal, "a hook failed");
                }
                LogEntry::Raw { by, payload, taken } => self.check_raw(by, payload, taken)?,
                action => {
                    let is_own = matches!(action, LogEntry::Close { client, .. } if client == by);
                    self.marks.mark(is_own && self.is_connected(at), Mark::HookCloses);
                    self.marks.mark(!self.is_connected(at), Mark::HookActsForGone);
                    let entry = journal.next();
                    self.check_action(action, entry)?;
                }
            }
        }
        Err(Fault::new("a hook did not complete".into()))
    }
}
