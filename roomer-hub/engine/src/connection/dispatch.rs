//! How a packet passes: the hub's rules, the application's rules, its handler.
//!
//! The hub decides; where it wants the application's word, it says so, and the word is fetched with
//! the lock released. A word that takes its time makes the connection wait, and only that.

use std::fmt::Display;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use roomer_proto::{PacketRef, close};

use crate::Server;
use crate::app::conn::Conn;
use crate::app::handler::{self, BoxFuture, CallResult, HandlerError, HandlerPanic, HandlerResult};
use crate::app::message::{Message, OwnedMessage};
use crate::app::monitor::ObservedCall;
use crate::core::Core;
use crate::metrics::trace;
use crate::outbound::socket_writer::SocketWriter;
use crate::sync::MutexGuard;
use roomer_hub::{Command, Input};

/// A connection whose packet passes.
pub(crate) struct Dispatcher<'p, 's> {
    pub(crate) server: &'s Server,
    pub(crate) conn: &'p Conn,
    pub(crate) now: Duration,
}

/// What comes of a packet.
#[derive(Default)]
pub(crate) struct Dispatched {
    /// The application's word is not out yet.
    pub(crate) pending: Option<Box<PendingCall>>,
    /// A receiver that is owed too much: whoever sends to it should wait.
    pub(crate) congested: Option<Arc<SocketWriter>>,
    /// The hub has closed the sender because of it: nothing behind it is handled.
    pub(crate) is_closed: bool,
}

/// The application's word on a packet, while it is awaited.
pub(crate) struct PendingCall {
    future: CallFuture,
    observed: ObservedCall,
    pub(crate) message: OwnedMessage,
}

enum CallFuture {
    Handler(BoxFuture<HandlerResult>),
    Rule(BoxFuture<bool>),
}

/// What the application has to say.
pub(crate) enum CallOutcome {
    Handled(HandlerResult),
    Judged(bool),
    Panicked(HandlerPanic),
}

impl PendingCall {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CallOutcome> {
        let outcome = self.observed.poll(cx, |cx| match &mut self.future {
            CallFuture::Handler(run) => handler::poll(run, cx).map_ok(CallOutcome::Handled),
            CallFuture::Rule(run) => handler::poll(run, cx).map_ok(CallOutcome::Judged),
        });
        outcome.map(|result| result.unwrap_or_else(CallOutcome::Panicked))
    }
}

impl<'s> Dispatcher<'_, 's> {
    /// Gives the hub an input about a packet and does what it asks for, until that is done or has
    /// to be waited for.
    pub(crate) fn dispatch(
        &self,
        mut core: MutexGuard<'s, Core>,
        input: Input<'_>,
        packet: PacketRef<'_>,
    ) -> (MutexGuard<'s, Core>, Dispatched) {
        let (conn, server) = (self.conn.info.key, self.server);
        let mut dispatched = Dispatched::default();
        let mut input: Input<'_> = input;
        let packet = PacketRef { src: self.conn.info.id.as_str(), ..packet };
        let message = Message::new(&packet, self.conn.info.id);
        loop {
            let outcome = core.apply(self.now, input, None);
            (dispatched.congested, dispatched.is_closed) = (outcome.congested, outcome.is_closed);
            if let Some(handler) = outcome.call.and_then(|key| server.handler(key)) {
                drop(core);
                let ran = server.run_callback(|| handler.run(self.conn, &message));
                core = server.core();
                core = match ran {
                    CallResult::Done(result) => self.handled(core, &message, result),
                    CallResult::Panicked(panic) => self.panicked(core, &message, panic),
                    CallResult::Pending(run, message) => {
                        dispatched.pending =
                            Some(self.wait("handler of", CallFuture::Handler(run), message));
                        core
                    }
                };
                return (core, dispatched);
            }
            let Some(rule) = outcome.ask.and_then(|about| server.options().rules.rule(about))
            else {
                return (core, dispatched);
            };
            drop(core);
            let ran = server.run_callback(|| rule.run(self.conn, &message));
            core = server.core();
            input = match ran {
                CallResult::Done(true) => Input::Allowed { conn, packet },
                CallResult::Done(false) => Input::Denied { conn, packet },
                CallResult::Panicked(panic) => {
                    return (self.panicked(core, &message, panic), dispatched);
                }
                CallResult::Pending(run, message) => {
                    dispatched.pending =
                        Some(self.wait("rule about", CallFuture::Rule(run), message));
                    return (core, dispatched);
                }
            };
        }
    }

    fn wait(&self, kind: &str, future: CallFuture, message: OwnedMessage) -> Box<PendingCall> {
        let id = self.conn.info.id;
        let whose = || (format!("the {kind} `{}`", message.event), Some(id));
        let observed = self.server.observe(whose);
        Box::new(PendingCall { future, observed, message })
    }

    /// A handler has come to its end.
    pub(crate) fn handled(
        &self,
        mut core: MutexGuard<'s, Core>,
        message: &Message<'_>,
        result: HandlerResult,
    ) -> MutexGuard<'s, Core> {
        let Err(error) = result else { return core };
        core.counts.handler_errors += 1;
        self.report(core, message, error)
    }

    /// A handler or a rule has panicked: its connection ends.
    pub(crate) fn panicked(
        &self,
        mut core: MutexGuard<'s, Core>,
        message: &Message<'_>,
        panic: HandlerPanic,
    ) -> MutexGuard<'s, Core> {
        core = self.close_failed(core);
        self.report(core, message, panic.into())
    }

    /// The application's code has panicked.
    fn close_failed(&self, mut core: MutexGuard<'s, Core>) -> MutexGuard<'s, Core> {
        let conn = self.conn.info.key;
        core.counts.panics += 1;
        let close = Command::close(conn, &close::HANDLER_FAILED);
        core.apply(self.now, Input::Command(close), None);
        core
    }

    fn report(
        &self,
        core: MutexGuard<'s, Core>,
        message: &Message<'_>,
        error: HandlerError,
    ) -> MutexGuard<'s, Core> {
        let server = self.server;
        let hook = server.options().on_error.as_ref();
        if hook.is_none() && !cfg!(any(feature = "tracing", feature = "audit")) {
            return core;
        }
        drop(core);
        let id = Some(self.conn.info.id);
        let panic = error.downcast_ref::<HandlerPanic>();
        let kind = if panic.is_some() { "handler or a rule" } else { "handler" };
        let whose = || (format!("the {kind} of `{}`", message.event), id);
        let sent: &dyn Display = panic.map_or(&error, |panic| &panic.message);
        server.report_failure(whose, sent, panic.is_some());
        trace::failed(&self.conn.info, message.event, &*error);
        let run_hooks = || hook.map(|hook| hook(self.conn, message, error));
        let result = server.run_callback(|| handler::catch_panic(run_hooks));
        // A hook that panics has nobody else to be reported to.
        let result = result.inspect_err(|panic| {
            trace::hook_failed(&self.conn.info, panic);
            server.report_failure(|| ("the hook `on_error`".into(), id), &panic.message, true);
        });
        let core = server.core();
        if result.is_err() { self.close_failed(core) } else { core }
    }
}
