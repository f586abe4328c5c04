//! Records: the compact output of one input, from which its actions are derived.

use std::ops::Range;

use roomer_proto::extended::{ERROR, ErrorCode, Failure, TaggedId};
use roomer_proto::{ConnId, PacketRef, ROOT};

use crate::config::Presence;
use crate::keys::{ConnKey, HandlerKey, PeerKey, RoomKey};
use crate::limits::CloseReason;
use crate::member_list::MemberList;
use crate::permission::Permission;
use crate::room::Room;

/// An action in compact form, which is resolved against the tables when the driver takes it. Even a
/// message to a room with thousands of members takes only two words, without an allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record {
    Opened,
    Rejected,
    Joined(RoomKey),
    Left(RoomKey),
    RoomClosed(RoomKey),
    JoinAck(RoomKey),
    MembersAck(RoomKey),
    LeaveAck,
    NewMember(RoomKey),
    MemberLeft(RoomKey),
    Broadcast(RoomKey),
    Direct(ConnKey),
    Call(HandlerKey),
    Authorize(Permission),
    Close(u16),
    CloseFor(CloseReason),
    Rare(RareRecord),
    Extended(ExtendedRecord),
}

/// The kinds of notices for extended members, which have different receivers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoticeKind {
    /// A join or leave, sent to the other members.
    Membership,
    /// A change to a member's info, sent to all members.
    Info,
    /// A change to the subject's info, sent only to the subject, in a room that does not show other
    /// members.
    Own,
    /// The number of members, in a room that does not list them.
    Count,
}

/// Records that occur only with peers, extended members or histories. They are separate so that the
/// common records stay fast.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RareRecord {
    BroadcastExcept(RoomKey),
    Broadcast(RoomKey),
    GuestLeft {
        room: RoomKey,
        subject: u32,
    },
    Forward(PeerKey),
    /// A connection's info was replaced.
    InfoChanged(ConnKey),
    /// A connection went away or came back.
    AwayChanged(ConnKey),
    /// A notice for the extended members of a room. Its payload is the text `text` in [`Output::texts`].
    Members {
        room: RoomKey,
        text: u32,
        kind: NoticeKind,
    },
    /// A message for the extended members of a room with history, including its number.
    Numbered {
        room: RoomKey,
        /// True if peers should also receive the message.
        is_forwarded: bool,
        /// True if the connection [`Output::except_guest`] should not receive the message.
        has_except: bool,
    },
    /// Only the number of a message, for the connection that the message excludes.
    Number(RoomKey),
    /// A message that the connection has missed. `back` is its distance from the newest message.
    Missed {
        room: RoomKey,
        back: u32,
    },
}

/// Records for requests and errors, which are separate so that the common records stay fast. They
/// are small, because the largest variant determines the size of all records.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ExtendedRecord {
    /// A request for the handler in [`Output::request_handler`].
    Request,
    /// A server request, for the receiver in [`Output::request_dst`].
    Ask,
    /// An answered request; `request` is an index into [`Output::requests`].
    Answered { request: u32, is_error: bool },
    /// A request that ended without an answer; `request` is an index into [`Output::requests`].
    Unanswered { request: u32, code: ErrorCode },
    /// An error to send, an index into [`Output::errors`].
    Error(u32),
}

/// An error to send, without the fields that are taken from the input's packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorPacket {
    pub(crate) to: ErrorReceiver,
    /// True if the error is sent in the input packet's room, false if it is sent in `root`.
    in_room: bool,
    /// `None` if the error is not about a request.
    dst: Option<TaggedId>,
    /// The payload's range in [`Output::error_text`].
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ErrorReceiver {
    Conn(ConnKey),
    /// The peer that has the connection identified by `dst`.
    Peer(PeerKey),
}

impl ErrorPacket {
    /// Returns the error as a packet. `room` is the input packet's room.
    pub(crate) fn packet<'a>(&'a self, room: &'a str, text: &'a [u8]) -> PacketRef<'a> {
        let room = if self.in_room { room } else { ROOT };
        let dst = self.dst.as_ref().map_or("", TaggedId::as_str);
        let payload = text.get(Range { start: self.start, end: self.end }).unwrap_or_default();
        PacketRef { room, event: ERROR, dst, src: "", payload }
    }
}

/// The last input's records, and the data they need besides the tables.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) records: Vec<Record>,
    /// The id of the connection that the input concerns. The connection may already be removed.
    pub(crate) subject: Option<ConnId>,
    /// The ids of guests removed by the input, for [`RareRecord::GuestLeft`].
    pub(crate) subjects: Vec<ConnId>,
    /// The excluded guest. Only valid with [`RareRecord::BroadcastExcept`].
    pub(crate) except_guest: Option<ConnId>,
    /// The rooms that the input closed by removing their last member.
    pub(crate) closed_rooms: Vec<(RoomKey, Box<str>)>,
    /// The payload of a `join_ack` that cannot be shared, because the room does not have full presence.
    pub(crate) own_payload: Vec<u8>,
    /// The entries of guests in a `join_ack` for an extended client.
    pub(crate) guest_list: MemberList,
    /// The end of the input's `join_ack` for an extended client, in a room that announces which
    /// members are away.
    pub(crate) ack_end: Vec<u8>,
    /// The payloads of [`RareRecord::Members`]. Stale if the input has no such record.
    pub(crate) texts: Texts,
    /// The errors for [`ExtendedRecord::Error`]. Stale if the input has no such record.
    pub(crate) errors: Vec<ErrorPacket>,
    /// The concatenated payloads of `errors`.
    pub(crate) error_text: Vec<u8>,
    /// The numbers of server requests that have ended. Stale if the input has no such record.
    pub(crate) requests: Vec<u64>,
    /// The handler to call. Only valid with [`ExtendedRecord::Request`].
    pub(crate) request_handler: Option<HandlerKey>,
    /// The request's receiver. Only valid with [`ExtendedRecord::Ask`].
    pub(crate) request_dst: Option<TaggedId>,
}

