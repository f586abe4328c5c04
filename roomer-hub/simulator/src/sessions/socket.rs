//! A socket of a client, with the bytes in flight in both directions.

use std::collections::VecDeque;
use std::time::Duration;

use roomer_proto::PacketRef;
use roomer_proto::extended::{ACK, ACK_NOW};
use roomer_testkit::frames::{self, first_byte};
use roomer_testkit::socket::Peer;

use super::plan::ResumeKind;
use super::session::Packet;

/// The contents of the upgrade request that a client sends.
#[derive(Clone, Debug)]
pub struct ClientRequest {
    pub is_extended: bool,
    pub user: u8,
    pub is_denied: bool,
    /// The session token in the request, and the number of packets received, if the request
    /// contains it. `None` without a token.
    pub token: Option<(String, Option<usize>)>,
    pub resume_kind: Option<ResumeKind>,
}

/// A frame that the client has sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The position in the socket's byte stream at which the frame ends.
    pub end: u64,
    pub len: u64,
    pub what: Meaning,
}

#[derive(Clone, Debug)]
pub enum Meaning {
    /// The packet with this index in the session's `sent`.
    Packet(usize),
    /// An acknowledgement: its count, if that is valid, and whether it requests one from the
    /// server.
    Ack(Option<usize>, bool),
    Pong,
    Close(u16),
    Violation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The server has not responded to the request yet.
    Handshake,
    /// The socket has a session, or had one that was detached or has moved to another socket.
    Open,
    /// The socket was rejected, closed or lost.
    Ended,
}

#[derive(Debug)]
pub struct Socket {
    pub peer: Peer,
    pub task: usize,
    pub slot: u8,
    pub request: ClientRequest,
    pub request_len: u64,
    pub phase: Phase,
    /// The session that the server has attached to this socket, now or earlier.
    pub session: Option<usize>,
    /// True if the client no longer uses this socket.
    pub is_abandoned: bool,
    pub is_mute: bool,
    /// True if the client reads bytes as soon as they arrive.
    pub is_reading: bool,
    /// True if the network drops all further bytes.
    pub is_lost: bool,
    /// True if the end of the client's stream follows the bytes in flight.
    pub is_ending: bool,
    /// True once the server is able to notice that the socket has failed.
    pub is_broken: bool,
    /// The time of the first poll after the end of the stream, in which the server may have noticed
    /// it.
    pub ended_at: Option<Duration>,
    pub is_aborted: bool,
    pub in_flight: VecDeque<u8>,
    /// The number of bytes that the client has sent.
    sent_bytes: u64,
    pub outgoing: VecDeque<Sent>,
    pub incoming: Vec<u8>,
    pub has_response: bool,
    pub has_hello: bool,
    /// The payload that `hello` must have.
    pub hello: Option<String>,
    pub token: Option<String>,
    /// The session whose final close the client receives on this socket instead of a session.
    pub closed_session: Option<usize>,
    /// If the session was resumed on this socket: the number of the client's packets that the
    /// server had handled by then.
    pub resumed_with: Option<usize>,
    /// The status with which the server has rejected the handshake.
    pub rejection: Option<u16>,
    /// True once it has been checked why the client did not resume its session.
    pub is_judged: bool,
    /// True while the server counts the socket as a connection.
    pub is_counted: bool,
    pub opened_at: Duration,
    /// The time at which `authorize` accepted the client.
    pub accepted_at: Option<Duration>,
    /// The time since which the server has been waiting for the session.
    pub waits_since: Option<Duration>,
    pub waits_for: Option<usize>,
    /// True once the client has requested the same session on a later socket. The later socket then
    /// gets the session.
    pub is_overtaken: bool,
    /// The number of bytes that the server has read, and the time at which it last changed.
    pub read: (u64, Duration),
    /// The number of bytes that the server had read before the poll that is being checked.
    pub read_before: u64,
    /// The number of bytes that the server has written, and the time at which it last changed.
    pub written: (u64, Duration),
    /// The end time of the last handler call during which the server did not read.
    pub waited: Duration,
    /// The time at which a write by the server first found the socket full.
    pub full_since: Option<Duration>,
    /// The maximum number of bytes that one write accepts.
    pub max_write: u64,
    /// True if the socket was full at some time since it last accepted bytes.
    pub is_filled: bool,
    /// The time at which the socket last accepted bytes after it had been full. It shows that the
    /// client reads.
    pub unblocked_at: Duration,
    /// The close frame that is expected: its code, and the beginning of its reason.
    pub close: Option<(u16, &'static str)>,
    /// True if frames that precede the close frame may have been dropped.
    pub may_truncate: bool,
    pub is_closed: bool,
}

impl Socket {
    pub fn new(peer: Peer, task: usize, slot: u8, request: ClientRequest, now: Duration) -> Self {
        let head = request.to_bytes();
        Socket {
            peer,
            task,
            slot,
            request,
            request_len: head.len() as u64,
            phase: Phase::Handshake,
            session: None,
            is_abandoned: false,
            is_mute: false,
            is_reading: true,
            is_lost: false,
            is_ending: false,
            is_broken: false,
            ended_at: None,
            is_aborted: false,
            sent_bytes: head.len() as u64,
            in_flight: head.into(),
            outgoing: VecDeque::new(),
            incoming: Vec::new(),
            has_response: false,
            has_hello: false,
            hello: None,
            token: None,
            closed_session: None,
            resumed_with: None,
            rejection: None,
            is_judged: false,
            is_counted: false,
            opened_at: now,
            accepted_at: None,
            waits_since: None,
            waits_for: None,
            is_overtaken: false,
            read: (0, now),
            read_before: 0,
            written: (0, now),
            waited: now,
            full_since: None,
            max_write: u64::MAX,
            is_filled: false,
            unblocked_at: now,
            close: None,
            may_truncate: false,
            is_closed: false,
        }
    }

