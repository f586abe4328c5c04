//! The application's `authorize` hook, and checks of the handshake.

use std::panic::resume_unwind;
use std::time::Duration;

use roomer_engine::{AuthResult, Builder, Claims, HandshakeRequest, Rejection};
use roomer_testkit::Clock;

use super::application::{Application, yield_now};
use super::conn_model::MAX_HEAD;
use super::expected::{Order, Output};
use super::harness::Harness;
use super::marks::Mark;
use super::plan::AuthHook;
use super::traffic::{Meaning, Sent};
use crate::fault::{Fault, ensure};

/// A handshake whose `authorize` hook is pending.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingAuth {
    /// The time at which the hook decides.
    pub(super) until: Duration,
    /// The status of the response, if no limit is reached before the hook decides.
    status: u16,
    /// The position in the client's bytes at which the request ends.
    pub(super) at: u64,
    /// The maximum number of bytes that the server may read before the hook decides.
    pub(super) max: u64,
}

/// While the guard exists, its call to the hook is counted as pending.
struct AuthGuard(Application);

impl Drop for AuthGuard {
    fn drop(&mut self) {
        self.0.state().auth_in_progress -= 1;
    }
}

impl AuthHook {
    fn has(slots: u32, slot: u8) -> bool {
        slots >> (slot % 32) & 1 == 1
    }

    /// Returns the final status of a request. `status` is the status that it would have without the
    /// hook.
    fn status(&self, slot: u8, status: u16) -> u16 {
        match self {
            auth_hook if AuthHook::has(auth_hook.admits, slot) => status,
            auth_hook if AuthHook::has(auth_hook.panics, slot) => 500,
            _ => 401,
        }
    }

    fn result(&self, slot: u8) -> AuthResult {
        match self.status(slot, 101) {
            101 => Ok(Claims::default()),
            401 => Err(Rejection::unauthorized("not today")),
            // Unlike `panic!`, this does not call the panic hook, which would print a message.
            _ => resume_unwind(Box::new("a plan's panic")),
        }
    }

    fn wait(&self, slot: u8) -> Option<u32> {
        self.wait.filter(|_| AuthHook::has(self.waits, slot))
    }
}

impl Application {
    /// Registers the plan's `authorize` hook, if there is one.
    pub(super) fn register_auth_hook(
        &self,
        builder: Builder,
        auth_hook: Option<AuthHook>,
        clock: &Clock,
    ) -> Builder {
        let (application, clock) = (self.clone(), clock.clone());
        match auth_hook {
            None => builder,
            Some(auth_hook) if auth_hook.wait.is_none() => builder
                .authorize(move |request| auth_hook.result(application.record_auth_call(request))),
            Some(auth_hook) => builder.authorize_async(move |request| {
                let slot = application.record_auth_call(&request);
                application.state().auth_in_progress += 1;
                let (application, clock) = (application.clone(), clock.clone());
                // Create the guard in the call, since the future may be dropped before its first
                // poll.
                let knock = AuthGuard(application.clone());
                async move {
                    let _knock = knock;
                    match auth_hook.wait(slot) {
                        None => {}
                        Some(0) => yield_now().await,
                        Some(wait) => clock.sleep(Duration::from_millis(wait.into())).await,
                    }
                    if auth_hook.wait(slot).is_some() {
                        application.state().auth_decided.push(slot);
                    }
                    auth_hook.result(slot)
                }
            }),
        }
    }

    /// Records a call to the hook. Returns the slot of the client.
    fn record_auth_call(&self, request: &HandshakeRequest) -> u8 {
        let slot = request.header("x-slot").and_then(|slot| slot.parse().ok()).unwrap_or(u8::MAX);
        self.state().auth_calls.push(slot);
        slot
    }
}

