//! The output that a connection must produce, compared with the bytes that its client receives.
//!
//! Items are stored in the order in which they were decided. A message for one connection is queued
//! immediately; a message to a room may be queued later, but in order within its room. The next
//! frame is therefore the first direct item, or the first item of a room unless a direct item
//! precedes it. A direct message follows all pending room messages to its receiver, a `leave_ack`
//! follows the pending messages of its room, and a close frame follows all other output.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use roomer_hub::Presence;
use roomer_proto::PacketRef;
use roomer_testkit::frames::{self, Frame};

use crate::alphabet::id_number;
use crate::fault::{Fault, ensure};
use crate::hub::display::PacketText;
use crate::hub::op::IdSet;

#[derive(Debug, Default)]
pub struct Expected {
    pub items: VecDeque<ExpectedItem>,
    /// The number of pings that the client must still receive. A ping may arrive between any two
    /// items.
    pub pings: u32,
    /// The number of pings that the client may still receive, unless they were dropped because of
    /// congestion.
    pub optional_pings: u32,
    /// The total size in bytes of all items so far, including those that may be dropped.
    pub bytes: u64,
    /// The number of bytes that the client has received.
    pub received_bytes: u64,
    /// The hard limit on the size of the queue, in bytes.
    pub hard_limit: u64,
    /// True if room messages may be coalesced, and therefore queued only after a delay.
    pub coalesces: bool,
    /// True if the queue may have exceeded its hard limit. Further items may then be dropped.
    pub may_exceed_limit: bool,
    /// True if queued items may have been dropped to make room for a close frame.
    pub may_be_truncated: bool,
    /// True if the close frame or an HTTP error has been received. No bytes may follow.
    pub is_finished: bool,
    incoming: Vec<u8>,
    /// The frames received so far as text. `None` unless a report needs them.
    pub frame_log: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug)]
pub struct ExpectedItem {
    pub order: Order,
    pub output: Output,
    pub at: Duration,
    /// True if the item may be dropped because of congestion.
    pub is_optional: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A message to a room. Its place in the order is fixed only relative to other messages of the
    /// room.
    Room(u32),
    /// A message for this connection only, which is queued immediately.
    Direct,
    /// Like `Direct`, but after all of a room's pending messages.
    After(u32),
    /// Like `Direct`, but after all pending messages in all rooms.
    Barrier,
}

