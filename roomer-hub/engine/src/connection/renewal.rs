//! Login renewal: requests a new token from the client before the login expires.

use std::sync::Arc;
use std::time::Duration;

use roomer_proto::extended::EXPIRING;
use roomer_proto::{PacketRef, ROOT};

use crate::app::claims::{Credentials, Expired};
use crate::app::conn_info::ConnInfo;
use crate::app::message::Message;
use crate::callbacks::handler::CallResult;
use crate::connection::dispatch::{CallFuture, Dispatcher, PendingCall};
use crate::core::Core;
use crate::handshake::rejected::shown_message;
use crate::handshake::request::AuthResult;
use crate::metrics::warning::WarningReason;
use crate::options::Options;
use crate::outbound::{Outbound, encode};
use crate::sync::MutexGuard;
use crate::timer::moment::Moment;

/// The delay before a token is requested again if the client reads too slowly.
const RETRY: Duration = Duration::from_secs(1);
/// The minimum time between a renewal and the next request. A token that expires at the same time
/// as the previous one, such as a token that a page has stored, would otherwise be requested again
/// without a pause.
const PAUSE: Duration = Duration::from_secs(2);

/// The state of a session's login.
#[derive(Debug, Default)]
pub(crate) struct Renewal {
    due_at: Option<Moment>,
    /// True while the client may send one token in answer to a request.
    is_asked: bool,
}

/// The result of handling a client's token.
pub(crate) enum Renewed {
    /// The login is renewed, with new credentials.
    Login(Arc<ConnInfo>),
    /// The hook has rejected the token, and the login expires as before.
    Rejected,
    /// The hook's future is pending.
    Pending(Box<PendingCall>),
    /// The hook panicked, and the connection was closed.
    Closed,
}

impl Renewal {
    /// Schedules the token request before the login of a new socket expires.
    pub(crate) fn schedule(&mut self, now: Duration, expires: Option<Duration>, options: &Options) {
        let expires = expires.filter(|_| options.renew_login.is_some());
        let due_at = |at: Duration| {
            // Wait for at least half of the remaining time: otherwise, a login shorter than
            // `renew_login_before_expiry` would be due immediately, and so would each of its
            // renewals.
            let before = options.renew_login_before_expiry.min(at.saturating_sub(now) / 2);
            at.saturating_sub(before)
        };
        self.due_at = expires.map(|at| due_at(at).into());
    }

    /// Schedules the next token request after a renewal.
    pub(crate) fn renewed(&mut self, now: Duration, expires: Option<Duration>, options: &Options) {
        self.schedule(now, expires, options);
        self.due_at = self.due_at().map(|at| at.max(now + PAUSE).into());
    }

    /// Returns the time at which to request a token from the client.
    pub(crate) fn due_at(&self) -> Option<Duration> {
        self.due_at.map(Duration::from)
    }

    /// Requests a token from the client.
    pub(crate) fn ask(&mut self, now: Duration, conn: &ConnInfo, outbound: &mut Outbound) {
        let left = conn.expires().unwrap_or_default().saturating_sub(now).as_millis();
        let payload = format!("{{\"in\":{left}}}");
        let payload = payload.as_bytes();
        let expiring = PacketRef { room: ROOT, event: EXPIRING, payload, ..PacketRef::default() };
        match outbound.send_frame(conn.key, encode(&expiring)) {
            true => (self.is_asked, self.due_at) = (true, None),
            // The client's queue is above its high-water mark, so repeat the request later.
            false => self.due_at = Some((now + RETRY).into()),
        }
    }

    /// Returns true once per request. The caller rejects any further token like an event that
    /// clients may not send, so the hook does not run more often than tokens are requested.
    pub(crate) fn takes_token(&mut self) -> bool {
        std::mem::take(&mut self.is_asked)
    }
}

impl<'s> Dispatcher<'_, 's> {
    /// Calls the application's hook with the client's token.
    pub(crate) fn renew(
        &self,
        core: MutexGuard<'s, Core>,
        packet: PacketRef<'_>,
    ) -> (MutexGuard<'s, Core>, Renewed) {
        let Some(hook) = &self.shared.options().renew_login else {
            return (core, Renewed::Rejected);
        };
        let message = Message::new(&packet, self.conn.info.id);
        // Application code must run without the lock.
        drop(core);
        let ran = self.shared.run_callback(|| hook.run(self.conn, &message));
        let core = self.shared.core();
        match ran {
            CallResult::Done(result) => self.renewed(core, packet.payload, result),
            CallResult::Panicked(panic) => (self.panicked(core, &message, panic), Renewed::Closed),
            CallResult::Pending(run, message) => {
                let call = self.wait("hook for", CallFuture::Renewal(run), message);
                (core, Renewed::Pending(call))
            }
        }
    }

    /// Applies the hook's result for a token. The returned claims replace the earlier ones;
    /// extensions that middleware has added to the request are kept.
    pub(crate) fn renewed(
        &self,
        mut core: MutexGuard<'s, Core>,
        token: &[u8],
        result: AuthResult,
    ) -> (MutexGuard<'s, Core>, Renewed) {
        match self.credentials(token, result) {
            Ok(credentials) => {
                let before = &self.conn.info;
                let info = before.resumed(credentials, before.peer.clone());
                core.infos.replace(&info);
                (core, Renewed::Login(info))
            }
            Err(message) => {
                // A warning may call application code, which must run without the lock.
                drop(core);
                self.shared.warnings.give(WarningReason::RenewalRejected { message });
                (self.shared.core(), Renewed::Rejected)
            }
        }
    }

    /// Returns the connection's new credentials, or the reason why there are none.
    fn credentials(
        &self,
        token: &[u8],
        result: AuthResult,
    ) -> Result<Option<Arc<Credentials>>, String> {
        let token = str::from_utf8(token).ok();
        let claims = result.map_err(|rejection| shown_message(&rejection, token))?;
        let before = &self.conn.info;
        let extensions = before.credentials.as_ref().map(|before| before.extensions.clone());
        let renewed = Credentials::new(Some(claims), extensions.unwrap_or_default(), self.now)
            .map_err(|Expired| "it has expired".to_owned())?;
        // A connection's user cannot change, since it was reported to rooms and other members.
        let user = renewed.as_ref().and_then(|renewed| renewed.user());
        match user == before.user() {
            true => Ok(renewed),
            false => Err("it is another user's".into()),
        }
    }
}
