//! Release of sessions whose clients have new sessions on other nodes.

use roomer_hub::ConnKey;

use super::Sessions;

/// The effect of a report that a client has a session on another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// The report has no effect, since it does not prove that the client has one of the session's
    /// tokens.
    Unproven,
    /// The session ends immediately.
    Now,
    /// The session ends when its socket is lost, unless the client is active on this socket before
    /// that.
    Later,
}

impl Sessions {
    /// Handles a report that a session's client is on another node, with a proof that it has one of
    /// the session's tokens. If the result is [`Release::Now`], the caller ends the session.
    pub(crate) fn release(
        &mut self,
        conn: ConnKey,
        is_proven: impl Fn(&[u8; 16]) -> bool,
    ) -> Release {
        let Some(session) = self.by_key.get_mut(conn) else { return Release::Unproven };
        if !session.secrets().any(&is_proven) {
            return Release::Unproven;
        }
        // If the client returned to this node with the proven token and has not confirmed its next
        // token, it may be on either node, since the report may predate its return.
        let is_detached = session.is_detached();
        if !is_detached && !is_proven(&session.secret) {
            session.change().is_elsewhere = true;
            return Release::Later;
        }
        self.released.detached += u64::from(is_detached);
        self.released.attached += u64::from(!is_detached);
        Release::Now
    }

    /// Returns the secret of the session's token that a client has presented on another node.
    pub(crate) fn presented(
        &self,
        conn: ConnKey,
        is_proven: impl Fn(&[u8; 16]) -> bool,
    ) -> Option<[u8; 16]> {
        self.by_key.get(conn)?.secrets().find(|secret| is_proven(secret)).copied()
    }

    /// Returns true if a session that has lost its socket must end, because its client is on
    /// another node.
    pub(crate) fn has_to_end(&mut self, conn: ConnKey) -> bool {
        let change = self.by_key.get(conn).and_then(|session| session.change.as_ref());
        let is_elsewhere = change.is_some_and(|change| change.is_elsewhere);
        self.released.attached += u64::from(is_elsewhere);
        is_elsewhere
    }
}

#[cfg(test)]
mod tests {
    use roomer_hub::{ConnId, ConnKey};

    use super::*;
    use crate::metrics::session_stats::ReleasedSessions;

    fn begin() -> (Sessions, ConnKey, roomer_proto::extended::SessionToken) {
        let conn = ConnKey::from_u64(1);
        let mut sessions = Sessions::default();
        let token = sessions.begin(conn, ConnId::from_random_bytes([1; 16]), [2; 16]);
        (sessions, conn, token)
    }

    #[test]
    fn proven_report_ends_session() {
        let (mut sessions, conn, _) = begin();
        assert_eq!(sessions.release(conn, |secret| *secret == [3; 16]), Release::Unproven);
        assert_eq!(sessions.release(ConnKey::default(), |_| true), Release::Unproven);
        assert_eq!(sessions.released, ReleasedSessions::default());
        assert_eq!(sessions.release(conn, |secret| *secret == [2; 16]), Release::Now);
        sessions.detached(conn);
        assert_eq!(sessions.release(conn, |secret| *secret == [2; 16]), Release::Now);
        let once = ReleasedSessions { detached: 1, attached: 1, unknown: 0 };
        assert_eq!(sessions.released, once);
    }

    #[test]
    fn outdated_report_does_not_end_resumed_session() {
        let (mut sessions, conn, first) = begin();
        sessions.detached(conn);
        sessions.renew(conn, &first, [3; 16]);
        assert_eq!(sessions.release(conn, |secret| *secret == [2; 16]), Release::Later);
        sessions.confirm(conn);
        assert!(!sessions.has_to_end(conn), "the client uses its newest token");
        assert_eq!(sessions.release(conn, |secret| *secret == [2; 16]), Release::Unproven);
        assert_eq!(sessions.release(conn, |secret| *secret == [3; 16]), Release::Now);
    }

    #[test]
    fn session_with_undelivered_token_ends_with_socket() {
        let (mut sessions, conn, first) = begin();
        let second = sessions.renew(conn, &first, [3; 16]);
        assert_eq!(sessions.release(conn, |secret| *secret == [2; 16]), Release::Later);
        assert!(sessions.has_to_end(conn));
        assert_eq!(sessions.released.attached, 1);
        // The client returns to this node.
        sessions.renew(conn, &second, [4; 16]);
        assert!(!sessions.has_to_end(conn));
        // Without a socket, the session ends immediately.
        sessions.detached(conn);
        assert_eq!(sessions.release(conn, |secret| *secret == [3; 16]), Release::Now);
    }
}