/// A list of texts in a single buffer.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Texts {
    /// Removes all texts, and frees excess memory.
    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(4096);
        self.ends.clear();
        self.ends.shrink_to(64);
    }

    /// Adds the text that `write` appends, and returns its index.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> u32 {
        write(&mut self.bytes);
        // One input's texts are far below 4 GiB: each is one member's entry or a number.
        self.ends.push(self.bytes.len() as u32);
        self.ends.len() as u32 - 1
    }

    pub(crate) fn get(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..self.ends[index] as usize]
    }
}

impl Output {
    /// The number of records for which memory is kept between inputs.
    const SPARE_RECORDS: usize = 64;

    /// Prepares for the next input.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        // A single input, such as the loss of a peer, may cause thousands of records. This call
        // does nothing after other inputs.
        self.records.shrink_to(Self::SPARE_RECORDS);
        self.closed_rooms.clear();
        // Check this here to avoid calling a cold function in the common case without guests.
        if !self.subjects.is_empty() {
            self.release_subjects();
        }
        self.subject = None;
    }

    /// Writes a plain client's `join_ack` payload, for a room without full presence.
    #[inline]
    pub(crate) fn write_plain_payload(&mut self, room: &Room) {
        let payload = &mut self.own_payload;
        payload.clear();
        match room.presence {
            Presence::Full => {}
            Presence::Count => {
                payload.extend_from_slice(room.member_count().to_string().as_bytes());
            }
            Presence::Off => {
                let id = self.subject.as_ref().map_or("", ConnId::as_str);
                // An id needs no escaping, because it consists of hexadecimal digits and hyphens.
                payload.extend_from_slice(b"[\"");
                payload.extend_from_slice(id.as_bytes());
                payload.extend_from_slice(b"\"]");
            }
        }
    }

    /// Records a notice for the extended members of a room. `write` appends its payload.
    pub(crate) fn notify(
        &mut self,
        room: RoomKey,
        kind: NoticeKind,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let text = self.add_text(write);
        self.records.push(Record::Rare(RareRecord::Members { room, text, kind }));
    }

    /// Adds a payload for a notice and returns its index. The caller must record the notice.
    pub(crate) fn add_text(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> u32 {
        // Remove old texts here: doing so in `clear` would slow down hubs without extended members.
        let is_notice =
            |record: &Record| matches!(record, Record::Rare(RareRecord::Members { .. }));
        if !self.records.iter().rev().any(is_notice) {
            self.texts.clear();
        }
        self.texts.add(write)
    }

    /// Records an error to send.
    pub(crate) fn push_error(
        &mut self,
        to: ErrorReceiver,
        dst: Option<TaggedId>,
        in_room: bool,
        failure: &Failure<'_>,
    ) {
        // Remove old errors here: doing so in `clear` would slow down inputs without errors.
        let is_error =
            |record: &Record| matches!(record, Record::Extended(ExtendedRecord::Error(_)));
        if !self.records.iter().rev().any(is_error) {
            self.errors.clear();
            // A packet causes few errors, but a connection that ends may cause one for each
            // request to it.
            self.errors.shrink_to(4);
            self.error_text.clear();
            self.error_text.shrink_to(4096);
        }
        let start = self.error_text.len();
        failure.write_json(&mut self.error_text);
        let end = self.error_text.len();
        let record = ExtendedRecord::Error(self.errors.len() as u32);
        self.errors.push(ErrorPacket { to, in_room, dst, start, end });
        self.records.push(Record::Extended(record));
    }

    /// Frees the ids of a removed peer's guests, of which there may be thousands.
    #[cold]
    #[inline(never)]
    fn release_subjects(&mut self) {
        self.subjects = Vec::new();
    }
}

/// Data shared by all of an input's actions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The connection that the input is about; the null key for a command without a sender.
    pub(crate) conn: ConnKey,
    /// The connection excluded from broadcasts.
    pub(crate) except: Option<ConnKey>,
    /// The room, event, `dst` and payload of the input's packets.
    pub(crate) packet: PacketRef<'a>,
}

impl<'a> Context<'a> {
    /// Creates the context for an input that causes only notices about guests.
    pub(crate) fn empty() -> Self {
        Context { conn: ConnKey::default(), except: None, packet: PacketRef::default() }
    }

    /// Creates the context for an input whose connection is excluded from broadcasts.
    #[inline]
    pub(crate) fn of(conn: ConnKey, packet: PacketRef<'a>) -> Self {
        Context { conn, except: Some(conn), packet }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_is_two_words() {
        assert_eq!(size_of::<Record>(), 16);
    }
}
