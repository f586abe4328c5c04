//! A naive model of a session, written from the protocol's text.
//!
//! It stores the packets that its client must receive and that the server must keep, and the tokens
//! that resume it.

use std::collections::VecDeque;
use std::time::Duration;

use roomer_hub::ConnKey;
use roomer_proto::PacketRef;
use roomer_proto::extended::ERROR;
use roomer_testkit::frames::Frame;

use super::item::Item;
use super::rejections::Rejections;
use crate::fault::{Fault, ensure};
use crate::server::expected::next_item;

/// Until the client has confirmed the newest token, the server keeps the token that was presented
/// last, and up to this many newer ones.
const MAX_TOKENS: usize = 4;

/// The maximum number of consecutive acknowledgements that acknowledge nothing new. To be
/// consecutive, two of them must be less than a second apart, with no other packet between them.
const MAX_IDLE_ACKS: u32 = 64;

/// The maximum time after which the server acknowledges a packet.
const MAX_ACK_DELAY: Duration = Duration::from_secs(5);
/// The maximum number of packets that the server handles before it acknowledges them.
const MAX_ACK_PACKETS: usize = 64;
/// The maximum number of bytes that the server handles before it acknowledges them.
const MAX_ACK_BYTES: usize = 64 * 1024;

/// The maximum number of bytes that the server's log copies into the same buffer: twice the
/// engine's `MIN_OWN`.
const MAX_COPIED: u64 = 8 * 1024;

pub type Packet = PacketRef<'static>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The session is attached to this socket.
    Socket(usize),
    /// The session is detached, and expires at this time.
    Away {
        until: Duration,
    },
    Ended,
}

#[derive(Debug)]
pub struct Session {
    pub key: ConnKey,
    /// The number of the client in the hub's model.
    pub client: u16,
    /// The number of the client's id.
    pub id: u16,
    pub is_extended: bool,
    pub user: u8,
    pub place: Place,
    /// True if the other members have been notified that the client is away.
    pub is_shown_away: bool,
    /// The socket whose task keeps the session.
    pub keeper: usize,
    /// The packets that the client has not received yet, in the order in which they were queued.
    pub items: VecDeque<Item>,
    /// The packets that the client has received, in order.
    pub got: Vec<Vec<u8>>,
    /// The total size of the first `n` frames in `got`, for each `n` from 0.
    got_bytes: Vec<u64>,
    /// For each packet in `got`, the time at which it was sent.
    got_at: Vec<Duration>,
    item_bytes: u64,
    /// The number of packets in `got` that the client has processed. It is lower than their number
    /// after a rewind.
    pub read_to: usize,
    /// The highest count in an acknowledgement that the server has read.
    pub acked: usize,
    /// The highest count in an acknowledgement that the server has certainly handled. It may be
    /// lower than `acked`, since the server may discard acknowledgements together with a socket.
    surely_acked: usize,
    /// The number of packets that had been sent when the server's log was last certainly empty.
    log_begin: usize,
    idle_acks: (u32, Duration),
    /// True if the server's log may have exceeded its limit, and not all of the packets then in it
    /// have been acknowledged.
    pub may_lack: bool,
    /// True if the packets sent while the client was away may exceed the buffer.
    pub may_have_overflowed: bool,
    /// True if the packets sent while the client was away certainly exceed the buffer.
    pub has_overflowed: bool,
    /// All packets that the client has to send in this session, in order.
    pub sent: Vec<Packet>,
    /// The number of the packets in `sent` that the server has handled.
    pub handled: usize,
    /// The number of the packets in `sent` that the server has acknowledged.
    pub confirmed: usize,
    /// For each packet that was handled, the time and the packet's size.
    handled_at: Vec<(Duration, usize)>,
    /// True if the client has requested an acknowledgement, and the server has not sent it yet.
    pub is_asked: bool,
    /// The tokens that may resume the session, newest last.
    pub tokens: Vec<String>,
    /// True if the client has resumed the session and has not yet sent a frame on the new socket.
    pub is_unconfirmed: bool,
    /// All tokens that the client has received.
    pub known_tokens: Vec<String>,
    pub expires: Option<Duration>,
    /// If a slow handler is running: the time at which it completes, or `None` before its first
    /// poll.
    pub pending: Option<Option<Duration>>,
    pub hooks: (u32, u32),
    /// True if the client has requested the session on another socket since it was last resumed.
    pub was_wanted: bool,
    pub rejections: Rejections,
    /// The application's final close, which the client receives if it returns before this time and
    /// has not answered the close frame.
    pub kept_close: Option<(u16, Duration)>,
}

/// The server's reaction to an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckResult {
    Accepted,
    Wrong,
}

