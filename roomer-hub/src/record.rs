//! The output of one input, from which its actions are resolved.

use std::ops::Range;

use roomer_proto::extended::{ERROR, ErrorCode, Failure, TaggedId};
use roomer_proto::{ConnId, PacketRef, ROOT};

use crate::config::Presence;
use crate::keys::{ConnKey, HandlerKey, PeerKey, RoomKey};
use crate::limits::CloseCause;
use crate::permission::Permission;
use crate::room::Room;
use crate::snapshot::MemberList;

/// An action before it is resolved against the tables, so that a message to a room of thousands
/// is recorded in two words and nothing is allocated for it.
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
    CloseFor(CloseCause),
    Rare(RareRecord),
    Extended(ExtendedRecord),
}

/// The kinds of notices for extended members, which differ in their receivers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoticeKind {
    /// A notice about a join or a leave, for the other members.
    Membership,
    /// A notice about a change of info, for all members.
    Info,
    /// A notice about a change of the subject's info, for the subject alone, in a room that does not
    /// show other members.
    Own,
    /// A notice about the number of members.
    Count,
}

/// The records that only a hub with peers or extended members makes, apart from the others so that
/// these stay fast.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RareRecord {
    BroadcastExcept(RoomKey),
    Broadcast(RoomKey),
    GuestLeft {
        room: RoomKey,
        subject: u32,
    },
    Forward(PeerKey),
    /// The info of a connection was replaced.
    InfoChanged(ConnKey),
    /// A notice for the extended members of a room; `text` is the index of its payload in
    /// [`Output::texts`].
    Members {
        room: RoomKey,
        text: u32,
        kind: NoticeKind,
    },
    /// A message for the extended members of a room that remembers, with its number.
    Numbered {
        room: RoomKey,
        /// True if the peers get it too.
        is_forwarded: bool,
        /// True if [`Output::except_guest`] is left out.
        has_except: bool,
    },
    /// The number of the message, for the connection that is left out.
    Number(RoomKey),
    /// A message that the connection has missed; `back` counts from the newest one.
    Missed {
        room: RoomKey,
        back: u32,
    },
}

/// The records about requests and errors, apart from the others for the same reason. Short, so that
/// they do not make all records longer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ExtendedRecord {
    /// A request for the handler of [`Output::request_handler`].
    Request,
    /// The request of the server that [`Output::request_dst`] names.
    Ask,
    /// The answer to a request, an index into [`Output::requests`].
    Answered { request: u32, is_error: bool },
    /// The end of a request, an index into [`Output::requests`].
    Unanswered { request: u32, code: ErrorCode },
    /// An index into [`Output::errors`].
    Error(u32),
}

/// An error to send, without the parts that the input's packet has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorPacket {
    pub(crate) to: ErrorReceiver,
    /// True if the error belongs to the room of the input's packet; otherwise it belongs to `root`.
    in_room: bool,
    /// `None` if the error is not about a request.
    dst: Option<TaggedId>,
    /// The place of its payload in [`Output::error_text`].
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ErrorReceiver {
    Conn(ConnKey),
    /// The peer with the connection that `dst` names.
    Peer(PeerKey),
}

impl ErrorPacket {
    /// Returns the packet; `room` is that of the input's packet.
    pub(crate) fn packet<'a>(&'a self, room: &'a str, text: &'a [u8]) -> PacketRef<'a> {
        let room = if self.in_room { room } else { ROOT };
        let dst = self.dst.as_ref().map_or("", TaggedId::as_str);
        let payload = text.get(Range { start: self.start, end: self.end }).unwrap_or_default();
        PacketRef { room, event: ERROR, dst, src: "", payload }
    }
}