    /// Returns true if the client can send bytes on this socket.
    pub fn can_send(&self) -> bool {
        !(self.is_lost || self.is_ending || self.is_closed || self.is_abandoned)
    }

    /// Returns true if the client has a session on this socket and can send packets.
    pub fn is_ready(&self) -> bool {
        self.can_send() && self.has_hello && self.phase == Phase::Open
    }

    pub fn send_packet(&mut self, number: usize, packet: &Packet) {
        self.send(
            first_byte::FINAL | first_byte::BINARY,
            &packet.to_bytes(),
            Meaning::Packet(number),
        );
    }

    pub fn send_ack(&mut self, payload: &str, asks: bool) {
        let dst = if asks { ACK_NOW } else { "" };
        let packet =
            PacketRef { room: "root", event: ACK, dst, payload: payload.as_bytes(), src: "" };
        // The protocol allows only one form of each number, without leading zeros.
        let is_count = payload == "0" || !payload.starts_with('0');
        let count = payload.parse().ok().filter(|_| is_count);
        let meaning = Meaning::Ack(count, asks);
        self.send(first_byte::FINAL | first_byte::BINARY, &packet.to_bytes(), meaning);
    }

    pub fn send(&mut self, start: u8, payload: &[u8], what: Meaning) {
        let mut frame = Vec::new();
        // Any mask works, as long as different frames have different masks.
        frames::write(start, payload, [7, self.sent_bytes as u8, 3, 1], &mut frame);
        let len = frame.len() as u64;
        self.sent_bytes += len;
        self.in_flight.extend(frame);
        self.outgoing.push_back(Sent { end: self.sent_bytes, len, what });
    }

    /// Sends a frame whose reserved bits are set, which is a violation.
    pub fn violate(&mut self) {
        self.send(0xf2, &[1, 2], Meaning::Violation);
    }

    /// Delivers this many of the bytes in flight to the server.
    pub fn deliver(&mut self, bytes: usize) {
        if self.is_lost {
            return;
        }
        let size = bytes.min(self.in_flight.len());
        let bytes: Vec<u8> = self.in_flight.drain(..size).collect();
        self.peer.deliver(&bytes);
        // As in TCP, the end of the stream follows the last byte.
        if self.is_ending && !self.is_broken && self.in_flight.is_empty() {
            self.peer.end_stream(Ok(()));
            self.is_broken = true;
        }
    }

    /// Records how many bytes the server has written, and whether the socket is full.
    pub fn on_written(&mut self, now: Duration) {
        let written = self.peer.bytes_written();
        let accepted = written - self.written.0;
        if accepted > 0 {
            // If the socket has accepted more bytes than a single write accepts, it had space in between.
            if self.is_filled || accepted > self.max_write {
                self.unblocked_at = now;
            }
            (self.written, self.full_since, self.is_filled) = ((written, now), None, false);
        }
        match self.peer.is_full() {
            true => _ = self.full_since.get_or_insert(now),
            false => self.full_since = None,
        }
        self.is_filled |= self.full_since.is_some();
    }

    /// Returns the latest time at which the client or its network showed a sign of life.
    pub fn alive_at(&self) -> Duration {
        self.read.1.max(self.unblocked_at)
    }

    /// Returns the client's next frame, or `None` if the server has not read all of it.
    pub fn front_meaning(&self) -> Option<Meaning> {
        let sent = self.outgoing.front().filter(|sent| sent.end <= self.peer.bytes_read());
        sent.map(|sent| sent.what.clone())
    }

    /// Returns the code in the client's close frame, if the server has read it.
    pub fn close_read(&self) -> Option<u16> {
        let read = self.outgoing.iter().take_while(|sent| sent.end <= self.peer.bytes_read());
        let is_last = |sent: &&Sent| matches!(sent.what, Meaning::Close(_) | Meaning::Violation);
        match read.into_iter().find(is_last)?.what {
            Meaning::Close(code) => Some(code),
            _ => None,
        }
    }

    /// Returns true if the server has read part of the client's next message.
    pub fn is_mid_message(&self) -> bool {
        let read = self.peer.bytes_read();
        let next = self.outgoing.iter().find(|sent| sent.end > read);
        next.is_some_and(|sent| sent.end - sent.len < read)
    }

    /// Returns true if the server had read part of a message before this poll. It may have closed the
    /// session for that, and then have read the rest while closing.
    pub fn was_mid_message(&self) -> bool {
        let next = self.outgoing.iter().find(|sent| sent.end > self.read_before);
        next.is_some_and(|sent| sent.end - sent.len < self.read_before)
    }

    /// Returns true if the server has read the whole upgrade request.
    pub fn has_asked(&self) -> bool {
        self.peer.bytes_read() >= self.request_len
    }
}

impl ClientRequest {
    fn to_bytes(&self) -> Vec<u8> {
        let mut query = Vec::new();
        if self.is_extended {
            query.push("roomer=2".to_owned());
        }
        if self.user > 0 {
            query.push(format!("user=u{}", self.user));
        }
        if self.is_denied {
            query.push("deny=1".into());
        }
        if let Some((token, count)) = &self.token {
            query.push(format!("session={token}"));
            query.extend(count.map(|count| format!("received={count}")));
        }
        match query.is_empty() {
            true => frames::request("/ws", ""),
            false => frames::request(&format!("/ws?{}", query.join("&")), ""),
        }
    }
}