impl Session {
    pub fn new(key: ConnKey, client: u16, id: u16, is_extended: bool, keeper: usize) -> Self {
        Session {
            key,
            client,
            id,
            is_extended,
            user: 0,
            place: Place::Socket(keeper),
            is_shown_away: false,
            keeper,
            items: VecDeque::new(),
            got: Vec::new(),
            got_bytes: vec![0],
            got_at: Vec::new(),
            item_bytes: 0,
            read_to: 0,
            acked: 0,
            surely_acked: 0,
            log_begin: 0,
            idle_acks: (0, Duration::ZERO),
            may_lack: false,
            may_have_overflowed: false,
            has_overflowed: false,
            sent: Vec::new(),
            handled: 0,
            confirmed: 0,
            handled_at: Vec::new(),
            is_asked: false,
            tokens: Vec::new(),
            is_unconfirmed: false,
            known_tokens: Vec::new(),
            expires: None,
            pending: None,
            hooks: (0, 0),
            was_wanted: false,
            rejections: Rejections::default(),
            kept_close: None,
        }
    }

    pub fn is_open(&self) -> bool {
        self.place != Place::Ended
    }

    pub fn is_away(&self) -> bool {
        matches!(self.place, Place::Away { .. })
    }

    pub fn socket(&self) -> Option<usize> {
        match self.place {
            Place::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    /// Returns the number of packets that the client must receive in this session, including those
    /// it has received.
    pub fn total(&self) -> usize {
        self.got.len() + self.items.len()
    }

    /// Returns the total size of the frames in this session after the first `count`, which the
    /// client has received.
    pub fn bytes_after(&self, count: usize) -> u64 {
        let got = self.got_bytes[self.got.len()] - self.got_bytes[count.min(self.got.len())];
        got + self.item_bytes
    }

    /// Returns the maximum number of bytes that the server holds for the session. This includes
    /// input that was read but not handled, which it may hold twice: in the read buffer, and as a
    /// message.
    pub fn most_held(&self) -> u64 {
        let unread = self.sent[self.handled..].iter();
        self.most_kept() + unread.map(|packet| 2 * packet.encoded_len() as u64 + 20).sum::<u64>()
    }

    /// Returns the maximum number of bytes that the server holds for packets that the client has
    /// not acknowledged. They may be in the queue of the socket and, as a copy, in the log.
    fn most_kept(&self) -> u64 {
        2 * self.bytes_after(self.surely_acked.min(self.got.len())) + self.most_pinned()
    }

    /// Returns the maximum number of bytes of acknowledged packets that the server's log still
    /// holds. The log holds acknowledged packets if they share a buffer with the first
    /// unacknowledged one, because they were copied into it, or were sent to the room at the same
    /// time.
    fn most_pinned(&self) -> u64 {
        let acked = self.surely_acked.min(self.got.len());
        let bytes_from = |begin: usize| self.got_bytes[acked] - self.got_bytes[begin.min(acked)];
        let kept = self.got_at.get(acked).or_else(|| self.items.front().map(|item| &item.at));
        let before = self.got_at[..acked].iter().rev();
        let batch = before.take_while(|at| Some(*at) == kept).count();
        bytes_from(self.log_begin).min(bytes_from(acked - batch).max(MAX_COPIED))
    }

    /// Adds a packet that the server must send to the client, and keep until the client
    /// acknowledges it.
    pub fn expect(&mut self, item: Item, buffer: u32) {
        self.item_bytes += item.what.len();
        self.items.push_back(item);
        if self.is_extended && self.bytes_after(self.surely_acked) > buffer.into() {
            // If the log overflows while the session has a socket, it drops frames. The sizes of
            // these frames determine when it overflows again.
            self.may_have_overflowed |= self.is_away();
            let is_certain = !self.may_lack && self.bytes_after(self.acked) > buffer.into();
            self.has_overflowed |= self.is_away() && is_certain;
            self.may_lack = true;
        }
    }

    /// Checks a packet that the client receives. It must be the next retransmitted packet, or one
    /// of the new packets.
    pub fn receive(&mut self, data: &[u8]) -> Result<(), Fault> {
        // After a resumption, the server must send the packets that the client lacks again, byte
        // for byte.
        if let Some(again) = self.got.get(self.read_to) {
            ensure!(again == data, "packet {} is another one when it is sent again", self.read_to);
            self.read_to += 1;
            return Ok(());
        }
        let frame = Frame::Binary(data);
        let order = |item: &Item| (item.order, false);
        let Some(at) = next_item(&self.items, order, |item| item.what.is(&frame)) else {
            let expected: Vec<_> = self.items.iter().take(6).collect();
            let found = PacketRef::decode(data);
            return Err(Fault::new(format!("received {found:?} instead of {expected:?}")));
        };
        let Some(item) = self.items.remove(at) else { return Ok(()) };
        self.item_bytes -= item.what.len();
        let sum = self.got_bytes[self.got.len()] + frame_len(data.len());
        self.got_bytes.push(sum);
        self.got_at.push(item.at);
        self.got.push(data.into());
        let is_error = |packet: PacketRef<'_>| packet.event == ERROR && packet.dst.is_empty();
        self.rejections.received += usize::from(PacketRef::decode(data).is_ok_and(is_error));
        self.read_to += 1;
        Ok(())
    }

    /// Handles an acknowledgement that the server has read. `count` is `None` if it is not a
    /// number.
    pub fn on_ack(&mut self, now: Duration, count: Option<usize>, buffer: u32) -> AckResult {
        let Some(count) = count.filter(|&count| count >= self.acked && count <= self.total())
        else {
            return AckResult::Wrong;
        };
        let is_new = self.advance_acked(count, buffer);
        let (in_row, last) = self.idle_acks;
        let is_in_row = !is_new && now - last < Duration::from_secs(1);
        self.idle_acks = (if is_in_row { in_row + 1 } else { 0 }, now);
        if self.idle_acks.0 > MAX_IDLE_ACKS { AckResult::Wrong } else { AckResult::Accepted }
    }

    pub fn advance_acked(&mut self, count: usize, buffer: u32) -> bool {
        let is_new = count > self.acked;
        (self.acked, self.surely_acked) = (count, count);
        // If all packets are acknowledged, the log is empty, and no longer holds any buffer.
        if count == self.total() {
            self.log_begin = count;
        }
        self.may_lack &= self.bytes_after(count) > buffer.into();
        is_new
    }

    /// Returns the state of the acknowledgements, for `doubt_acks`.
    pub fn acks(&self) -> (usize, usize, bool) {
        (self.surely_acked, self.log_begin, self.may_lack)
    }

    /// Accounts for the possibility that the server has discarded all acknowledgements since `acks`
    /// returned this state.
    pub fn doubt_acks(&mut self, (acked, log_begin, may_lack): (usize, usize, bool)) {
        (self.surely_acked, self.log_begin) = (acked, log_begin);
        self.may_lack |= may_lack;
    }

    /// Returns true if a client that has received `count` packets can still receive all packets
    /// after them.
    pub fn can_resume(&self, count: usize, buffer: u32) -> bool {
        let is_count = count >= self.acked && count <= self.total();
        is_count && self.bytes_after(count) <= buffer.into()
    }

    /// Like `can_resume`, but also returns true if it depends on messages that were sent to a large
    /// room at this time, and that may not have been written yet.
    pub fn may_resume(&self, now: Duration, count: usize, buffer: u32) -> bool {
        let unwritten = self.items.iter().filter(|item| item.at == now);
        let unwritten: u64 = unwritten.map(|item| item.what.len()).sum();
        let is_count = count >= self.acked && count <= self.total();
        is_count && self.bytes_after(count) - unwritten <= buffer.into()
    }

    /// Adds a new token. The presented token stays valid until the client has confirmed the new
    /// one.
    pub fn renew(&mut self, presented: &str, new: String) {
        // The client does not use tokens older than the one that it presented.
        let at = self.tokens.iter().position(|token| token == presented).unwrap_or_default();
        self.tokens.drain(..at);
        // If there are too many tokens, drop those that follow the presented one. The presented
        // token must stay valid, since the client may have lost all newer ones.
        let surplus = self.tokens.len().saturating_sub(MAX_TOKENS);
        self.tokens.drain(1..1 + surplus);
        self.tokens.push(new);
        self.is_unconfirmed = true;
    }

    /// Records that the client has sent a frame on its current socket, which confirms the newest
    /// token.
    pub fn confirm(&mut self) {
        if std::mem::take(&mut self.is_unconfirmed) {
            // The list always contains at least the newest token, so the subtraction does not
            // underflow.
            let outdated = self.tokens.len() - 1;
            self.tokens.drain(..outdated);
        }
    }

    /// Records that the server has handled a packet of this size, in bytes.
    pub fn on_handled(&mut self, now: Duration, bytes: usize) {
        self.handled += 1;
        // A packet between two acknowledgements means that they are not consecutive.
        self.idle_acks.0 = 0;
        self.handled_at.push((now, bytes));
    }

    /// Handles a count that the server has sent, in an acknowledgement or in `hello`.
    pub fn on_confirmed(&mut self, count: usize) -> Result<(), Fault> {
        let (confirmed, handled) = (self.confirmed, self.handled);
        ensure!(
            count >= confirmed && count <= handled,
            "{count} acknowledged: {confirmed} to {handled}"
        );
        self.rejections.check_acknowledged(count, false)?;
        (self.confirmed, self.is_asked) = (count, false);
        Ok(())
    }

    /// Returns true if the server should have sent an acknowledgement by now.
    pub fn is_ack_overdue(&self, now: Duration) -> bool {
        let unconfirmed = &self.handled_at[self.confirmed..];
        let is_late = unconfirmed.first().is_some_and(|(at, _)| now >= *at + MAX_ACK_DELAY);
        let bytes: usize = unconfirmed.iter().map(|(_, bytes)| bytes).sum();
        is_late || unconfirmed.len() >= MAX_ACK_PACKETS || bytes >= MAX_ACK_BYTES
    }

    /// Returns true if a token must resume the session, false if it must not, and `None` if both
    /// are allowed: of the tokens between the last used one and the newest, the server keeps only
    /// some.
    pub fn accepts(&self, token: &str) -> Option<bool> {
        let at = self.tokens.iter().position(|known| known == token);
        match at {
            None => Some(false),
            Some(at) if at == 0 || at + 1 == self.tokens.len() => Some(true),
            Some(_) => None,
        }
    }
}

/// Returns the size in bytes of the frame for a message of this length.
pub fn frame_len(len: usize) -> u64 {
    (len + match len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }) as u64
}