#[derive(Clone, Copy, Debug)]
pub enum Output {
    /// An HTTP response with this status.
    Response(u16),
    Packet(PacketRef<'static>),
    JoinAck {
        room: &'static str,
        id: &'static str,
        members: IdSet,
        presence: Presence,
    },
    Raw(&'static [u8]),
    Pong(&'static [u8]),
    /// A close frame. If `reason` is `None`, any reason is accepted.
    Close {
        code: Option<u16>,
        reason: Option<&'static str>,
    },
}

/// A frame that the client has received, and may have to answer.
#[derive(Clone, Copy, Debug)]
pub enum Received {
    Ping,
    Close(Option<u16>),
    ExpectedItem(ExpectedItem),
}

impl Expected {
    pub fn push(&mut self, at: Duration, order: Order, what: Output, is_optional: bool) {
        // Check this before the item is added: the engine drops an item only if the queue already
        // exceeds the limit.
        self.may_exceed_limit |= self.outstanding() > self.hard_limit;
        self.bytes += what.len();
        self.items.push_back(ExpectedItem { order, output: what, at, is_optional });
        // Earlier messages in other rooms may still be queued after this item.
        let is_later = |item: &ExpectedItem| match item.order {
            Order::Room(_) if item.order == order => false,
            Order::Room(_) => item.at == at || self.coalesces,
            _ => false,
        };
        self.may_exceed_limit |=
            self.outstanding() > self.hard_limit && self.items.iter().any(is_later);
    }

    /// Returns the number of bytes that the client must still receive: an upper bound on the size
    /// of the queue.
    pub fn outstanding(&self) -> u64 {
        let pings = u64::from(self.pings + self.optional_pings);
        // A ping frame has two bytes.
        (self.bytes + 2 * pings).saturating_sub(self.received_bytes)
    }

    /// Returns true if an item that must not be dropped has not been received.
    pub fn is_required_missing(&self) -> bool {
        self.items.iter().any(|item| !item.is_optional)
    }

    /// Returns true if the next item may be dropped.
    pub fn may_drop_next(&self) -> bool {
        self.may_exceed_limit || self.outstanding() > self.hard_limit
    }

    /// Returns true if the bytes received so far end within a frame.
    pub fn is_mid_frame(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// Compares received bytes with the expected output.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        mut react: impl FnMut(Received) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.received_bytes += bytes.len() as u64;
        self.incoming.extend_from_slice(bytes);
        let incoming = std::mem::take(&mut self.incoming);
        let mut rest = &incoming[..];
        while !rest.is_empty() {
            ensure!(!self.is_finished, "{} bytes after the end", rest.len());
            let Some((received, size)) = self.first(rest)? else { break };
            rest = &rest[size..];
            react(received)?;
        }
        let used = incoming.len() - rest.len();
        self.incoming = incoming;
        self.incoming.drain(..used);
        Ok(())
    }

    fn first(&mut self, bytes: &[u8]) -> Result<Option<(Received, usize)>, Fault> {
        if let Some(&ExpectedItem { output: Output::Response(expected), .. }) = self.items.front() {
            let answer = frames::read_response(bytes).map_err(Fault::new)?;
            let Some((status, size)) = answer else { return Ok(None) };
            self.log_frame(|| format!("HTTP {status}"));
            ensure!(status == expected, "the status is {status} instead of {expected}");
            let is_exact = status != 101 || &bytes[..size] == frames::SWITCHING_PROTOCOLS;
            ensure!(
                is_exact,
                "an unexpected upgrade response: {:?}",
                bytes[..size].escape_ascii().to_string()
            );
            self.is_finished = status != 101;
            return Ok(self.items.pop_front().map(|item| (Received::ExpectedItem(item), size)));
        }
        let frame = frames::read(bytes).map_err(Fault::new)?;
        let Some((frame, size)) = frame else { return Ok(None) };
        self.log_frame(|| describe(&frame));
        if frame == Frame::Ping(&[]) && self.pings + self.optional_pings > 0 {
            match self.pings {
                0 => self.optional_pings -= 1,
                _ => self.pings -= 1,
            }
            // The ping is no longer counted in `pings`, so add its two bytes to the total.
            self.bytes += 2;
            return Ok(Some((Received::Ping, size)));
        }
        let received = match self.find(&frame) {
            Some(at) => {
                let item = self.items[at];
                // Optional items before this one were not received, so they have been dropped.
                let mut number = 0;
                self.items.retain(|item| {
                    number += 1;
                    number - 1 > at || (number - 1 < at && !item.is_optional)
                });
                Received::ExpectedItem(item)
            }
            None => {
                return Err(Fault::new(format!("sent: {}\n{}", describe(&frame), self.describe())));
            }
        };
        if let Received::ExpectedItem(ExpectedItem { output: Output::Close { code, .. }, .. }) =
            received
        {
            self.is_finished = true;
            return Ok(Some((Received::Close(code), size)));
        }
        Ok(Some((received, size)))
    }

    /// Returns the index of the item that matches a frame. Considers only the items that may be
    /// received next.
    fn find(&self, frame: &Frame<'_>) -> Option<usize> {
        if let Frame::Close(code, reason) = *frame {
            let at = self.items.len().checked_sub(1)?;
            let Output::Close { code: expected, reason: why } = self.items[at].output else {
                return None;
            };
            // All other output precedes a close frame, unless some of it was dropped to make room
            // for the frame.
            let early =
                self.items.iter().take(at).any(|item| !item.is_optional) && !self.may_be_truncated;
            let is_why = why.is_none_or(|why| why.as_bytes() == reason);
            return (!early && expected == code && is_why).then_some(at);
        }
        let order = |item: &ExpectedItem| (item.order, item.is_optional);
        next_item(&self.items, order, |item| item.output.is(frame))
    }

    fn log_frame(&mut self, describe: impl FnOnce() -> String) {
        if let Some(received) = &mut self.frame_log {
            received.push(describe());
        }
    }

    /// Describes the items that are still expected, for a report.
    pub fn describe(&self) -> String {
        let mut text = String::from("expected, in the order of decision:");
        for item in self.items.iter().take(12) {
            let lack = if item.is_optional { " (or not)" } else { "" };
            let _ = write!(text, "\n    {:?}{lack}: {}", item.order, item.output.describe());
        }
        if self.items.is_empty() {
            text += " nothing";
        }
        text
    }
}

/// Returns the index of the first item for which `fits` returns true, among those that may be
/// received next.
pub fn next_item<T>(
    items: &VecDeque<T>,
    order: impl Fn(&T) -> (Order, bool),
    fits: impl Fn(&T) -> bool,
) -> Option<usize> {
    // The rooms that have an earlier message, which must be received first. A plan has at most 16
    // rooms.
    let mut rooms: [u32; 16] = [u32::MAX; 16];
    let mut seen = 0;
    for (at, item) in items.iter().enumerate() {
        let (order, is_optional) = order(item);
        let is_next = match order {
            Order::Room(room) => !rooms[..seen].contains(&room),
            Order::Direct => true,
            Order::After(room) => !rooms[..seen].contains(&room),
            Order::Barrier => seen == 0,
        };
        if is_next && fits(item) {
            return Some(at);
        }
        match order {
            Order::Room(room) if is_next && seen < rooms.len() => {
                rooms[seen] = room;
                seen += 1;
            }
            Order::Room(_) => {}
            // The item may have been dropped, so later items may be received next.
            _ if is_optional => {}
            // A direct item precedes all items that were decided after it.
            _ => return None,
        }
    }
    None
}

impl Output {
    /// Returns the size in bytes of the frame for this item.
    pub fn len(&self) -> u64 {
        let framed = |length: usize| match length {
            0..=125 => length + 2,
            126..=0xffff => length + 4,
            _ => length + 10,
        };
        (match *self {
            Output::Response(101) => frames::SWITCHING_PROTOCOLS.len(),
            // The size of an HTTP error does not matter, since it is the only output of its
            // connection.
            Output::Response(_) => 0,
            Output::Packet(packet) => framed(packet.encoded_len()),
            Output::JoinAck { room, id, members, presence } => {
                let snapshot = match presence {
                    Presence::Count => members.len().to_string().len(),
                    Presence::Off => 40,
                    _ => 39 * members.len() as usize + 1,
                };
                framed(20 + room.len() + "join_ack".len() + id.len() + snapshot)
            }
            Output::Raw(bytes) | Output::Pong(bytes) => framed(bytes.len()),
            Output::Close { code: None, .. } => 2,
            // If the reason is unknown, assume the longest reason that fits into a control frame.
            Output::Close { reason, .. } => 4 + reason.map_or(123, str::len),
        }) as u64
    }

    pub fn is(&self, frame: &Frame<'_>) -> bool {
        match (*self, *frame) {
            (Output::Packet(packet), Frame::Binary(data)) => is_packet(&packet, data),
            (Output::JoinAck { room, id, members, presence }, Frame::Binary(data)) => {
                let Ok(packet) = PacketRef::decode(data) else { return false };
                let expected = PacketRef { room, event: "join_ack", dst: "", src: id, ..packet };
                let payload = packet.payload;
                let is_right = match presence {
                    Presence::Count => payload == members.len().to_string().as_bytes(),
                    Presence::Off => {
                        let own = id_number(id.as_bytes()).map(|id| IdSet::from_iter([id]));
                        own.is_some() && snapshot(payload) == own
                    }
                    _ => snapshot(payload) == Some(members),
                };
                packet == expected && is_right
            }
            (Output::Raw(expected), Frame::Binary(data))
            | (Output::Pong(expected), Frame::Pong(data)) => expected == data,
            _ => false,
        }
    }

    fn describe(&self) -> String {
        match self {
            Output::Packet(packet) => PacketText(packet).to_string(),
            other => format!("{other:?}"),
        }
    }
}

/// Parses a snapshot: a JSON array of unique ids, in exactly the form that the hub uses.
fn snapshot(payload: &[u8]) -> Option<IdSet> {
    let inside = payload.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let mut found = IdSet::default();
    let count = (inside.len() + 1) / 39;
    for (at, cell) in inside.chunks(39).enumerate() {
        let cell = if at + 1 == count { cell } else { cell.strip_suffix(b",")? };
        let id = id_number(cell.strip_prefix(b"\"")?.strip_suffix(b"\"")?)?;
        found.insert(id).then_some(())?;
    }
    Some(found)
}

/// Returns true if `data` is the encoding of the packet, without encoding the packet.
fn is_packet(packet: &PacketRef<'_>, data: &[u8]) -> bool {
    let PacketRef { room, event, dst, src, payload } = *packet;
    let mut rest = data;
    let names = [room, event, dst, src].map(str::as_bytes);
    names.iter().chain([&payload]).all(|expected| {
        let Some((length, behind)) = rest.split_first_chunk::<4>() else { return false };
        let is_long = u32::from_be_bytes(*length) as usize == expected.len();
        let Some(behind) = behind.strip_prefix(*expected) else { return false };
        rest = behind;
        is_long
    }) && rest.is_empty()
}

fn describe(frame: &Frame<'_>) -> String {
    match frame {
        Frame::Binary(data) => match PacketRef::decode(data) {
            Ok(packet) => PacketText(&packet).to_string(),
            Err(_) => format!("{} bytes that are not a packet", data.len()),
        },
        other => format!("{other:?}"),
    }
}
