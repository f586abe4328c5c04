//! Extended protocol sessions: connections that outlive their sockets.
//!
//! ```text
//!             socket lost                   timeout, overflow, close
//!  Established ─────────▶ Detached ─────────────────────────────────▶ gone
//!       ▲                    │ the client is back on a new socket
//!       └──── Handover ◀─────┘ (or the old socket only appears open)
//! ```
//!
//! For the hub, a session is a connection, and losing its socket is not an event: memberships are
//! kept, and no member is notified. The connection's task keeps the session without a socket, polls
//! a pending handler, and hands both over to the task of the client's new socket ([`handover`]). In
//! the meantime, a writer without a socket keeps the packets sent to the client
//! ([`SocketWriter::detach`](crate::outbound::socket_writer::SocketWriter::detach)).

pub(crate) mod closes;
pub(crate) mod handover;
pub(crate) mod release;

use std::sync::Arc;
use std::time::Duration;

use roomer_hub::{ConnId, ConnKey, KeyMap, Tables};
use roomer_proto::extended::SessionToken;

use crate::metrics::session_stats::{RefusedSessions, ReleasedSessions};
use crate::session::closes::FinalCloses;
use crate::session::handover::{Handover, HandoverError};

/// The number of newest tokens that are kept, in addition to the token that the client presented,
/// until the client is known to have received one of them.
const MAX_UNCONFIRMED: usize = 3;

/// The fractional part of the golden ratio, in units of 2^-32.
const GOLDEN_RATIO: u32 = 0x9e37_79b9;

/// The table of all sessions, under the server's lock.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_key: KeyMap<ConnKey, Session>,
    /// The [`resume_window`](crate::Builder::resume_window).
    pub(crate) window: Duration,
    /// The number of sessions without a socket.
    pub(crate) detached: usize,
    /// The number of sessions resumed on a new socket.
    pub(crate) resumed: u64,
    pub(crate) refused: RefusedSessions,
    pub(crate) released: ReleasedSessions,
    closes: FinalCloses,
    /// The number of reconnect delays that were sent to clients.
    hints: u32,
}

#[derive(Debug)]
struct Session {
    /// The newest secret sent to the client.
    secret: [u8; 16],
    /// Present while the session has no socket, is changing its socket, or has just changed it.
    change: Option<Box<Change>>,
}

/// A session's state while it changes its socket.
#[derive(Debug, Default)]
struct Change {
    /// Older secrets that the client may still use, newest last. They are kept after a resume until
    /// the client has confirmed the newest secret, since the socket on which it was sent may have
    /// been lost too.
    older: Vec<[u8; 16]>,
    is_detached: bool,
    /// True if another node has reported that the client has a new session on that node. The report
    /// may predate the client's return to this node.
    is_elsewhere: bool,
    /// The task of the client's new socket, which waits for the session.
    successor: Option<Successor>,
}

#[derive(Debug)]
struct Successor {
    handover: Arc<Handover>,
    /// The secret that the client has presented on the new socket.
    secret: [u8; 16],
}

impl Session {
    fn new(secret: [u8; 16]) -> Self {
        Session { secret, change: None }
    }

    /// Returns the secrets that the client may use, newest last.
    fn secrets(&self) -> impl Iterator<Item = &[u8; 16]> {
        self.change.iter().flat_map(|change| &change.older).chain([&self.secret])
    }

    fn is_detached(&self) -> bool {
        self.change.as_ref().is_some_and(|change| change.is_detached)
    }

    fn change(&mut self) -> &mut Change {
        self.change.get_or_insert_default()
    }

    /// Records that the client has received its newest token.
    fn confirm(&mut self) {
        let Some(change) = &mut self.change else { return };
        (change.older, change.is_elsewhere) = (Vec::new(), false);
        self.reject_outdated();
        // Free the change, since most sessions are not changing their sockets.
        self.change.take_if(|change| !change.is_detached && change.successor.is_none());
    }

    /// Refuses the waiting task if its client presented an outdated token: the client has since
    /// returned with a newer one, so the count of received packets in the task's request is
    /// outdated too.
    fn reject_outdated(&mut self) {
        let Session { secret, change } = self;
        let Some(Change { older, successor, .. }) = change.as_deref_mut() else { return };
        let is_outdated =
            |waiting: &mut Successor| waiting.secret != *secret && !older.contains(&waiting.secret);
        if let Some(outdated) = successor.take_if(is_outdated) {
            outdated.handover.reject(HandoverError::Ended);
        }
    }
}

