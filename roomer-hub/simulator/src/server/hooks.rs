//! The hooks of the application.
//!
//! Each event must be reported to its hook once and in order. A hook may in turn call the server.

use roomer_engine::{Builder, Conn, DisconnectReason, RecordedInput};

use super::application::{Application, LogEntry};
use super::cursor::Cursor;
use super::harness::Harness;
use super::marks::Mark;
use super::plan::Hooks;
use crate::alphabet::{ROOMS, room_number};
use crate::fault::{Fault, ensure};

/// An event for which a hook is called.
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
    /// The number of the input that has caused the event. Events that one input causes in several
    /// rooms may be reported in any order.
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
        // Determine the position in the journal first, since the action adds inputs to it.
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
    /// Records that a hook must be called for an event, if the plan registers this hook.
    pub(super) fn expect_hook(&mut self, client: u16, what: HookEvent) {
        if self.plan.setup.hooks.is_some_and(|hooks| hooks.is_enabled(what)) {
            let by = self.model.clients[usize::from(client)].id;
            self.pending_hooks.push_back(PendingHook { by, event: what, cause: self.input_count });
        }
    }

    /// Removes the pings that the server has answered in this poll before it called a hook.
    pub(super) fn answer_before_hook(&mut self, at: usize, bytes_in: u64) {
        let conn = &self.conns[at];
        let come = bytes_in - self.bytes_in;
        // Input that follows a message with a pending handler is parsed only after the hooks for
        // the handler's events were called.
        if conn.parse_resumes_at != Some(bytes_in) {
            self.settle_pings_up_to(at, conn.read_at_poll + come);
        }
    }

    /// Checks that a hook was called for the event that is next, and checks the effects of the
    /// hook's action.
    pub(super) fn check_hook_called(
        &mut self,
        (by, what): (u16, HookEvent),
        journal: &mut Cursor<'_, RecordedInput>,
        log: &mut Cursor<'_, LogEntry>,
    ) -> Result<(), Fault> {
        let first = self.pending_hooks.front().copied();
        // If a connection is closed, it leaves its rooms in any order.
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
