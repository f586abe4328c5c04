//! The application's closes of sessions, kept for clients that did not receive the close frame.
//!
//! A client without a socket, or whose socket only looks open, does not learn that its session was
//! closed. When it returns, it is closed with the same code and reason instead of getting a new
//! session. A close is kept until the client can no longer return, or until it has answered the close
//! frame, since the socket of a return may be lost too. Only final closes are kept: after any other,
//! the client would reconnect anyway.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use roomer_hub::ConnId;
use roomer_proto::close::{self, Sender};
use roomer_proto::extended::SessionToken;

use super::Sessions;
use crate::app::conn_info::ConnInfo;
use crate::tunnel::due::TunnelKey;

/// The maximum number of closes that are kept for clients without a socket, and for clients whose
/// socket looked open. Beyond it, the oldest is dropped, and its client gets a new session.
const MAX_CLOSES: usize = 1024;

/// The maximum length of the reason in a close frame, in bytes.
const MAX_REASON: usize = 123;

/// The closes, oldest first. Clients with a socket usually answer the close frame, so their closes
/// have a limit of their own, and do not displace those of clients that have certainly not received
/// it.
#[derive(Debug, Default)]
pub(super) struct FinalCloses {
    detached: VecDeque<FinalClose>,
    attached: VecDeque<FinalClose>,
}

#[derive(Debug)]
struct FinalClose {
    close: KeptClose,
    /// The secrets that the client may present.
    secrets: Box<[[u8; 16]]>,
    user: Option<Arc<str>>,
    at: Duration,
    /// The last tunnel over which the close was sent to another node. It may have ended since.
    tunnel: Option<TunnelKey>,
}

/// The application's close of a session.
#[derive(Clone, Debug)]
pub(crate) struct KeptClose {
    pub(crate) id: ConnId,
    pub(crate) code: u16,
    pub(crate) reason: Box<str>,
}

impl Sessions {
    /// Keeps a close if it is a final one by the application. Must be called before the session ends.
    #[cold]
    pub(crate) fn keep_close(&mut self, now: Duration, info: &ConnInfo, code: u16, reason: &str) {
        let may_return = is_final(code, reason) && !self.window.is_zero();
        let Some(session) = self.by_key.get(info.key).filter(|_| may_return) else { return };
        let (is_detached, secrets) = (session.is_detached(), session.secrets().copied().collect());
        let length = (0..=MAX_REASON).rev().find(|&length| reason.is_char_boundary(length));
        let reason = reason[..length.unwrap_or_default()].into();
        self.drop_expired_closes(now);
        let FinalCloses { detached, attached } = &mut self.closes;
        let closes = if is_detached { detached } else { attached };
        if closes.len() == MAX_CLOSES {
            closes.pop_front();
        }
        let user = info.user().cloned();
        let close = KeptClose { id: info.id, code, reason };
        closes.push_back(FinalClose { close, secrets, user, at: now, tunnel: None });
    }

    /// Returns the close with which the application ended the session of a token, if its client may
    /// still return and has not answered the close frame. `is_user` returns true for the user that
    /// the client has logged in as, which must be the session's user.
    pub(crate) fn kept_close(
        &mut self,
        now: Duration,
        token: &SessionToken,
        is_user: impl FnOnce(Option<&Arc<str>>) -> bool,
    ) -> Option<KeptClose> {
        let is_presented = |secret: &[u8; 16]| token.has_secret(secret);
        let (kept, _) = self.find_close(now, &token.id(), is_presented)?;
        is_user(kept.user.as_ref()).then(|| kept.close.clone())
    }

    /// Returns the secret that the client of a kept close has presented on another node, and the
    /// user of the client's session.
    pub(crate) fn presented_after_close(
        &mut self,
        now: Duration,
        id: &ConnId,
        is_proven: impl Fn(&[u8; 16]) -> bool,
    ) -> Option<([u8; 16], Option<&Arc<str>>)> {
        let (kept, secret) = self.find_close(now, id, is_proven)?;
        Some((secret, kept.user.as_ref()))
    }

    /// Records the tunnel over which a kept close is sent. Returns the previous one, which may have
    /// ended since.
    pub(crate) fn close_sent_over(&mut self, id: ConnId, tunnel: TunnelKey) -> Option<TunnelKey> {
        let FinalCloses { detached, attached } = &mut self.closes;
        let kept = detached.iter_mut().chain(attached).find(|kept| kept.close.id == id)?;
        kept.tunnel.replace(tunnel)
    }