impl Sessions {
    /// The size of a table entry in bytes.
    #[cfg(test)]
    pub(crate) const SIZE: usize = size_of::<Session>();

    /// Starts a connection's session, with 16 random bytes as its secret.
    pub(crate) fn begin(&mut self, conn: ConnKey, id: ConnId, secret: [u8; 16]) -> SessionToken {
        self.by_key.insert(conn, Session::new(secret));
        SessionToken::new(id, secret)
    }

    /// Returns the session to which a token belongs.
    pub(crate) fn find(&self, tables: &Tables, token: &SessionToken) -> Option<ConnKey> {
        // Other members know the id, so only the secret proves ownership of the session.
        let conn = tables.find_conn(token.id().as_str())?;
        let session = self.by_key.get(conn)?;
        session.secrets().any(|secret| token.has_secret(secret)).then_some(conn)
    }

    /// Returns the session to which a token belongs, if the session still has a socket.
    pub(crate) fn find_attached(&self, tables: &Tables, token: &SessionToken) -> Option<ConnKey> {
        let conn = self.find(tables, token)?;
        self.by_key.get(conn).is_some_and(|session| !session.is_detached()).then_some(conn)
    }

    /// Replaces a resumed session's secret. The client now has either the token that it presented
    /// or the new one.
    pub(crate) fn renew(
        &mut self,
        conn: ConnKey,
        presented: &SessionToken,
        secret: [u8; 16],
    ) -> SessionToken {
        if let Some(session) = self.by_key.get_mut(conn) {
            // A client that has received a token never presents an older one. A request with an
            // older token was therefore sent earlier and has been delayed, so its count of received
            // packets is outdated.
            let before = std::mem::replace(&mut session.secret, secret);
            let change = session.change();
            let secrets = &mut change.older;
            secrets.push(before);
            let is_presented = |known: &[u8; 16]| presented.has_secret(known);
            match secrets.iter().position(is_presented) {
                Some(at) => drop(secrets.drain(..at)),
                None => secrets.insert(0, presented.secret()),
            }
            // Keep the presented secret, which the client certainly has, and the newest ones.
            let surplus = secrets.len().saturating_sub(1 + MAX_UNCONFIRMED);
            secrets.drain(1..1 + surplus);
            self.detached -= usize::from(std::mem::take(&mut change.is_detached));
            change.is_elsewhere = false;
            session.reject_outdated();
        }
        self.resumed += 1;
        SessionToken::new(presented.id(), secret)
    }

    /// Records that the client has received its newest token.
    pub(crate) fn confirm(&mut self, conn: ConnKey) {
        if let Some(session) = self.by_key.get_mut(conn) {
            session.confirm();
        }
    }

    /// Records that a session has lost its socket.
    pub(crate) fn detached(&mut self, conn: ConnKey) {
        if let Some(session) = self.by_key.get_mut(conn) {
            self.detached +=
                usize::from(!std::mem::replace(&mut session.change().is_detached, true));
        }
    }

    /// Registers the task that waits for a session. If another task was already waiting, rejects
    /// that one, because its client has since reconnected.
    pub(crate) fn supersede(
        &mut self,
        conn: ConnKey,
        presented: &SessionToken,
        handover: &Arc<Handover>,
    ) {
        let successor = Successor { handover: handover.clone(), secret: presented.secret() };
        if let Some(session) = self.by_key.get_mut(conn)
            && let Some(before) = session.change().successor.replace(successor)
        {
            before.handover.reject(HandoverError::Superseded);
        }
    }

    /// Records that a task no longer waits for a session, unless another task has replaced it.
    /// Otherwise, a task that gets the session later would pass it on to the task that has stopped
    /// waiting, and its client would lose its socket.
    pub(crate) fn stop_waiting(&mut self, conn: ConnKey, handover: &Arc<Handover>) {
        let session = self.by_key.get_mut(conn);
        if let Some(change) = session.and_then(|session| session.change.as_deref_mut()) {
            change.successor.take_if(|waiting| Arc::ptr_eq(&waiting.handover, handover));
        }
    }

