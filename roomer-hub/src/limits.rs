//! Rate limits, the limit on violations, and counters of rejected packets and peer inputs.

use std::time::Duration;

use roomer_proto::close::{self, Close};
use roomer_proto::extended::ErrorCode;
use roomer_proto::{JOIN, PacketRef};

use crate::config::Config;
use crate::rate::{Bucket, Rate};

/// A reason for rejecting a packet or join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RejectReason {
    Reserved,
    NotMember,
    LongName,
    TooManyRooms,
    UnknownDst,
    NoSharedRoom,
    /// The client may not set its info.
    InfoNotAllowed,
    /// The info is not valid JSON, or too long.
    InvalidInfo,
    /// The info exceeds [`Config::info_rate`].
    InfoRate,
    NoHandler,
    PlainReceiver,
    TooManyRequests,
    WrongTag,
    Unasked,
    LateAnswer,
}

impl RejectReason {
    /// Returns true if the sender could have avoided the rejection. A client cannot avoid a
    /// rejection that depends on a change that had not reached it when it sent the packet, however
    /// many packets were in flight, or on a fact that the protocol does not reveal to it:
    ///
    /// - `NotMember`: the server may have just removed the client from the room.
    /// - `UnknownDst`, `NoSharedRoom`: the receiver may have just closed, or left the last room
    ///   shared with the client.
    /// - `TooManyRooms`: a client may rejoin its rooms after moving from a server with a higher
    ///   limit, and plain clients do not know the limit.
    /// - `PlainReceiver`: a client does not know which protocol another client uses.
    /// - `LateAnswer`: the server may have just stopped waiting for the answer.
    ///
    /// [`Config::message_rate`] bounds such packets just as it bounds accepted packets, which cost
    /// more.
    pub(crate) fn is_violation(self) -> bool {
        use RejectReason::{
            LateAnswer, NoSharedRoom, NotMember, PlainReceiver, TooManyRooms, UnknownDst,
        };
        !matches!(
            self,
            NotMember | UnknownDst | NoSharedRoom | TooManyRooms | PlainReceiver | LateAnswer
        )
    }

    /// Returns the code and message for the error sent to an extended client.
    pub(crate) fn failure(self) -> (ErrorCode, &'static str) {
        match self {
            RejectReason::Reserved => (ErrorCode::Refused, "the event belongs to the protocol"),
            RejectReason::NotMember => (ErrorCode::Refused, "not a member of the room"),
            RejectReason::LongName => (ErrorCode::Invalid, "the name is too long"),
            RejectReason::TooManyRooms => (ErrorCode::Refused, "a member of too many rooms"),
            RejectReason::UnknownDst => (ErrorCode::Gone, "the receiver does not exist"),
            RejectReason::NoSharedRoom => (ErrorCode::Refused, "no room shared with the receiver"),
            RejectReason::NoHandler => {
                (ErrorCode::Unknown, "no handler for requests with this event")
            }
            RejectReason::PlainReceiver => {
                (ErrorCode::Plain, "the receiver cannot answer requests")
            }
            RejectReason::TooManyRequests => (ErrorCode::Busy, "too many requests without answers"),
            RejectReason::WrongTag => (ErrorCode::Invalid, "not a tag, or one that is in use"),
            RejectReason::Unasked => (ErrorCode::Unknown, "no request for this answer"),
            RejectReason::LateAnswer => (ErrorCode::Unknown, "the request is over"),
            RejectReason::InfoNotAllowed => (ErrorCode::Refused, "clients may not set their info"),
            RejectReason::InvalidInfo => (ErrorCode::Invalid, "the info is not JSON, or too long"),
            RejectReason::InfoRate => (ErrorCode::Busy, "too many changes of info"),
        }
    }
}

/// A reason for the hub itself to close a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CloseReason {
    Rate,
    Violations,
}

impl CloseReason {
    /// Returns the matching row in the table of close codes.
    pub(crate) fn close(self) -> &'static Close {
        match self {
            CloseReason::Rate => &close::RATE,
            CloseReason::Violations => &close::VIOLATIONS,
        }
    }
}

/// One connection's token buckets. Each bucket starts full.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Buckets {
    messages: Bucket,
    bytes: Bucket,
    joins: Bucket,
    violations: Bucket,
    infos: Bucket,
    recalls: Bucket,
}

impl Buckets {
    /// Takes the tokens for a packet. Returns false if the packet exceeds a rate.
    pub(crate) fn take_packet(
        &mut self,
        config: &Config,
        now: Duration,
        packet: &PacketRef<'_>,
    ) -> bool {
        let take = |bucket: &mut Bucket, rate: Option<Rate>, count| {
            rate.is_none_or(|rate| bucket.take(rate, now, count))
        };
        // If a later rate rejects the packet, the tokens already taken are lost. This is harmless,
        // because the connection will be closed.
        take(&mut self.messages, config.message_rate, 1)
            // The length excludes frame headers, because their number depends on how the client
            // fragments its messages.
            && take(&mut self.bytes, config.byte_rate, packet.encoded_len())
            && (packet.event != JOIN || take(&mut self.joins, config.join_rate, 1))
    }

    /// Takes a token for an info change. Returns false if the rate is exceeded.
    pub(crate) fn take_info(&mut self, rate: Rate, now: Duration) -> bool {
        self.infos.take(rate, now, 1)
    }

    /// Takes a token for a request for missed messages. Returns false if the rate is exceeded.
    pub(crate) fn take_recall(&mut self, rate: Rate, now: Duration) -> bool {
        self.recalls.take(rate, now, 1)
    }