    fn find_close(
        &mut self,
        now: Duration,
        id: &ConnId,
        is_presented: impl Fn(&[u8; 16]) -> bool,
    ) -> Option<(&FinalClose, [u8; 16])> {
        self.drop_expired_closes(now);
        let FinalCloses { detached, attached } = &self.closes;
        let mut of_session = detached.iter().chain(attached).filter(|kept| kept.close.id == *id);
        of_session.find_map(|kept| {
            let secret = kept.secrets.iter().find(|secret| is_presented(secret))?;
            Some((kept, *secret))
        })
    }

    /// Drops the close of a session whose client has answered a close frame with this code.
    pub(crate) fn close_answered(&mut self, id: ConnId, code: u16) {
        let FinalCloses { detached, attached } = &mut self.closes;
        for closes in [detached, attached] {
            // A client that has sent another code may have closed its socket at the same time.
            let is_answered = |kept: &FinalClose| kept.close.id == id && kept.close.code == code;
            if let Some(at) = closes.iter().position(is_answered) {
                closes.remove(at);
                return;
            }
        }
    }

    /// Drops the closes whose clients can no longer return.
    fn drop_expired_closes(&mut self, now: Duration) {
        let FinalCloses { detached, attached } = &mut self.closes;
        for closes in [detached, attached] {
            let expired = closes.iter().take_while(|kept| now >= kept.at + self.window).count();
            closes.drain(..expired);
        }
    }
}

/// Returns true if the application's clients do not reconnect after this close.
fn is_final(code: u16, reason: &str) -> bool {
    close::find(code, reason)
        .is_some_and(|close| close.sender == Sender::Application && close.wait.is_none())
}

#[cfg(test)]
mod tests {
    use roomer_hub::ConnKey;

    use super::*;

    /// Begins a session, closes it at this time, and returns its token.
    fn close(sessions: &mut Sessions, number: u16, at: u64, is_detached: bool) -> SessionToken {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        let (key, id) = (ConnKey::from_u64(number.into()), ConnId::from_random_bytes(bytes));
        let token = sessions.begin(key, id, bytes);
        if is_detached {
            sessions.detached(key);
        }
        let info = ConnInfo::new(key, id, None, None.into());
        sessions.keep_close(Duration::from_secs(at), &info, 4000, "enough");
        sessions.end(key);
        token
    }

    fn is_kept(sessions: &mut Sessions, token: &SessionToken, at: u64) -> bool {
        sessions.kept_close(Duration::from_secs(at), token, |user| user.is_none()).is_some()
    }

    fn sessions() -> Sessions {
        Sessions { window: Duration::from_secs(30), ..Sessions::default() }
    }

    #[test]
    fn oldest_close_is_dropped_above_limit() {
        for is_detached in [false, true] {
            let mut sessions = sessions();
            let tokens: Vec<_> =
                (0..3000).map(|number| close(&mut sessions, number, 1, is_detached)).collect();
            let kept: Vec<_> =
                tokens.iter().map(|token| is_kept(&mut sessions, token, 1)).collect();
            assert_eq!(kept.iter().position(|&is_kept| is_kept), Some(3000 - MAX_CLOSES));
            assert!(kept[3000 - MAX_CLOSES..].iter().all(|&is_kept| is_kept));
            let FinalCloses { detached, attached } = &sessions.closes;
            assert!(detached.capacity() + attached.capacity() <= 2 * MAX_CLOSES);
        }
    }

    #[test]
    fn closes_of_clients_with_sockets_do_not_displace_others() {
        let mut sessions = sessions();
        let away = close(&mut sessions, 0, 1, true);
        let stuck = close(&mut sessions, 1, 1, false);
        for number in 2..4000 {
            let token = close(&mut sessions, number, 1, false);
            sessions.close_answered(token.id(), 4000);
            assert!(!is_kept(&mut sessions, &token, 1));
        }
        assert!(is_kept(&mut sessions, &away, 1) && is_kept(&mut sessions, &stuck, 1));
        for number in 4000..8000 {
            close(&mut sessions, number, 1, false);
        }
        assert!(is_kept(&mut sessions, &away, 1) && !is_kept(&mut sessions, &stuck, 1));
    }

    #[test]
    fn close_is_kept_until_answer_or_end_of_window() {
        let mut sessions = sessions();
        let (one, two) = (close(&mut sessions, 1, 1, true), close(&mut sessions, 2, 2, false));
        for _ in 0..3 {
            assert!(is_kept(&mut sessions, &one, 30) && is_kept(&mut sessions, &two, 30));
        }
        sessions.close_answered(two.id(), 1000);
        assert!(!is_kept(&mut sessions, &one, 31) && is_kept(&mut sessions, &two, 31));
        sessions.close_answered(two.id(), 4000);
        assert!(!is_kept(&mut sessions, &two, 31));
        assert!(sessions.closes.detached.is_empty() && sessions.closes.attached.is_empty());
    }
}