    /// Returns true if a task is waiting for the session.
    pub(crate) fn has_successor(&self, conn: ConnKey) -> bool {
        let change = self.by_key.get(conn).and_then(|session| session.change.as_ref());
        change.is_some_and(|change| change.successor.is_some())
    }

    /// Removes and returns the task waiting for the session.
    pub(crate) fn take_successor(&mut self, conn: ConnKey) -> Option<Arc<Handover>> {
        Some(self.by_key.get_mut(conn)?.change.as_mut()?.successor.take()?.handover)
    }

    /// Returns how long a client with a session should wait before it connects to the next process,
    /// or `None` for a client without one. The delays of all clients are spread evenly over the
    /// window.
    pub(crate) fn retry_hint(&mut self, conn: ConnKey, window: Duration) -> Option<Duration> {
        self.by_key.get(conn)?;
        self.hints = self.hints.wrapping_add(1);
        // The multiples of the golden ratio, modulo 1, fill the window evenly for any number of
        // clients.
        let share = self.hints.wrapping_mul(GOLDEN_RATIO);
        Some(window.mul_f64(f64::from(share) / f64::from(u32::MAX)))
    }

    /// Checks this table against the hub's tables; see [`Server::audit`](crate::Server::audit).
    #[cfg(feature = "audit")]
    pub(crate) fn audit(&self, tables: &Tables) -> Result<(), String> {
        if let Some(conn) = self.by_key.keys().find(|conn| tables.conn_id(*conn).is_none()) {
            return Err(format!("a session without a connection: {conn:?}"));
        }
        let detached = self.by_key.values().filter(|session| session.is_detached()).count();
        match detached == self.detached {
            true => Ok(()),
            false => {
                Err(format!("{detached} sessions without a socket, {} counted", self.detached))
            }
        }
    }

    /// Ends the session of a connection that has ended, if it has one.
    pub(crate) fn end(&mut self, conn: ConnKey) {
        if let Some(session) = self.by_key.remove(conn) {
            self.detached -= usize::from(session.is_detached());
            if let Some(successor) = session.change.and_then(|change| change.successor) {
                // The refused task then opens a new session.
                successor.handover.reject(HandoverError::Ended);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Returns true if the waiting task has been refused.
    fn is_refused(handover: &Handover) -> bool {
        let polled = handover.poll(&Context::from_waker(Waker::noop()));
        matches!(polled, Poll::Ready(Err(HandoverError::Ended)))
    }

    #[test]
    fn token_is_outdated_once_newer_one_is_used() {
        let (conn, id) = (ConnKey::from_u64(1), ConnId::from_random_bytes([1; 16]));
        let mut sessions = Sessions::default();
        let first = sessions.begin(conn, id, [2; 16]);
        let second = sessions.renew(conn, &first, [3; 16]);
        // A delayed request waits while the session is handed over to the client's third socket.
        let late = Arc::new(Handover::default());
        sessions.supersede(conn, &first, &late);
        assert!(!is_refused(&late) && sessions.has_successor(conn));
        sessions.renew(conn, &second, [4; 16]);
        assert!(is_refused(&late) && !sessions.has_successor(conn));
        assert!(sessions.by_key[conn].secrets().eq(&[[3; 16], [4; 16]]));
        // A request that waits while the client confirms its newest token is outdated too.
        let late = Arc::new(Handover::default());
        sessions.supersede(conn, &second, &late);
        sessions.confirm(conn);
        assert!(is_refused(&late) && !sessions.has_successor(conn));
        assert!(sessions.by_key[conn].secrets().eq(&[[4; 16]]));
        assert!(sessions.by_key[conn].change.is_none(), "no memory is kept for the change");
    }

    #[test]
    fn reconnect_hints_are_spread_over_window() {
        let window = Duration::from_secs(10);
        let conn = ConnKey::from_u64(1);
        let mut sessions = Sessions::default();
        assert_eq!(sessions.retry_hint(conn, window), None, "a plain client");
        sessions.begin(conn, ConnId::from_random_bytes([1; 16]), [2; 16]);
        let mut in_second = [0; 10];
        for _ in 0..1000 {
            let hint = sessions.retry_hint(conn, window).unwrap();
            in_second[(hint.as_millis() / 1000).min(9) as usize] += 1;
        }
        assert!(in_second.iter().all(|count| (95..=105).contains(count)), "{in_second:?}");
    }
}