impl Harness<'_> {
    /// Handles a request that the server has read completely. Returns the status of the response,
    /// or `None` if the hook has not decided yet.
    fn decide(&mut self, at: usize, sent: Sent) -> Result<Option<u16>, Fault> {
        let Meaning::Request(status) = sent.meaning else {
            return Err(Fault::new(format!("{:?} before a request", sent.meaning)));
        };
        // A request with a wrong path or method does not reach the hook.
        if matches!(status, 404 | 405) {
            return Ok(Some(status));
        }
        // For an upgrade request, the limits are checked before the hook is called.
        if let Some(status) = self.rejection(at) {
            self.mark_full(status);
            return Ok(Some(status));
        }
        let Some(auth_hook) = self.plan.setup.auth_hook else { return Ok(Some(status)) };
        let slot = self.conns[at].slot;
        let called = std::mem::take(&mut self.application.state().auth_calls);
        ensure!(
            called == [slot],
            "connection {at} requests an upgrade, the hook was called for {called:?}"
        );
        let (now, status_after_wait) = (self.now(), auth_hook.status(slot, status));
        self.marks.mark(status_after_wait == 401, Mark::Unauthorized);
        self.marks.mark(status_after_wait == 500, Mark::AuthPanics);
        let Some(wait) = auth_hook.wait(slot) else { return Ok(Some(status_after_wait)) };
        let until = now + Duration::from_millis(wait.into());
        // While the hook is pending, the server reads further bytes from the client, up to a limit.
        let max = self.conns[at].read.max(sent.at + MAX_HEAD);
        self.conns[at].pending_auth =
            Some(PendingAuth { until, status: status_after_wait, at: sent.at, max });
        Ok(None)
    }

    /// If the hook has decided in this poll, returns the handshake for which it was pending.
    fn take_decision(&mut self, at: usize) -> Result<Option<PendingAuth>, Fault> {
        let auth_decided = std::mem::take(&mut self.application.state().auth_decided);
        if auth_decided.is_empty() {
            return Ok(None);
        }
        let (now, conn) = (self.now(), &mut self.conns[at]);
        let pending_auth =
            conn.pending_auth.take().filter(|pending_auth| now >= pending_auth.until);
        let is_due = auth_decided == [conn.slot] && pending_auth.is_some();
        ensure!(
            is_due,
            "the hook decides about {auth_decided:?}, connection {at} waits for {pending_auth:?}"
        );
        Ok(pending_auth)
    }

    /// Checks that a connection may open. Returns the position at which its request ends.
    pub(super) fn check_admitted(&mut self, at: usize) -> Result<u64, Fault> {
        let conn = &mut self.conns[at];
        let (mut status, mut end) = (None, 0);
        if conn.pending_auth.is_none()
            && let Some(sent) = conn.traffic.next(conn.read)
        {
            (status, end) = (self.decide(at, sent)?, sent.at);
        }
        if let Some(pending_auth) = self.take_decision(at)? {
            (status, end) = (Some(pending_auth.status), pending_auth.at);
            self.marks.mark(true, Mark::AdmittedAfterWait);
        }
        let rejection = self.rejection(at);
        ensure!(status == Some(101), "connection {at} opens, its request comes to {status:?}");
        ensure!(rejection.is_none(), "connection {at} opens instead of {rejection:?}");
        Ok(end)
    }

    /// Checks the state of a connection whose task was polled during the handshake.
    pub(super) fn after_handshake_poll(&mut self, at: usize, is_done: bool) -> Result<(), Fault> {
        let may_be_cut = self.may_be_cut();
        let conn = &mut self.conns[at];
        // The connection was ended from outside. It gets neither a response nor a decision.
        if conn.is_aborted || (is_done && may_be_cut) {
            conn.pending_auth = None;
            return Ok(());
        }
        if let Some(status) = conn.rejected_early {
            self.marks.mark(true, Mark::RejectedEarly);
            return self.reject(at, status);
        }
        if conn.pending_auth.is_none()
            && let Some(sent) = conn.traffic.next(conn.read)
            && let Some(status) = self.decide(at, sent)?
        {
            return self.reject(at, status);
        }
        if let Some(PendingAuth { status, .. }) = self.take_decision(at)? {
            // Check the limits again: while the hook was pending, another client may have taken the
            // last place.
            let rejection = self.rejection(at).filter(|_| status == 101);
            if let Some(rejection) = rejection {
                self.marks.mark(true, Mark::FullAfterWait);
                self.mark_full(rejection);
            }
            return self.reject(at, rejection.unwrap_or(status));
        }
        self.check_handshake_end(at, is_done)
    }

    /// Checks a handshake without a decision: it ends only if the client has closed its direction,
    /// if the server is stopping, or by a timeout.
    fn check_handshake_end(&mut self, at: usize, is_done: bool) -> Result<(), Fault> {
        let now = self.now();
        let limit = Duration::from_millis(self.plan.setup.handshake);
        let is_stopping = self.is_stopping;
        let conn = &mut self.conns[at];
        let is_asking = conn.pending_auth.is_some();
        let status = match conn {
            _ if is_asking && is_stopping => None,
            _ if is_asking && now >= conn.created + limit => Some(503),
            // Unless it has stopped reading, the server has read the end of the stream.
            _ if conn.is_fully_read() && !conn.is_buffer_full() => None,
            _ if is_stopping => None,
            _ if now >= conn.created + limit => Some(408),
            _ => {
                ensure!(!is_done, "the handshake of connection {at} ends without a reason");
                return Ok(());
            }
        };
        self.marks.mark(is_asking && status.is_none(), Mark::GoneDuringAuth);
        self.marks.mark(is_asking && status.is_some(), Mark::AuthTooLong);
        match status {
            Some(status) => self.reject(at, status),
            None => {
                ensure!(is_done, "the handshake of connection {at} does not end");
                self.conns[at].pending_auth = None;
                Ok(())
            }
        }
    }

    /// Expects an HTTP error as the response to a handshake.
    fn reject(&mut self, at: usize, status: u16) -> Result<(), Fault> {
        ensure!(status != 101, "connection {at} is not opened");
        let now = self.now();
        let conn = &mut self.conns[at];
        // Rejections before the handshake are not counted as rejected requests.
        if conn.rejected_early.is_none() {
            self.counts.rejected(status);
        }
        conn.pending_auth = None;
        conn.expected.push(now, Order::Direct, Output::Response(status), false);
        conn.ignores_input = true;
        conn.begin_closing(now);
        Ok(())
    }

    /// Sets the mark for a rejection because of a limit.
    fn mark_full(&mut self, status: u16) {
        let is_ending = self.is_stopping || self.drain.is_some();
        self.marks.mark(is_ending, Mark::Unavailable);
        self.marks.mark(!is_ending && status == 503, Mark::ServerFull);
        self.marks.mark(status == 429, Mark::FullForAddress);
        self.was_full |= !is_ending;
    }
}
