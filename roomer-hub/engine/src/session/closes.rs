//! The application's closes of sessions, kept for clients that did not receive the close frame.
//!
//! A client without a socket, or whose socket only looks open, does not learn that its session was
//! closed. When it returns, it is closed with the same code and reason instead of getting a new
//! session. Only final closes are kept: after any other, the client would reconnect anyway.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use roomer_hub::ConnId;
use roomer_proto::close::{self, Sender};
use roomer_proto::extended::SessionToken;

use super::Sessions;
use crate::app::conn_info::ConnInfo;

/// The maximum number of closes that are kept. Beyond it, the oldest is dropped, and its client gets
/// a new session.
const MAX_CLOSES: usize = 1024;

/// The maximum length of the reason in a close frame, in bytes.
const MAX_REASON: usize = 123;

/// The closes, oldest first.
#[derive(Debug, Default)]
pub(super) struct FinalCloses(VecDeque<FinalClose>);

#[derive(Debug)]
struct FinalClose {
    id: ConnId,
    /// The secrets that the client may present.
    secrets: Box<[[u8; 16]]>,
    user: Option<Arc<str>>,
    at: Duration,
    code: u16,
    reason: Box<str>,
}

impl Sessions {
    /// Keeps a close if it is a final one by the application. Must be called before the session ends.
    #[cold]
    pub(crate) fn keep_close(&mut self, now: Duration, info: &ConnInfo, code: u16, reason: &str) {
        let is_final = close::find(code, reason)
            .is_some_and(|close| close.sender == Sender::Application && close.wait.is_none());
        let may_return = is_final && !self.window.is_zero();
        let Some(session) = self.by_key.get(info.key).filter(|_| may_return) else { return };
        let secrets = session.secrets().copied().collect();
        let length = (0..=MAX_REASON).rev().find(|&length| reason.is_char_boundary(length));
        let reason = reason[..length.unwrap_or_default()].into();
        let closes = self.closes_at(now);
        if closes.len() == MAX_CLOSES {
            closes.pop_front();
        }
        let user = info.user().cloned();
        closes.push_back(FinalClose { id: info.id, secrets, user, at: now, code, reason });
    }

    /// Removes and returns the code and reason with which the application closed the session of a
    /// token, if its client may still return. The user must be the session's user.
    pub(crate) fn take_close(
        &mut self,
        now: Duration,
        token: &SessionToken,
        user: Option<&Arc<str>>,
    ) -> Option<(u16, Box<str>)> {
        let closes = self.closes_at(now);
        let at = closes.iter().position(|close| {
            close.id == token.id()
                && close.user.as_ref() == user
                && close.secrets.iter().any(|secret| token.has_secret(secret))
        })?;
        let FinalClose { code, reason, .. } = closes.remove(at)?;
        Some((code, reason))
    }

    /// Returns the closes, without those whose clients can no longer return.
    fn closes_at(&mut self, now: Duration) -> &mut VecDeque<FinalClose> {
        let FinalCloses(closes) = &mut self.closes;
        let expired = closes.iter().take_while(|close| now >= close.at + self.window).count();
        closes.drain(..expired);
        closes
    }
}
