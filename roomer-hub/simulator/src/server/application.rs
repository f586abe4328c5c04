//! The application under test: handlers that perform the plan's actions.
//!
//! Each action is recorded before it takes effect.

use std::future::poll_fn;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use roomer_engine::{Builder, Conn, HandlerResult, RecordedInput};
use roomer_hub::Permission;
use roomer_proto::PacketRef;
use roomer_testkit::Clock;

use super::hooks::HookEvent;
use super::plan::{AppAction, Script};
use crate::alphabet::{id_number, identity, noise};
use crate::hub::plan::{Address, ClientRef};
use crate::trace::Trace;

/// The state of the application, which it shares with the harness.
#[derive(Clone, Debug, Default)]
pub struct Application(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub struct State {
    /// By id number, the handles of connections that have called a handler.
    handles: Vec<Option<Conn>>,
    /// For each slot, the id number of its connection.
    pub slots: [Option<u16>; 32],
    pub log: Vec<LogEntry>,
    /// Entries that were taken from the engine's journal while the application determined its
    /// position in it.
    pub journal: Vec<RecordedInput>,
    /// The number of slow handlers and rules that are running.
    pub running: usize,
    /// The callers of slow handlers and rules that were dropped before they completed.
    pub dropped: Vec<u16>,
    /// The slots for which the `authorize` hook was called.
    pub auth_calls: Vec<u8>,
    /// The slots about which the hook decided only after a delay.
    pub auth_decided: Vec<u8>,
    /// The number of calls to the hook that are pending.
    pub auth_in_progress: usize,
}

/// An action of the application. A connection is given by its id number.
#[derive(Clone, Copy, Debug)]
pub enum LogEntry {
    HandlerCalled {
        by: u16,
        handler: usize,
        hash: u64,
    },
    ToRoom {
        by: u16,
        room: &'static str,
        event: &'static str,
        payload: &'static [u8],
    },
    ToClient {
        by: u16,
        dst: &'static str,
        event: &'static str,
        payload: &'static [u8],
    },
    Raw {
        by: u16,
        payload: &'static [u8],
        taken: bool,
    },
    Join {
        client: u16,
        room: &'static str,
    },
    Leave {
        client: u16,
        room: &'static str,
    },
    Close {
        client: u16,
        code: u16,
        reason: &'static str,
    },
    /// A handler starts to wait until this time.
    Paused {
        until: Duration,
    },
    /// A handler that was waiting is polled. The entry contains the length of the journal, and the
    /// number of bytes received, at that time.
    Resumed {
        by: u16,
        after: usize,
        bytes_in: u64,
    },
    Panicked,
    Returned {
        failed: bool,
    },
    /// A hook was called. The journal had this length at that time.
    HookCalled {
        by: u16,
        event: HookEvent,
        after: usize,
        bytes_in: u64,
    },
    HookReturned,
    /// A permission rule was called.
    RuleCalled {
        by: u16,
        about: Permission,
        digest: u64,
    },
    RuleAnswered {
        allowed: bool,
    },
}

/// A slow handler or rule that is running.
pub(super) struct SlowCall {
    pub(super) application: Application,
    pub(super) conn: Conn,
    by: u16,
    pub(super) is_finished: bool,
}

impl Application {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the length of the journal, and the number of bytes that the server has received.
    pub(super) fn journal_position(&self, conn: &Conn) -> (usize, u64) {
        let mut state = self.state();
        // Take the journal now, to determine how many inputs precede this entry.
        conn.server().take_journal(&mut state.journal);
        (state.journal.len(), conn.server().stats().bytes_in)
    }

    /// Registers a handler for each of the plan's scripts.
    pub fn register_handlers(
        &self,
        mut builder: Builder,
        scripts: &[Script],
        clock: &Clock,
    ) -> Builder {
        for (handler, script) in scripts.iter().enumerate() {
            let (application, actions) = (self.clone(), script.actions.clone());
            builder = if script.is_slow() {
                let clock = clock.clone();
                builder.on_async(script.event, move |conn, message| {
                    let by = application.record_call(handler, &conn, &message.packet());
                    // Panic in the call itself, not in the future that it returns: the engine must
                    // contain both kinds of panics.
                    if let [AppAction::Panic, ..] = *actions {
                        _ = application.run_action(&conn, by, AppAction::Panic);
                    }
                    let call = SlowCall::new(application.clone(), conn);
                    call.run(clock.clone(), actions.clone())
                })
            } else {
                builder.on(script.event, move |conn, message| {
                    let by = application.record_call(handler, conn, &message.packet());
                    let end =
                        actions.iter().find_map(|action| application.run_action(conn, by, *action));
                    end.unwrap_or_else(|| application.record_return(Ok(())))
                })
            };
        }
        builder
    }

    /// Records a call of a handler. Returns the caller's id number.
    fn record_call(&self, handler: usize, conn: &Conn, message: &PacketRef<'_>) -> u16 {
        self.record(conn, |by| LogEntry::HandlerCalled { by, handler, hash: hash(message) })
    }

    /// Records an entry, and keeps the connection's handle.
    pub(super) fn record(&self, conn: &Conn, what: impl FnOnce(u16) -> LogEntry) -> u16 {
        let by = number(conn);
        let mut state = self.state();
        let at = usize::from(by);
        if state.handles.len() <= at {
            state.handles.resize(at + 1, None);
        }
        // The plan may use the handle even after the connection has closed.
        state.handles[at] = Some(conn.clone());
        state.log.push(what(by));
        by
    }

    fn record_return(&self, result: HandlerResult) -> HandlerResult {
        self.state().log.push(LogEntry::Returned { failed: result.is_err() });
        result
    }

    /// Performs an action. If the action completes the handler, returns the handler's result.
    pub(super) fn run_action(
        &self,
        conn: &Conn,
        by: u16,
        action: AppAction,
    ) -> Option<HandlerResult> {
        match action {
            AppAction::Panic => {
                self.state().log.push(LogEntry::Panicked);
                // Unlike `panic!`, this does not call the panic hook, which would print a message.
                resume_unwind(Box::new("a plan's panic"))
            }
            AppAction::Fail => Some(self.record_return(Err("a plan's error".into()))),
            action => {
                self.act(conn, by, &action);
                None
            }
        }
    }

    /// Performs an action on the connection in a slot, through its handle and outside any handler.
    pub fn outside(&self, slot: u8, action: &AppAction) {
        // Release the lock before the action, which locks the state again to record itself.
        let found = {
            let state = self.state();
            state.handle(slot).map(|(by, conn)| (by, conn.clone()))
        };
        if let Some((by, conn)) = found {
            self.act(&conn, by, action);
        }
    }

    fn act(&self, conn: &Conn, by: u16, action: &AppAction) {
        let log = |done| self.state().log.push(done);
        match *action {
            AppAction::ToRoom { room, event, payload } => {
                let payload = noise(payload.0, payload.1);
                log(LogEntry::ToRoom { by, room, event, payload });
                conn.send_to_room(room, event, payload);
            }
            AppAction::ToClient { dst, event, payload } => {
                let (dst, payload) = (self.state().address(dst, by), noise(payload.0, payload.1));
                log(LogEntry::ToClient { by, dst, event, payload });
                conn.send_to_client(dst, event, payload);
            }
            AppAction::Raw(payload) => {
                let payload = noise(payload.0, payload.1);
                let at = self.state().log.len();
                let taken = conn.send_raw(payload);
                // Insert the entry before those recorded during the write. The result was decided
                // before the write; during it, the application may act again, and the connection
                // may close.
                self.state().log.insert(at, LogEntry::Raw { by, payload, taken });
            }
            AppAction::Join { room } => {
                log(LogEntry::Join { client: by, room });
                conn.join(room);
            }
            AppAction::Leave { room } => {
                log(LogEntry::Leave { client: by, room });
                conn.leave(room);
            }
            AppAction::Close { code, reason } => {
                log(LogEntry::Close { client: by, code, reason });
                conn.close(code, reason);
            }
            AppAction::CloseOther { slot, code, reason } => {
                let found = self.state().handle(slot).map(|(client, conn)| (client, conn.clone()));
                let Some((client, other)) = found else { return };
                log(LogEntry::Close { client, code, reason });
                other.close(code, reason);
            }
            AppAction::Fail | AppAction::Panic | AppAction::Pause { .. } => {}
        }
    }
}

impl State {
    fn handle(&self, slot: u8) -> Option<(u16, &Conn)> {
        let id = (*self.slots.get(usize::from(slot))?)?;
        Some((id, self.handles.get(usize::from(id))?.as_ref()?))
    }

    /// Returns an address as text. `caller` takes the place of [`ClientRef::Caller`].
    pub fn address(&self, address: Address, caller: u16) -> &'static str {
        let client = |client| match client {
            ClientRef::Slot(slot) => {
                self.slots.get(usize::from(slot)).copied().flatten().map(identity)
            }
            ClientRef::Numbered(number) => Some(identity(number % 32)),
            ClientRef::Caller => Some(identity(caller)),
        };
        match address {
            Address::Nothing => "",
            Address::Id(one) => client(one).map_or("", |identity| &identity.text),
            Address::Upper(one) => client(one).map_or("", |identity| &identity.upper),
            Address::Padded(one) => client(one).map_or("", |identity| &identity.padded),
            Address::Cut(one) => client(one).map_or("", |identity| &identity.cut),
            Address::Word(word) => word,
        }
    }
}

