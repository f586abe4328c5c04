//! Dispatch of a packet: the hub's rules, the application's rule, and the event's handler.
//!
//! The hub decides what happens to a packet. If it needs the application, it returns an action, and
//! the rule or handler runs without the lock. While its future is pending, the connection's later
//! messages wait for it; other connections are not affected.

use std::fmt::Display;
use std::task::{Context, Poll};
use std::time::Duration;

use roomer_proto::{JOIN, PacketRef, close};

use crate::app::call;
use crate::app::call::{BoxFuture, HandlerError, HandlerPanic, HandlerResult};
use crate::app::message::{Message, OwnedMessage};
use crate::app::monitor::ObservedCall;
use crate::callbacks::handler::{CallResult, Handler, Rule};
use crate::connection::requests::RunningRequest;
use crate::core::Core;
use crate::core::congestion::Congestion;
use crate::handshake::request::AuthResult;
use crate::metrics::trace;
use crate::server::conn::Conn;
use crate::shared::Shared;
use crate::sync::MutexGuard;
use roomer_hub::{Command, Input, Permission};

/// Dispatches one sender's packets.
pub(crate) struct Dispatcher<'p, 's> {
    pub(crate) shared: &'s Shared,
    pub(crate) conn: &'p Conn,
    pub(crate) now: Duration,
}

/// The result of dispatching a packet.
#[derive(Default)]
pub(crate) struct Dispatched {
    /// A handler or rule whose future is still pending.
    pub(crate) pending: Option<Box<PendingCall>>,
    /// A request handler whose future must be polled.
    pub(crate) request: Option<Box<RunningRequest>>,
    /// A receiver above its high-water mark; the sender should pause reading.
    pub(crate) congested: Option<Congestion>,
    /// True if the hub has closed the sender, whose later packets are not handled.
    pub(crate) is_closed: bool,
}

/// A handler or rule whose future is pending, and the message that it was called with.
pub(crate) struct PendingCall {
    future: CallFuture,
    observed: ObservedCall,
    pub(crate) message: OwnedMessage,
}

pub(crate) enum CallFuture {
    Handler(BoxFuture<HandlerResult>),
    Rule(BoxFuture<bool>),
    Renewal(BoxFuture<AuthResult>),
}

/// The outcome of a pending handler, rule or hook.
pub(crate) enum CallOutcome {
    Handled(HandlerResult),
    Judged(bool),
    Renewed(AuthResult),
    Panicked(HandlerPanic),
}

/// The result of calling a rule.
enum RuleAnswer {
    Allowed,
    Denied,
    /// The rule's future is pending.
    Pending(Box<PendingCall>),
    /// The rule panicked, and the connection was closed.
    Panicked,
}

impl PendingCall {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CallOutcome> {
        let outcome = self.observed.poll(cx, |cx| match &mut self.future {
            CallFuture::Handler(run) => call::poll(run, cx).map_ok(CallOutcome::Handled),
            CallFuture::Rule(run) => call::poll(run, cx).map_ok(CallOutcome::Judged),
            CallFuture::Renewal(run) => call::poll(run, cx).map_ok(CallOutcome::Renewed),
        });
        outcome.map(|result| result.unwrap_or_else(CallOutcome::Panicked))
    }
}