/// The records of the last input, and what they need that is not in the tables.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) records: Vec<Record>,
    /// The id of the connection that the input is about, which may be gone by now.
    pub(crate) subject: Option<ConnId>,
    /// The ids of the guests that the input removed, for [`RareRecord::GuestLeft`].
    pub(crate) subjects: Vec<ConnId>,
    /// The id of [`RareRecord::BroadcastExcept`], which alone reads it.
    pub(crate) except_guest: Option<ConnId>,
    /// The rooms that the input closed, because their last member left.
    pub(crate) closed_rooms: Vec<(RoomKey, Box<str>)>,
    /// The payload of the input's `join_ack` in a room without full presence, which is made for
    /// its receiver alone.
    pub(crate) own_payload: Vec<u8>,
    /// The text of the guests in the input's `join_ack` for an extended client.
    pub(crate) guest_list: MemberList,
    /// The payloads of [`RareRecord::Members`], from this input if it has one.
    pub(crate) texts: Texts,
    /// The errors of [`ExtendedRecord::Error`], from this input if it has one.
    pub(crate) errors: Vec<ErrorPacket>,
    /// The payloads of `errors`, one after the other.
    pub(crate) error_text: Vec<u8>,
    /// The numbers of the server's requests that have ended, from this input if it has one.
    pub(crate) requests: Vec<u64>,
    /// The handler of [`ExtendedRecord::Request`], which alone reads it.
    pub(crate) request_handler: Option<HandlerKey>,
    /// The receiver of [`ExtendedRecord::Ask`], which alone reads it.
    pub(crate) request_dst: Option<TaggedId>,
}

/// Texts in one buffer, by index.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Texts {
    /// Removes all texts, and frees their memory if there were unusually many.
    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(4096);
        self.ends.clear();
        self.ends.shrink_to(64);
    }

    /// Adds a text that `write` appends, and returns its index.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> u32 {
        write(&mut self.bytes);
        // Texts of one input are far below 4 GiB: each is one member's entry or a number.
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
    /// The number of records that stay allocated between inputs.
    const SPARE_RECORDS: usize = 64;

    /// Prepares for the next input.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        // One input may have made thousands, such as the end of a peer. Shrinking does nothing
        // otherwise.
        self.records.shrink_to(Self::SPARE_RECORDS);
        self.closed_rooms.clear();
        // Checked here, so that the common input without guests does not call a cold function.
        if !self.subjects.is_empty() {
            self.release_subjects();
        }
        self.subject = None;
    }

    /// Writes the payload of a plain client's `join_ack` in a room without full presence.
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
                // An id needs no escaping: it has hexadecimal digits and hyphens only.
                payload.extend_from_slice(b"[\"");
                payload.extend_from_slice(id.as_bytes());
                payload.extend_from_slice(b"\"]");
            }
        }
    }

    /// Records a notice for the extended members of a room, whose payload `write` appends.
    pub(crate) fn notify(
        &mut self,
        room: RoomKey,
        kind: NoticeKind,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let text = self.add_text(write);
        self.records.push(Record::Rare(RareRecord::Members { room, text, kind }));
    }

    /// Adds the payload of notices that the caller records.
    pub(crate) fn add_text(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> u32 {
        // Not cleared with every input, which would cost hubs without extended members.
        let is_notice =
            |record: &Record| matches!(record, Record::Rare(RareRecord::Members { .. }));
        if !self.records.iter().rev().any(is_notice) {
            self.texts.clear();
        }
        self.texts.add(write)
    }

    /// Records an error.
    pub(crate) fn push_error(
        &mut self,
        to: ErrorReceiver,
        dst: Option<TaggedId>,
        in_room: bool,
        failure: &Failure<'_>,
    ) {
        // Not cleared with every input, which would slow down connections that do not get errors.
        let is_error =
            |record: &Record| matches!(record, Record::Extended(ExtendedRecord::Error(_)));
        if !self.records.iter().rev().any(is_error) {
            self.errors.clear();
            // One packet causes few errors, but the end of a connection one for each request to it.
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

    /// Frees the ids of the guests of a peer that is gone, which may be many thousands.
    #[cold]
    #[inline(never)]
    fn release_subjects(&mut self) {
        self.subjects = Vec::new();
    }
}

/// The properties that all actions of one input share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The connection that the input is about; null for a command without a sender.
    pub(crate) conn: ConnKey,
    /// The connection to leave out of broadcasts.
    pub(crate) except: Option<ConnKey>,
    /// Room, event, destination and payload of the packets to send.
    pub(crate) packet: PacketRef<'a>,
}

impl<'a> Context<'a> {
    /// Creates the context of an input whose actions are only notices of guests.
    pub(crate) fn empty() -> Self {
        Context { conn: ConnKey::default(), except: None, packet: PacketRef::default() }
    }

    /// Creates the context of an input whose connection does not receive its own broadcasts.
    #[inline]
    pub(crate) fn of(conn: ConnKey, packet: PacketRef<'a>) -> Self {
        Context { conn, except: Some(conn), packet }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_two_words() {
        assert_eq!(size_of::<Record>(), 16);
    }
}
