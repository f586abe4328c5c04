//! Items, the contents of a frame's body, and their encoding.

use alloc::vec::Vec;

use super::cursor::{Cursor, encode_packet, prefixed_len, put_prefixed, put_varint, varint_len};
use super::list::{Ids, Names};
use super::{
    Beat, FrameError, FrameRange, Lost, OrderItem, PeerCommand, StreamPosition, TunnelItem,
    UserCommand,
};
use crate::{ConnId, PacketRef};

/// One item of a frame's body. The first seven are for control frames, the others for streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item<'a> {
    /// A heartbeat, sent to all nodes at regular intervals.
    Beat(Beat<'a>),
    /// A request to start a stream, beginning with the sender's members.
    RequestStream {
        /// The new stream's number, higher than in all earlier requests.
        stream: u32,
        /// The position up to which the requesting node has applied earlier streams.
        after: StreamPosition,
    },
    /// A request to retransmit frames of a stream.
    Resend(FrameRange),
    /// The answer to a [`Resend`](Item::Resend) for frames that are no longer stored.
    Missing {
        /// The stream's number.
        stream: u32,
        /// The number of the first frame that is no longer available.
        number: u64,
    },
    /// An acknowledgement of applied frames, which the receiver may now discard.
    Applied(StreamPosition),
    /// The sum of the hashes of the node's current [profiles](Item::Profile). This item precedes
    /// the [`Beat`](Item::Beat) that it belongs to, in the same frame.
    Profiles {
        /// The sum of the profiles' hashes.
        digest: u64,
    },
    /// Declares that the node accepts [tunnels](TunnelItem). This item precedes the
    /// [`Beat`](Item::Beat) in the same frame.
    Tunnels,
    /// The start of a stream. The members of the sender's rooms follow.
    Begin {
        /// The messages that may have been lost between the previously applied stream and this one.
        lost: Lost<'a>,
        /// The sender's uptime in milliseconds. Heartbeats with a lower uptime do not include this
        /// stream, even if they arrive later.
        uptime_ms: u64,
    },
    /// Some of the members of a room with full presence, at the start of a stream.
    Members {
        /// The room's name.
        room: &'a str,
        /// The members' ids.
        ids: Ids<'a>,
    },
    /// The end of the member list at the start of a stream.
    End,
    /// A connection joined a room with full presence.
    Joined {
        /// The connection's id.
        id: ConnId,
        /// The room's name.
        room: &'a str,
    },
    /// The info and user of a connection. This item is sent before the connection's first
    /// [`Joined`](Item::Joined) or [`Members`](Item::Members), and after each change. It is empty
    /// once the connection has left its last room with full presence. A connection without this
    /// item has neither info nor user.
    Profile {
        /// The connection's id.
        id: ConnId,
        /// The info as JSON; empty if there is none.
        info: &'a str,
        /// The user's name as a JSON string, including quotes; empty if there is none.
        user: &'a str,
    },
    /// A connection left a room with full presence.
    Left {
        /// The connection's id.
        id: ConnId,
        /// The room's name.
        room: &'a str,
    },
    /// The number of members of a room without full presence.
    Count {
        /// The number of members; 0 if none are left.
        members: u32,
        /// The room's name.
        room: &'a str,
    },
    /// A message to the members of a room.
    Broadcast {
        /// A connection on the receiving node that should not receive the message.
        except: Option<ConnId>,
        /// The packet, with its sender in `src`.
        packet: PacketRef<'a>,
    },
    /// A message to the connection `dst`.
    Direct {
        /// The packet, with its sender in `src`.
        packet: PacketRef<'a>,
    },
    /// The end of a stream: the sending node leaves the cluster with all its connections.
    Bye,
    /// An application command for one connection on the receiving node.
    Command {
        /// The connection's id.
        id: ConnId,
        /// The command to carry out.
        command: PeerCommand<'a>,
    },
    /// An item about a room with a total message order.
    Order(OrderItem<'a>),
    /// A client that had a session on the receiving node has connected to the sending node instead,
    /// and has a new session there. Earlier releases skip this item.
    Elsewhere {
        /// The id of the session's connection.
        id: ConnId,
        /// A proof that the client presented the session's token.
        proof: [u8; 16],
    },
    /// An application command for all of one user's connections on the receiving node. Earlier
    /// releases skip this item.
    User {
        /// The user's name.
        user: &'a str,
        /// The command to apply to each connection.
        command: UserCommand<'a>,
    },
    /// A client has lost its socket but may still resume its session, or has resumed it. If a
    /// connection is already away when the node first reports it, this item follows that report.
    /// Earlier releases skip this item.
    Away {
        /// The connection's id.
        id: ConnId,
        /// True if the connection has no socket.
        is_away: bool,
    },
    /// A tunnel's item, sent only to nodes that report [`Tunnels`](Item::Tunnels).
    Tunnel(TunnelItem<'a>),
}

const BEAT: u8 = 1;
const REQUEST_STREAM: u8 = 2;
const RESEND: u8 = 3;
const MISSING: u8 = 4;
const APPLIED: u8 = 5;
const PROFILES: u8 = 6;
const TUNNELS: u8 = 7;
const BEGIN: u8 = 16;
const MEMBERS: u8 = 17;
const END: u8 = 18;
const JOINED: u8 = 19;
const LEFT: u8 = 20;
const COUNT: u8 = 21;
const BROADCAST: u8 = 22;
const DIRECT: u8 = 23;
const COMMAND: u8 = 24;
const BYE: u8 = 25;
const ORDER: u8 = 26;
const PROFILE: u8 = 27;
const ELSEWHERE: u8 = 28;
const USER: u8 = 29;
const AWAY: u8 = 30;
const TUNNEL: u8 = 31;

impl<'a> Item<'a> {
    /// Appends the item to a frame's body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        // Compute the length first: its own encoding varies in size, so it cannot be filled in
        // afterwards without moving the content.
        let (kind, len) = self.kind_and_len();
        out.push(kind);
        put_varint(len as u64, out);
        out.reserve(len);
        let start = out.len();
        self.encode_content(out);
        debug_assert_eq!(out.len() - start, len, "{self:?}");
    }

    /// Returns the number of bytes that [`encode`](Self::encode) appends.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        1 + prefixed_len(self.kind_and_len().1)
    }

    fn kind_and_len(&self) -> (u8, usize) {
        match self {
            Item::Beat(beat) => (BEAT, beat.encoded_len()),
            Item::RequestStream { .. } => (REQUEST_STREAM, 16),
            Item::Applied(_) => (APPLIED, 12),
            Item::Resend(_) => (RESEND, 20),
            Item::Missing { .. } => (MISSING, 12),
            Item::Profiles { .. } => (PROFILES, 8),
            Item::Tunnels => (TUNNELS, 0),
            Item::Bye => (BYE, 0),
            // The encoding omits the lists, and decodes as "all messages may be missing".
            Item::Begin { lost: Lost::All, .. } => (BEGIN, 8),
            Item::Begin { lost: Lost::Some { rooms, senders }, .. } => {
                (BEGIN, 8 + prefixed_len(rooms.encoded_len()) + senders.bytes().len())
            }
            Item::Members { room, ids } => (MEMBERS, prefixed_len(room.len()) + ids.bytes().len()),
            Item::End => (END, 0),
            Item::Joined { room, .. } => (JOINED, 16 + room.len()),
            Item::Left { room, .. } => (LEFT, 16 + room.len()),
            Item::Profile { info, user, .. } => {
                (PROFILE, 16 + prefixed_len(info.len()) + user.len())
            }
            Item::Count { members, room } => (COUNT, varint_len((*members).into()) + room.len()),
            Item::Broadcast { except, packet } => {
                let except = if except.is_some() { 17 } else { 1 };
                (BROADCAST, except + packet.encoded_len())
            }
            Item::Direct { packet } => (DIRECT, packet.encoded_len()),
            Item::Command { command, .. } => (COMMAND, 16 + command.encoded_len()),
            Item::Order(order) => (ORDER, order.encoded_len()),
            Item::Elsewhere { .. } => (ELSEWHERE, 32),
            Item::User { user, command } => {
                (USER, prefixed_len(user.len()) + command.encoded_len())
            }
            Item::Away { .. } => (AWAY, 17),
            Item::Tunnel(tunnel) => (TUNNEL, tunnel.encoded_len()),
        }
    }

    fn encode_content(&self, out: &mut Vec<u8>) {
        // The last field extends to the end of the item, so it needs no length prefix.
        match self {
            Item::Beat(beat) => beat.encode(out),
            Item::RequestStream { stream, after } => {
                out.extend_from_slice(&stream.to_be_bytes());
                after.encode(out);
            }
            Item::Applied(applied) => applied.encode(out),
            Item::Resend(FrameRange { stream, first, last }) => {
                out.extend_from_slice(&stream.to_be_bytes());
                out.extend_from_slice(&first.to_be_bytes());
                out.extend_from_slice(&last.to_be_bytes());
            }
            Item::Missing { stream, number } => {
                out.extend_from_slice(&stream.to_be_bytes());
                out.extend_from_slice(&number.to_be_bytes());
            }
            Item::Profiles { digest } => out.extend_from_slice(&digest.to_be_bytes()),
            Item::Tunnels | Item::Bye | Item::End => {}
            Item::Begin { lost, uptime_ms } => {
                out.extend_from_slice(&uptime_ms.to_be_bytes());
                let Lost::Some { rooms, senders } = lost else { return };
                put_varint(rooms.encoded_len() as u64, out);
                rooms.encode(out);
                out.extend_from_slice(senders.bytes());
            }
            Item::Members { room, ids } => {
                put_prefixed(room.as_bytes(), out);
                out.extend_from_slice(ids.bytes());
            }
            Item::Joined { id, room } | Item::Left { id, room } => {
                out.extend_from_slice(&id.to_bytes());
                out.extend_from_slice(room.as_bytes());
            }
            Item::Profile { id, info, user } => {
                out.extend_from_slice(&id.to_bytes());
                put_prefixed(info.as_bytes(), out);
                out.extend_from_slice(user.as_bytes());
            }
            Item::Count { members, room } => {
                put_varint((*members).into(), out);
                out.extend_from_slice(room.as_bytes());
            }
            Item::Broadcast { except, packet } => {
                out.push(except.is_some().into());
                if let Some(id) = except {
                    out.extend_from_slice(&id.to_bytes());
                }
                encode_packet(packet, out);
            }
            Item::Direct { packet } => encode_packet(packet, out),
            Item::Command { id, command } => {
                out.extend_from_slice(&id.to_bytes());
                command.encode(out);
            }
            Item::Order(order) => order.encode(out),
            Item::Elsewhere { id, proof } => {
                out.extend_from_slice(&id.to_bytes());
                out.extend_from_slice(proof);
            }
            Item::User { user, command } => {
                put_prefixed(user.as_bytes(), out);
                command.encode(out);
            }
            Item::Away { id, is_away } => {
                out.extend_from_slice(&id.to_bytes());
                out.push((*is_away).into());
            }
            Item::Tunnel(tunnel) => tunnel.encode(out),
        }
    }

    /// Decodes the content of an item. Returns `None` for an unknown kind.
    #[inline]
    pub(super) fn decode(kind: u8, content: &'a [u8]) -> Result<Option<Self>, FrameError> {
        let mut cursor = Cursor(content);
        let item = match kind {
            BEAT => Item::Beat(Beat::decode(&mut cursor)?),
            REQUEST_STREAM => Item::RequestStream {
                stream: cursor.u32("request")?,
                after: StreamPosition::decode(&mut cursor)?,
            },
            APPLIED => Item::Applied(StreamPosition::decode(&mut cursor)?),
            RESEND => Item::Resend(FrameRange {
                stream: cursor.u32("request")?,
                first: cursor.u64("request")?,
                last: cursor.u64("request")?,
            }),
            MISSING => {
                Item::Missing { stream: cursor.u32("answer")?, number: cursor.u64("answer")? }
            }
            PROFILES => Item::Profiles { digest: cursor.u64("digest")? },
            TUNNELS => Item::Tunnels,
            BYE => Item::Bye,
            // The item contains only the time. An encoded list has at least a length prefix, so the
            // two forms cannot be confused.
            BEGIN if content.len() == 8 => {
                Item::Begin { lost: Lost::All, uptime_ms: cursor.u64("time")? }
            }
            BEGIN => {
                let uptime_ms = cursor.u64("time")?;
                let rooms = Names::decode(cursor.prefixed("rooms")?)?;
                let senders = Ids::decode(core::mem::take(&mut cursor.0))?;
                Item::Begin { lost: Lost::Some { rooms, senders }, uptime_ms }
            }
            MEMBERS => {
                let room = cursor.name("room")?;
                Item::Members { room, ids: Ids::decode(core::mem::take(&mut cursor.0))? }
            }
            END => Item::End,
            JOINED => Item::Joined { id: cursor.id("id")?, room: cursor.last_name("room")? },
            LEFT => Item::Left { id: cursor.id("id")?, room: cursor.last_name("room")? },
            PROFILE => Item::Profile {
                id: cursor.id("id")?,
                info: cursor.name("info")?,
                user: cursor.last_name("user")?,
            },
            COUNT => {
                let members = u32::try_from(cursor.varint("count")?)
                    .map_err(|_| FrameError::Impossible { what: "count" })?;
                Item::Count { members, room: cursor.last_name("room")? }
            }
            BROADCAST => {
                let except = match cursor.u8("message")? {
                    0 => None,
                    1 => Some(cursor.id("message")?),
                    _ => return Err(FrameError::Impossible { what: "message" }),
                };
                let packet = PacketRef::decode(core::mem::take(&mut cursor.0))?;
                Item::Broadcast { except, packet }
            }
            DIRECT => Item::Direct { packet: PacketRef::decode(core::mem::take(&mut cursor.0))? },
            COMMAND => Item::Command {
                id: cursor.id("command")?,
                command: PeerCommand::decode(&mut cursor)?,
            },
            ORDER => match OrderItem::decode(&mut cursor)? {
                Some(order) => Item::Order(order),
                // Skip an order item whose kind was added by a later release, like an unknown item.
                None => return Ok(None),
            },
            ELSEWHERE => {
                Item::Elsewhere { id: cursor.id("session")?, proof: cursor.array("proof")? }
            }
            USER => {
                let user = cursor.name("user")?;
                match UserCommand::decode(&mut cursor)? {
                    Some(command) => Item::User { user, command },
                    None => return Ok(None),
                }
            }
            AWAY => {
                let id = cursor.id("connection")?;
                match cursor.u8("connection")? {
                    is_away @ (0 | 1) => Item::Away { id, is_away: is_away == 1 },
                    _ => return Err(FrameError::Impossible { what: "connection" }),
                }
            }
            TUNNEL => match TunnelItem::decode(core::mem::take(&mut cursor.0))? {
                Some(tunnel) => Item::Tunnel(tunnel),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        // Later releases add kinds, not fields, so trailing bytes mean that the item is damaged.
        cursor.finish()?;
        Ok(Some(item))
    }
}