    /// Takes a token for a violation. Returns false if the rate is exceeded.
    pub(crate) fn take_violation(&mut self, rate: Rate, now: Duration) -> bool {
        self.violations.take(rate, now, 1)
    }
}

/// Counters of packets and joins that a hub has rejected, by reason.
///
/// A rejected packet is dropped, but its connection stays open unless the field says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectedPackets {
    /// Messages with an event that only a server may send ([`roomer_proto::is_reserved`]), or
    /// that belongs to the extended protocol ([`Config::extended`]).
    pub reserved: u64,
    /// Messages to rooms that the sender is not a member of.
    pub not_member: u64,
    /// Joins and messages with a room or event name above [`Config::max_name`].
    pub long_name: u64,
    /// Joins above [`Config::max_rooms`].
    pub too_many_rooms: u64,
    /// Direct messages to ids that have no connection here or on any peer that is up.
    pub unknown_dst: u64,
    /// Direct messages between connections without a shared room ([`Config::shared_room_only`]).
    pub no_shared_room: u64,
    /// Changes of a client's own info that are not permitted ([`Config::authorize_info`]), not
    /// valid JSON, too long ([`Config::max_info`]) or too frequent ([`Config::info_rate`]).
    pub info: u64,
    /// Requests with an event that has no request handler.
    pub no_handler: u64,
    /// Requests to clients that use the plain protocol.
    pub plain_receiver: u64,
    /// Requests above [`Config::max_requests`].
    pub too_many_requests: u64,
    /// Requests and answers with an invalid tag, and requests with a tag already in use.
    pub wrong_tag: u64,
    /// Clients' answers to requests that were never made, or have already been answered.
    pub unasked: u64,
    /// Clients' answers to requests that the server has withdrawn.
    pub late: u64,
    /// Packets denied by the application ([`Action::Authorize`](crate::Action::Authorize)).
    pub by_application: u64,
    /// Packets that exceeded a rate, each of which closed its connection.
    pub rate: u64,
    /// Connections closed because of too many violations ([`Config::violation_rate`]).
    pub violations: u64,
}

impl RejectedPackets {
    /// Returns each counter with its field's name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let RejectedPackets {
            reserved,
            not_member,
            long_name,
            too_many_rooms,
            unknown_dst,
            no_shared_room,
            info,
            no_handler,
            plain_receiver,
            too_many_requests,
            wrong_tag,
            unasked,
            late,
            by_application,
            rate,
            violations,
        } = *self;
        [
            ("reserved", reserved),
            ("not_member", not_member),
            ("long_name", long_name),
            ("too_many_rooms", too_many_rooms),
            ("unknown_dst", unknown_dst),
            ("no_shared_room", no_shared_room),
            ("info", info),
            ("no_handler", no_handler),
            ("plain_receiver", plain_receiver),
            ("too_many_requests", too_many_requests),
            ("wrong_tag", wrong_tag),
            ("unasked", unasked),
            ("late", late),
            ("by_application", by_application),
            ("rate", rate),
            ("violations", violations),
        ]
        .into_iter()
    }

    pub(crate) fn count(&mut self, reason: RejectReason) {
        *match reason {
            RejectReason::Reserved => &mut self.reserved,
            RejectReason::NotMember => &mut self.not_member,
            RejectReason::LongName => &mut self.long_name,
            RejectReason::TooManyRooms => &mut self.too_many_rooms,
            RejectReason::UnknownDst => &mut self.unknown_dst,
            RejectReason::NoSharedRoom => &mut self.no_shared_room,
            RejectReason::InfoNotAllowed | RejectReason::InvalidInfo | RejectReason::InfoRate => {
                &mut self.info
            }
            RejectReason::NoHandler => &mut self.no_handler,
            RejectReason::PlainReceiver => &mut self.plain_receiver,
            RejectReason::TooManyRequests => &mut self.too_many_requests,
            RejectReason::WrongTag => &mut self.wrong_tag,
            RejectReason::Unasked => &mut self.unasked,
            RejectReason::LateAnswer => &mut self.late,
        } += 1;
    }
}

/// Counters of inputs about peers that a hub has rejected, by reason. A correct peer does not cause
/// such inputs, except where noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectedPeerInputs {
    /// Inputs about a peer that is not up, or [`Input::PeerUp`](crate::Input::PeerUp) for a
    /// peer that is already up.
    pub wrong_peer: u64,
    /// Messages whose `src`, and guests whose id, does not have the peer's tag.
    pub foreign_id: u64,
    /// Messages with a protocol event ([`roomer_proto::is_built_in`]).
    pub built_in: u64,
    /// Guests with an id already used by a connection on this node or another peer's guest.
    pub duplicate_id: u64,
    /// Guests and counts in rooms whose name exceeds [`Config::max_name`](crate::Config::max_name).
    pub long_name: u64,
    /// Direct messages to ids without a connection. The connection may have just closed.
    pub unknown_dst: u64,
    /// Answers to requests that were never made or have ended.
    pub unasked: u64,
}

impl RejectedPeerInputs {
    /// Returns each counter with its field's name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let RejectedPeerInputs {
            wrong_peer,
            foreign_id,
            built_in,
            duplicate_id,
            long_name,
            unknown_dst,
            unasked,
        } = *self;
        [
            ("wrong_peer", wrong_peer),
            ("foreign_id", foreign_id),
            ("built_in", built_in),
            ("duplicate_id", duplicate_id),
            ("long_name", long_name),
            ("unknown_dst", unknown_dst),
            ("unasked", unasked),
        ]
        .into_iter()
    }
}
