//! The naive model of a session: the packets that its client has to receive and the server has to
//! keep, and the clients that may return to it. Written from the protocol's text.

use std::collections::VecDeque;
use std::time::Duration;

use roomer_hub::ConnKey;
use roomer_proto::PacketRef;
use roomer_testkit::frames::Frame;

use super::item::Item;
use crate::fault::{Fault, ensure};
use crate::hub::token_bucket::Bucket;
use crate::server::expected::next_item;

/// The server keeps a token that was presented, and this many newer ones, until the newest has
/// arrived.
const MOST_TOKENS: usize = 4;

/// The maximum number of consecutive acknowledgements that confirm nothing new, each within a second of the
/// one before and without another packet in between.
const MOST_IDLE_ACKS: u32 = 64;

/// When an acknowledgement of the server is due.
const MAX_ACK_DELAY: Duration = Duration::from_secs(5);
const MAX_ACK_PACKETS: usize = 64;
const MAX_ACK_BYTES: usize = 64 * 1024;

/// The maximum number of bytes that the server's log copies into one buffer: two of the engine's
/// `MIN_OWN`.
const MAX_COPIED: u64 = 8 * 1024;

pub type Packet = PacketRef<'static>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The session is on this socket.
    Socket(usize),
    /// The session has no socket, and is kept until this time.
    Away {
        until: Duration,
    },
    Ended,
}

#[derive(Debug)]
pub struct Session {
    pub key: ConnKey,
    /// The number of its client in the hub's model, and of its id.
    pub client: u16,
    pub id: u16,
    pub is_extended: bool,
    pub user: u8,
    pub place: Place,
    /// The socket whose task has the session.
    pub keeper: usize,
    /// The packets that its client has not received, in the order of decision.
    pub items: VecDeque<Item>,
    /// The packets that its client has received, in order.
    pub got: Vec<Vec<u8>>,
    /// The running total of the bytes of the frames in `got`, beginning with 0.
    got_bytes: Vec<u64>,
    /// When each packet of `got` was sent.
    got_at: Vec<Duration>,
    item_bytes: u64,
    /// The packets that the client knows to have received; fewer than `got` after a rewind.
    pub read_to: usize,
    /// The packets that the server knows to have been received.
    pub acked: usize,
    /// Those of them that the server certainly knows of: fewer if it may have discarded acknowledgements
    /// with a socket.
    surely_acked: usize,
    /// The packets that were sent when the server's log was last empty for certain.
    log_begin: usize,
    idle_acks: (u32, Duration),
    /// True if the server's log may have overflowed since the last sufficient acknowledgement.
    pub may_lack: bool,
    /// True if more was sent during its absence than the server may keep: possibly, and certainly.
    pub may_have_overflown: bool,
    pub has_overflown: bool,
    /// All packets that the client sends in this session.
    pub sent: Vec<Packet>,
    /// The packets that the server has handled.
    pub handled: usize,
    /// The packets that the client knows to have been handled.
    pub confirmed: usize,
    /// When each packet was handled, and its size.
    handled_at: Vec<(Duration, usize)>,
    /// True if the client has asked for an acknowledgement.
    pub is_asked: bool,
    /// The tokens by which the client may return, the newest last.
    pub tokens: Vec<String>,
    /// True until the client has sent something on the socket to which it returned.
    pub is_unconfirmed: bool,
    /// All tokens that the client has ever received.
    pub known_tokens: Vec<String>,
    pub expires: Option<Duration>,
    /// A slow handler that runs: when it completes, once it was polled.
    pub pending: Option<Option<Duration>>,
    pub hooks: (u32, u32),
    /// True if its client has connected on another socket since its last return.
    pub was_wanted: bool,
    /// The errors about refused packets that its client may get.
    pub errors: Option<Bucket>,
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
            may_have_overflown: false,
            has_overflown: false,
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
            errors: None,
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

    /// Returns the number of packets that were sent to the client in this session.
    pub fn total(&self) -> usize {
        self.got.len() + self.items.len()
    }

    /// Returns the bytes of all frames after the first `count`, which the client has received.
    pub fn bytes_after(&self, count: usize) -> u64 {
        let got = self.got_bytes[self.got.len()] - self.got_bytes[count.min(self.got.len())];
        got + self.item_bytes
    }

    /// Returns the maximum number of bytes that the server holds for the session, including what it
    /// has read and not handled, in its buffer and as a message.
    pub fn most_held(&self) -> u64 {
        let unread = self.sent[self.handled..].iter();
        self.most_kept() + unread.map(|packet| 2 * packet.encoded_len() as u64 + 20).sum::<u64>()
    }

    /// Returns the maximum number of bytes that the server holds of the packets that the client has not
    /// acknowledged: for its socket and, since some are copied, in its log.
    fn most_kept(&self) -> u64 {
        2 * self.bytes_after(self.surely_acked.min(self.got.len())) + self.most_pinned()
    }

    /// Returns the maximum number of bytes of acknowledged packets that the server's log still holds:
    /// those that are in one buffer with the first packet that is kept, copied, or sent to the room at
    /// the same time.
    fn most_pinned(&self) -> u64 {
        let acked = self.surely_acked.min(self.got.len());
        let bytes_from = |begin: usize| self.got_bytes[acked] - self.got_bytes[begin.min(acked)];
        let kept = self.got_at.get(acked).or_else(|| self.items.front().map(|item| &item.at));
        let before = self.got_at[..acked].iter().rev();
        let batch = before.take_while(|at| Some(*at) == kept).count();
        bytes_from(self.log_begin).min(bytes_from(acked - batch).max(MAX_COPIED))
    }

