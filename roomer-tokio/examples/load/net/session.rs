//! The client's side of the extended protocol: acknowledgements, lost sockets and resumption.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use roomer_proto::extended::{ACK, AckSchedule, VERSION};
use roomer_proto::{PacketRef, ROOT};
use serde_json::Value;

use super::{Conn, Net, Phase};
use crate::listener::{Listener, Out};
use crate::opening;
use crate::options::Target;

/// The session of a connection that uses the extended protocol.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// The token with which the session is resumed. Empty before the first `hello`.
    token: String,
    /// Counts the packets received in the session, and determines when to acknowledge them.
    received: AckSchedule,
    /// True if the next `hello` must resume the session.
    is_returning: bool,
}

/// The timers and the statistics of all sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    /// The connections that must send an acknowledgement, each with its deadline. Since all delays
    /// are equal, the list is sorted. If the packets of a connection were acknowledged in the
    /// meantime, its entry has no effect.
    pub(super) due: VecDeque<(Duration, usize)>,
    /// The connections whose sessions must still be resumed.
    pub(super) returning: std::ops::Range<usize>,
    /// The number of sessions that were resumed on a new socket.
    pub resumed: u64,
    /// The number of sessions that the server has not resumed. For each of them, the client has
    /// received a new session instead.
    pub refused: u64,
    /// The number of acknowledgements that were sent.
    pub acks: u64,
}

/// The contents of a `hello` from the server.
pub(super) struct Hello {
    pub(super) resumed: bool,
    /// The number of the client's packets that the server has handled.
    pub(super) received: u64,
    session: String,
}

impl Hello {
    fn read(payload: &[u8]) -> Option<Hello> {
        let hello: Value = serde_json::from_slice(payload).ok()?;
        (hello["version"].as_u64()? == u64::from(VERSION)).then_some(())?;
        Some(Hello {
            resumed: hello["resumed"].as_bool()?,
            received: hello["received"].as_u64()?,
            session: hello["session"].as_str().unwrap_or_default().to_owned(),
        })
    }
}

impl Session {
    /// Appends the parameters for the session to the query of a path.
    pub(super) fn add_to(&self, path: &mut String) {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str("roomer=2");
        if self.is_returning {
            let (token, received) = (&self.token, self.received.count());
            path.push_str(&format!("&session={token}&received={received}"));
        }
    }

    /// Handles a `hello` from the server.
    pub(super) fn handle_hello(&mut self, payload: &[u8]) -> Option<Hello> {
        let mut hello = Hello::read(payload)?;
        self.token = std::mem::take(&mut hello.session);
        if hello.resumed {
            // The number of packets in the query was an acknowledgement.
            self.received.acknowledge();
        } else {
            self.received = AckSchedule::default();
        }
        // It is a fault if the server resumes a session without a request.
        let is_wrong = hello.resumed && !self.is_returning;
        self.is_returning = false;
        (!is_wrong).then_some(hello)
    }
}

impl Net {
    /// Returns the upgrade request of a connection.
    pub(super) fn request(&self, conn: usize) -> Vec<u8> {
        let target = self.target(conn);
        match &self.conns[conn].session {
            None => opening::request(target),
            Some(session) => {
                let mut target = Target::clone(target);
                session.add_to(&mut target.path);
                opening::request(&target)
            }
        }
    }

    /// Counts a packet of a session. Sends an acknowledgement, or determines when it will be sent.
    pub(super) fn count(&mut self, conn: usize, bytes: usize, now: Duration) {
        let Some(session) = &mut self.conns[conn].session else { return };
        let had_none = session.received.due_at().is_none();
        session.received.received(now, bytes);
        match session.received.due_at() {
            Some(at) if at <= now => self.acknowledge(conn),
            Some(at) if had_none => self.sessions.due.push_back((at, conn)),
            _ => {}
        }
    }

    pub(super) fn acknowledge(&mut self, conn: usize) {
        let Some(session) = &mut self.conns[conn].session else { return };
        let count = session.received.acknowledge().to_string();
        let payload = count.as_bytes();
        self.sessions.acks += 1;
        let ack = PacketRef { room: ROOT, event: ACK, payload, ..PacketRef::default() };
        self.out().send(conn, &ack);
    }

    /// Sends the acknowledgements that are due.
    pub(super) fn send_acks(&mut self) {
        let now = self.start.elapsed();
        while let Some(&(_, conn)) = self.sessions.due.front().filter(|(at, _)| *at <= now) {
            self.sessions.due.pop_front();
            let state = &self.conns[conn];
            let due = state.session.as_ref().and_then(|session| session.received.due_at());
            if due.is_some_and(|at| at <= now) && state.phase == Phase::Open {
                self.acknowledge(conn);
            }
        }
    }

    /// Acknowledges all packets that were received, and waits until packets stop arriving.
    pub fn settle_sessions(&mut self, quiet: Duration, l: &mut impl Listener) -> io::Result<()> {
        while let Some((_, conn)) = self.sessions.due.pop_front() {
            let state = &self.conns[conn];
            let due = state.session.as_ref().and_then(|session| session.received.due_at());
            if due.is_some() && state.phase == Phase::Open {
                self.acknowledge(conn);
            }
        }
        self.settle(quiet, Duration::from_secs(60), l)
    }

    /// Closes sockets without a close frame. The server receives a reset.
    pub fn cut(&mut self, conns: std::ops::Range<usize>) -> io::Result<()> {
        for conn in conns {
            let unconnected = opening::socket(self.target(conn))?;
            let socket = std::mem::replace(&mut self.sockets[conn], unconnected);
            opening::reset(&socket)?;
            let session = self.conns[conn].session.take();
            self.conns[conn] = Conn { phase: Phase::Closed, session, ..Conn::default() };
            self.pending[conn].clear();
            self.opened -= 1;
        }
        Ok(())
    }

    /// Makes connections whose sockets were cut resume their sessions in the following turns. Limits
    /// the number of concurrent handshakes.
    pub fn resume(&mut self, conns: std::ops::Range<usize>) -> io::Result<()> {
        for session in self.conns[conns.clone()].iter_mut().filter_map(|c| c.session.as_mut()) {
            session.is_returning = true;
        }
        self.sessions.returning = conns;
        self.start_more()
    }

    /// Returns true if all connections are open.
    pub fn all_open(&self) -> bool {
        self.opened == self.wanted
    }

    /// Handles the first packet on an extended connection.
    pub(super) fn greeted(
        &mut self,
        conn: usize,
        packet: &PacketRef<'_>,
        l: &mut impl Listener,
    ) -> io::Result<()> {
        let state = &mut self.conns[conn];
        let was_open = !self.ids[conn].is_empty();
        let hello = state.session.as_mut().and_then(|session| session.handle_hello(packet.payload));
        let Some(hello) = hello else {
            return Err(io::Error::other(format!("connection {conn} received a wrong hello")));
        };
        self.sessions.resumed += u64::from(hello.resumed);
        self.sessions.refused += u64::from(was_open && !hello.resumed);
        if hello.resumed {
            self.is_up(conn);
            let now = self.now();
            let Net { sockets, pending, scratch, ids, .. } = self;
            l.resumed(&mut Out { sockets, pending, scratch, ids, now }, conn, hello.received);
        }
        Ok(())
    }
}