impl<'s> Dispatcher<'_, 's> {
    /// Passes an input about a packet to the hub, and runs the rules and handlers that the hub
    /// requests, until the packet is handled or a future is pending.
    pub(crate) fn dispatch(
        &self,
        mut core: MutexGuard<'s, Core>,
        input: Input<'_>,
        packet: PacketRef<'_>,
    ) -> (MutexGuard<'s, Core>, Dispatched) {
        let (conn, shared) = (self.conn.info.key, self.shared);
        let mut dispatched = Dispatched::default();
        let (mut input, mut packet): (Input<'_>, PacketRef<'_>) = (input, packet);
        // Call the rule for room histories only once, when the packet arrives. If the rule denies
        // the request, the request is removed from the join below.
        if let Some(rule) = shared.options().rules.read_history.as_ref()
            && packet.event == JOIN
            && !packet.payload.is_empty()
            && matches!(input, Input::Packet { .. })
        {
            let may_read_history;
            (core, may_read_history) = self.ask_read_history(core, rule, packet);
            match may_read_history {
                Some(true) => {}
                Some(false) => {
                    packet.payload = b"";
                    input = Input::Packet { conn, packet };
                }
                None => return (core, dispatched),
            }
        }
        loop {
            let outcome = core.apply(self.now, input, None);
            (dispatched.congested, dispatched.is_closed) = (outcome.congested, outcome.is_closed);
            if outcome.call.is_none() && outcome.ask.is_none() {
                return (core, dispatched);
            }
            let packet = self.sent(packet);
            let message = Message::new(&packet, self.conn.info.id);
            if let Some(key) = outcome.call.filter(|_| outcome.is_request) {
                (core, dispatched.request) = self.run_request(core, key, &message);
                return (core, dispatched);
            }
            if let Some(handler) = outcome.call.and_then(|key| shared.handler(key)) {
                (core, dispatched.pending) = self.run_handler(core, handler, &message);
                return (core, dispatched);
            }
            let Some(rule) = outcome.ask.and_then(|about| shared.options().rules.rule(about))
            else {
                return (core, dispatched);
            };
            // The rule is called without the lock, so a kick may cancel the join meanwhile.
            if outcome.ask == Some(Permission::Join) {
                core.joins.begin(conn, packet.room);
            }
            let answer;
            (core, answer) = self.ask(core, rule, &message);
            if !matches!(answer, RuleAnswer::Pending(_)) && core.joins.end(conn) {
                return (core, dispatched);
            }
            // Return the rule's answer to the hub, which may then request a handler.
            input = match answer {
                RuleAnswer::Allowed => Input::Allowed { conn, packet },
                RuleAnswer::Denied => Input::Denied { conn, packet },
                RuleAnswer::Panicked => return (core, dispatched),
                RuleAnswer::Pending(call) => {
                    dispatched.pending = Some(call);
                    return (core, dispatched);
                }
            };
        }
    }

    /// Calls the rule for history requests. Returns `None` if the rule panicked.
    #[cold]
    fn ask_read_history(
        &self,
        core: MutexGuard<'s, Core>,
        rule: &Rule,
        packet: PacketRef<'_>,
    ) -> (MutexGuard<'s, Core>, Option<bool>) {
        let message = Message::new(&self.sent(packet), self.conn.info.id);
        let (core, answer) = self.ask(core, rule, &message);
        let may_read_history = match answer {
            RuleAnswer::Allowed => Some(true),
            RuleAnswer::Panicked => None,
            // `Pending` is unreachable, since this rule is never asynchronous.
            RuleAnswer::Denied | RuleAnswer::Pending(_) => Some(false),
        };
        (core, may_read_history)
    }

    /// Returns the packet with the sender's id as `src`.
    fn sent<'m>(&'m self, packet: PacketRef<'m>) -> PacketRef<'m> {
        // Ignore the `src` sent by the client, which could name another sender.
        PacketRef { src: self.conn.info.id.as_str(), ..packet }
    }

    /// Runs a handler. Returns the pending call if its future has not completed.
    fn run_handler(
        &self,
        core: MutexGuard<'s, Core>,
        handler: &Handler,
        message: &Message<'_>,
    ) -> (MutexGuard<'s, Core>, Option<Box<PendingCall>>) {
        // Application code must run without the lock.
        drop(core);
        let ran = self.shared.run_callback(|| handler.run(self.conn, message));
        let core = self.shared.core();
        match ran {
            CallResult::Done(result) => (self.handled(core, message, result), None),
            CallResult::Panicked(panic) => (self.panicked(core, message, panic), None),
            CallResult::Pending(run, message) => {
                (core, Some(self.wait("handler of", CallFuture::Handler(run), message)))
            }
        }
    }

    /// Calls a rule with a message.
    fn ask(
        &self,
        core: MutexGuard<'s, Core>,
        rule: &Rule,
        message: &Message<'_>,
    ) -> (MutexGuard<'s, Core>, RuleAnswer) {
        // Application code must run without the lock.
        drop(core);
        let ran = self.shared.run_callback(|| rule.run(self.conn, message));
        let core = self.shared.core();
        match ran {
            CallResult::Done(true) => (core, RuleAnswer::Allowed),
            CallResult::Done(false) => (core, RuleAnswer::Denied),
            CallResult::Panicked(panic) => {
                (self.panicked(core, message, panic), RuleAnswer::Panicked)
            }
            CallResult::Pending(run, message) => {
                let call = self.wait("rule about", CallFuture::Rule(run), message);
                (core, RuleAnswer::Pending(call))
            }
        }
    }

    pub(crate) fn wait(
        &self,
        kind: &str,
        future: CallFuture,
        message: OwnedMessage,
    ) -> Box<PendingCall> {
        let id = self.conn.info.id;
        // Build the text lazily, since only a test's monitor needs it.
        let owner = || (format!("the {kind} `{}`", message.event), Some(id));
        let observed = self.shared.monitor().observe(owner);
        Box::new(PendingCall { future, observed, message })
    }

    /// Reports the error returned by a handler, if any.
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

    /// Closes the connection whose handler or rule panicked, and reports the panic.
    pub(crate) fn panicked(
        &self,
        mut core: MutexGuard<'s, Core>,
        message: &Message<'_>,
        panic: HandlerPanic,
    ) -> MutexGuard<'s, Core> {
        core = self.close_failed(core);
        self.report(core, message, panic.into())
    }

    /// Closes the connection with 1011 after a panic in application code.
    fn close_failed(&self, mut core: MutexGuard<'s, Core>) -> MutexGuard<'s, Core> {
        let conn = self.conn.info.key;
        core.counts.panics += 1;
        let close = Command::close(conn, &close::HANDLER_FAILED);
        core.apply(self.now, Input::Command(close), None);
        core
    }

    /// Reports an error to the `on_error` hook, to `tracing` and to a test's monitor.
    fn report(
        &self,
        core: MutexGuard<'s, Core>,
        message: &Message<'_>,
        error: HandlerError,
    ) -> MutexGuard<'s, Core> {
        let shared = self.shared;
        let hook = shared.options().on_error.as_ref();
        // If nothing receives the report, the lock need not be released.
        if hook.is_none() && !cfg!(any(feature = "tracing", feature = "audit")) {
            return core;
        }
        // The hook may call the server, so it runs without the lock.
        drop(core);
        let id = Some(self.conn.info.id);
        let panic = error.downcast_ref::<HandlerPanic>();
        let kind = if panic.is_some() { "handler or a rule" } else { "handler" };
        let owner = || (format!("the {kind} of `{}`", message.event), id);
        let text: &dyn Display = panic.map_or(&error, |panic| &panic.message);
        shared.monitor().report_failure(owner, text, panic.is_some());
        trace::failed(&self.conn.info, message.event, &*error);
        let run_hook = || hook.map(|hook| hook(self.conn, message, error));
        let result = shared.run_callback(|| call::catch_panic(run_hook));
        // A panic in the hook itself is reported only to `tracing` and the monitor.
        let result = result.inspect_err(|panic| {
            trace::hook_failed(&self.conn.info, panic);
            shared.monitor().report_failure(
                || ("the hook `on_error`".into(), id),
                &panic.message,
                true,
            );
        });
        let core = shared.core();
        if result.is_err() { self.close_failed(core) } else { core }
    }
}