    /// Expects a packet, which the server has to keep until it is acknowledged.
    pub fn expect(&mut self, item: Item, buffer: u32) {
        self.item_bytes += item.what.len();
        self.items.push_back(item);
        if self.is_extended && self.bytes_after(self.surely_acked) > buffer.into() {
            // After an overflow on a socket, the log has dropped frames, and it depends on their sizes when
            // it overflows again.
            self.may_have_overflown |= self.is_away();
            let is_certain = !self.may_lack && self.bytes_after(self.acked) > buffer.into();
            self.has_overflown |= self.is_away() && is_certain;
            self.may_lack = true;
        }
    }

    /// Checks a packet that the client receives: the one that it has lost, or a new one.
    pub fn receive(&mut self, data: &[u8]) -> Result<(), Fault> {
        // After a return, the server repeats what the client lacks, byte for byte.
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
        self.read_to += 1;
        Ok(())
    }

    /// Applies an acknowledgement that the server has read.
    pub fn on_ack(&mut self, now: Duration, count: Option<usize>, buffer: u32) -> AckResult {
        let Some(count) = count.filter(|&count| count >= self.acked && count <= self.total())
        else {
            return AckResult::Wrong;
        };
        let is_new = self.advance_acked(count, buffer);
        let (in_row, last) = self.idle_acks;
        let is_in_row = !is_new && now - last < Duration::from_secs(1);
        self.idle_acks = (if is_in_row { in_row + 1 } else { 0 }, now);
        if self.idle_acks.0 > MOST_IDLE_ACKS { AckResult::Wrong } else { AckResult::Accepted }
    }

    pub fn advance_acked(&mut self, count: usize, buffer: u32) -> bool {
        let is_new = count > self.acked;
        (self.acked, self.surely_acked) = (count, count);
        // Nothing is unacknowledged, so the log is empty, whatever its buffers held.
        if count == self.total() {
            self.log_begin = count;
        }
        self.may_lack &= self.bytes_after(count) > buffer.into();
        is_new
    }

    /// Returns the state to which `doubt_acks` goes back.
    pub fn acks(&self) -> (usize, usize, bool) {
        (self.surely_acked, self.log_begin, self.may_lack)
    }

    /// Takes back that the server has certainly handled the acknowledgements since this state.
    pub fn doubt_acks(&mut self, (acked, log_begin, may_lack): (usize, usize, bool)) {
        (self.surely_acked, self.log_begin) = (acked, log_begin);
        self.may_lack |= may_lack;
    }

    /// Returns true if a client that has received `count` packets can get the others.
    pub fn can_resume(&self, count: usize, buffer: u32) -> bool {
        let is_count = count >= self.acked && count <= self.total();
        is_count && self.bytes_after(count) <= buffer.into()
    }

    /// Returns true if a client that has received `count` packets may get the others: a message sent
    /// to a large room at this moment may not be written yet.
    pub fn may_resume(&self, now: Duration, count: usize, buffer: u32) -> bool {
        let unwritten = self.items.iter().filter(|item| item.at == now);
        let unwritten: u64 = unwritten.map(|item| item.what.len()).sum();
        let is_count = count >= self.acked && count <= self.total();
        is_count && self.bytes_after(count) - unwritten <= buffer.into()
    }

    /// Replaces the presented token with a new one. Until that has arrived, both are valid.
    pub fn renew(&mut self, presented: &str, new: String) {
        // The client does not return with an older one.
        let at = self.tokens.iter().position(|token| token == presented).unwrap_or_default();
        self.tokens.drain(..at);
        // The presented one stays at the front, since the client may have lost all newer ones.
        let surplus = self.tokens.len().saturating_sub(MOST_TOKENS);
        self.tokens.drain(1..1 + surplus);
        self.tokens.push(new);
        self.is_unconfirmed = true;
    }

    /// Records that the client has sent something on its current socket.
    pub fn confirm(&mut self) {
        if std::mem::take(&mut self.is_unconfirmed) {
            // Never below zero: the newest token is always in the list.
            let outdated = self.tokens.len() - 1;
            self.tokens.drain(..outdated);
        }
    }

    /// Records that the server has handled a packet.
    pub fn on_handled(&mut self, now: Duration, bytes: usize) {
        self.handled += 1;
        // A packet in between shows a client that does more than asking.
        self.idle_acks.0 = 0;
        self.handled_at.push((now, bytes));
    }

    /// Records the count of an acknowledgement or of a `hello`.
    pub fn on_confirmed(&mut self, count: usize) -> Result<(), Fault> {
        let (confirmed, handled) = (self.confirmed, self.handled);
        ensure!(
            count >= confirmed && count <= handled,
            "{count} acknowledged: {confirmed} to {handled}"
        );
        (self.confirmed, self.is_asked) = (count, false);
        Ok(())
    }

    /// Returns true if the server has to have acknowledged more by now.
    pub fn is_ack_overdue(&self, now: Duration) -> bool {
        let unconfirmed = &self.handled_at[self.confirmed..];
        let is_late = unconfirmed.first().is_some_and(|(at, _)| now >= *at + MAX_ACK_DELAY);
        let bytes: usize = unconfirmed.iter().map(|(_, bytes)| bytes).sum();
        is_late || unconfirmed.len() >= MAX_ACK_PACKETS || bytes >= MAX_ACK_BYTES
    }

    /// Returns true if a token opens the session, and false if it does not; `None` if both are
    /// correct, as the server keeps only a few tokens between the last used and the newest.
    pub fn accepts(&self, token: &str) -> Option<bool> {
        let at = self.tokens.iter().position(|known| known == token);
        match at {
            None => Some(false),
            Some(at) if at == 0 || at + 1 == self.tokens.len() => Some(true),
            Some(_) => None,
        }
    }
}

/// Returns the size of the frame with a message of this length.
pub fn frame_len(len: usize) -> u64 {
    (len + match len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }) as u64
}
