//! A connection's pending request handlers.
//!
//! Unlike message handlers, pending request handlers do not delay later packets. Each request has a
//! tag, so answers may be sent in any order, and a handler may wait for an answer from its own
//! client.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use roomer_hub::{Answer, Command, HandlerKey, Input};

use crate::app::call;
use crate::app::call::{BoxFuture, HandlerPanic};
use crate::app::message::{Message, OwnedMessage};
use crate::app::monitor::ObservedCall;
use crate::app::reply::{ReplyError, ReplyResult, code_of};
use crate::callbacks::handler::CallResult;
use crate::connection::dispatch::Dispatcher;
use crate::connection::established::Established;
use crate::core::Core;
use crate::outbound::socket_writer::SocketWriter;
use crate::sync::MutexGuard;

/// A request handler whose future is pending.
pub(crate) struct RunningRequest {
    future: BoxFuture<ReplyResult>,
    observed: ObservedCall,
    message: OwnedMessage,
}

/// One connection's pending request handlers.
#[derive(Default)]
pub(crate) struct RunningRequests(Option<Box<RequestList>>);

/// The list of pending request handlers. Allocated only while there are any, since few connections
/// have pending request handlers.
#[derive(Default)]
struct RequestList {
    requests: Vec<RunningRequest>,
    /// True if a handler in the list has not been polled yet.
    has_new: bool,
}

impl RunningRequests {
    pub(crate) fn add(&mut self, request: RunningRequest) {
        let list = self.0.get_or_insert_default();
        list.requests.push(request);
        list.has_new = true;
    }

    /// Returns true if a handler has not been polled yet.
    pub(crate) fn has_new(&self) -> bool {
        self.0.as_ref().is_some_and(|list| list.has_new)
    }

    /// Returns the total size in bytes of the pending requests' payloads.
    pub(crate) fn held(&self) -> usize {
        self.iter().map(|request| request.message.payload.len()).sum()
    }

    fn iter(&self) -> impl Iterator<Item = &RunningRequest> {
        self.0.iter().flat_map(|list| &list.requests)
    }
}

impl std::fmt::Debug for RunningRequests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|request| &request.message)).finish()
    }
}

impl<'s> Dispatcher<'_, 's> {
    /// Runs a request handler. Returns the handler if its future must be polled.
    #[cold]
    #[inline(never)]
    pub(crate) fn run_request(
        &self,
        core: MutexGuard<'s, Core>,
        key: HandlerKey,
        message: &Message<'_>,
    ) -> (MutexGuard<'s, Core>, Option<Box<RunningRequest>>) {
        let shared = self.shared;
        let Some(handler) = shared.request_handler(key) else { return (core, None) };
        drop(core);
        let ran = shared.run_callback(|| handler.run(self.conn, message));
        let core = shared.core();
        match ran {
            CallResult::Done(result) => (self.answer(core, message, result), None),
            CallResult::Panicked(panic) => (self.panicked(core, message, panic), None),
            CallResult::Pending(future, message) => {
                let id = self.conn.info.id;
                let owner = || (format!("the request handler of `{}`", message.event), Some(id));
                let observed = shared.monitor().observe(owner);
                (core, Some(Box::new(RunningRequest { future, observed, message })))
            }
        }
    }

    /// Sends a request handler's answer, and reports its error.
    fn answer(
        &self,
        mut core: MutexGuard<'s, Core>,
        message: &Message<'_>,
        result: ReplyResult,
    ) -> MutexGuard<'s, Core> {
        let (conn, room, dst) = (self.conn.info.key, message.room, message.dst);
        let own = result.as_ref().err().and_then(|error| error.downcast_ref::<ReplyError>());
        let answer = match &result {
            Ok(payload) => Answer::Reply(payload),
            Err(error) => {
                // An error that is not intended for clients may reveal server internals in its
                // text.
                let hidden = (code_of(error), "the handler has failed");
                let (code, message) =
                    own.map_or(hidden, |error| (error.code, error.message.as_str()));
                Answer::Error { code, message }
            }
        };
        core.apply(self.now, Input::Command(Command::Answer { conn, room, dst, answer }), None);
        match result {
            Err(error) if !error.is::<ReplyError>() => self.handled(core, message, Err(error)),
            _ => core,
        }
    }
}

impl Established {
    /// Polls the pending request handlers, and sends the answers of those that complete.
    #[cold]
    #[inline(never)]
    pub(crate) fn poll_requests(
        &mut self,
        writer: &Arc<SocketWriter>,
        now: Duration,
        cx: &mut Context<'_>,
    ) {
        let shared = self.conn.server.0.clone();
        let Some(session) = &mut self.session_state else { return };
        let Some(list) = &mut session.requests.0 else { return };
        // All handlers are polled below, which registers this task's waker with their futures.
        list.has_new = false;
        let mut done: Vec<(OwnedMessage, Result<ReplyResult, HandlerPanic>)> = Vec::new();
        list.requests.retain_mut(|request| {
            let RunningRequest { future, observed, message } = request;
            // Poll application code, and drop its future, without the lock.
            let poll = || observed.poll(cx, |cx| call::poll(future, cx));
            match shared.run_callback(poll) {
                Poll::Pending => true,
                Poll::Ready(result) => {
                    done.push((message.clone(), result));
                    false
                }
            }
        });
        session.requests.0.take_if(|list| list.requests.is_empty());
        let dispatcher = Dispatcher { shared: &shared, conn: &self.conn, now };
        let mut core = shared.core();
        for (message, result) in &mut done {
            let message = message.borrowed();
            core = match std::mem::replace(result, Ok(Ok(Default::default()))) {
                Ok(result) => dispatcher.answer(core, &message, result),
                Err(panic) => dispatcher.panicked(core, &message, panic),
            };
        }
        // Flush even if no handler has completed, since pending handlers may have sent messages.
        shared.flush_after_input(now, core, &mut self.flush_at);
        self.report_buffered(writer);
    }

    /// Returns true if there are pending request handlers.
    pub(crate) fn has_requests(&self) -> bool {
        self.session_state.as_ref().is_some_and(|session| session.requests.0.is_some())
    }
}