impl SlowCall {
    pub(super) fn new(application: Application, conn: Conn) -> Self {
        application.state().running += 1;
        SlowCall { application, by: number(&conn), conn, is_finished: false }
    }

    async fn run(mut self, clock: Clock, actions: Vec<AppAction>) -> HandlerResult {
        self.record_resume();
        for action in actions {
            if let AppAction::Pause { millis } = action {
                self.pause(&clock, millis).await;
                continue;
            }
            // Set this before the action: a panic drops this call immediately, and it must not be
            // recorded as dropped too early.
            self.is_finished = matches!(action, AppAction::Fail | AppAction::Panic);
            if let Some(result) = self.application.run_action(&self.conn, self.by, action) {
                return result;
            }
        }
        self.is_finished = true;
        self.application.record_return(Ok(()))
    }

    pub(super) async fn pause(&self, clock: &Clock, millis: u32) {
        let wait = Duration::from_millis(millis.into());
        self.application.state().log.push(LogEntry::Paused { until: clock.now() + wait });
        match millis {
            0 => yield_now().await,
            _ => clock.sleep(wait).await,
        }
        self.record_resume();
    }

    pub(super) fn record_resume(&self) {
        let (by, (after, bytes_in)) = (self.by, self.application.journal_position(&self.conn));
        self.application.state().log.push(LogEntry::Resumed { by, after, bytes_in });
    }
}

impl Drop for SlowCall {
    fn drop(&mut self) {
        let mut state = self.application.state();
        state.running -= 1;
        if !self.is_finished {
            // The connection has ended, so the future is dropped before it completes.
            state.dropped.push(self.by);
        }
    }
}

/// Yields to other tasks once.
pub(super) async fn yield_now() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Returns the id number of a connection, or `u16::MAX` if its id is unknown.
fn number(conn: &Conn) -> u16 {
    id_number(conn.id().as_str().as_bytes()).unwrap_or(u16::MAX)
}

/// Returns a hash of a message in the form in which handlers receive it.
pub fn hash(message: &PacketRef<'_>) -> u64 {
    let mut trace = Trace::new();
    let PacketRef { room, event, dst, src, payload } = *message;
    for field in [room, event, dst, src] {
        trace.bytes(field.as_bytes());
    }
    trace.bytes(payload);
    trace.hash()
}
