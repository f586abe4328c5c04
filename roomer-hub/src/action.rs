//! Actions: the hub's outputs, which the driver carries out.

use roomer_proto::extended::ErrorCode;
use roomer_proto::{ConnId, LEAVE_ACK, MEMBER_LEFT, NEW_MEMBER, PacketRef};

use crate::keys::{ConnKey, HandlerKey, PeerKey, RoomKey};
use crate::member_list::Snapshot;
use crate::permission::Permission;
use crate::record::{Context, Output, RareRecord, Record};
use crate::room::{Audience, Members};
use crate::room_guests::Peers;
use crate::tables::Tables;

/// One action for the driver. The driver must carry out an input's actions in the order returned.
///
/// The enum is exhaustive, so that a driver that does not carry out a new action fails to compile.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// The connection has been added to the tables. This is always the first action of an
    /// [`Input::Open`](crate::Input::Open), unless the connection is
    /// [`Rejected`](Action::Rejected).
    Opened {
        /// The new connection's key.
        conn: ConnKey,
    },
    /// The connection was rejected, because its id is already in use.
    Rejected,
    /// The connection is now a member. It receives all later broadcasts to the room, and no
    /// earlier ones.
    Joined {
        /// The new member.
        conn: ConnKey,
        /// The room's key.
        room: RoomKey,
        /// The room's name.
        name: &'a str,
    },
    /// The connection is no longer a member. It receives all earlier broadcasts to the room,
    /// and no later ones.
    Left {
        /// The former member. The key may already be stale.
        conn: ConnKey,
        /// The room's key, which may already be stale.
        room: RoomKey,
        /// The room's name.
        name: &'a str,
    },
    /// The room was closed, because its last member has left and no peer has guests or a count in it.
    RoomClosed {
        /// The room's key, now stale.
        room: RoomKey,
    },
    /// Send `join_ack` to a connection, with the room's members, including the connection itself.
    JoinAck {
        /// The connection that has joined.
        to: ConnKey,
        /// The connection's id, sent as the packet's `src`.
        id: &'a str,
        /// The room's name.
        room: &'a str,
        /// The member list, sent as the packet's payload.
        snapshot: Snapshot<'a>,
    },
    /// Send a packet to one connection.
    Send {
        /// The connection to send to.
        to: ConnKey,
        /// The packet to send.
        packet: PacketRef<'a>,
    },
    /// Send a packet to a room's members. The list of members may be empty if only peers have
    /// members.
    Broadcast {
        /// The room's key.
        room: RoomKey,
        /// The room's members, borrowed from the hub without copying.
        members: Members<'a>,
        /// A connection to skip: the sender, or the connection that a notice is about. It need not
        /// be a member.
        except: Option<ConnKey>,
        /// The members that the packet is for.
        audience: Audience,
        /// The packet to send.
        packet: PacketRef<'a>,
        /// The peers with members in the room, which must also receive the packet. Empty for
        /// notices, which every node generates itself, and for messages that come from a peer.
        peers: Peers<'a>,
        /// A connection on a peer to skip, if the packet comes from a
        /// [`Command::Broadcast`](crate::Command::Broadcast) that excludes one.
        except_guest: Option<&'a ConnId>,
    },
    /// Send the member count to the extended members of a room that counts its members. If an
    /// earlier count has not been sent yet, the driver may drop it, unless another packet for the
    /// room has been queued after it.
    Count {
        /// The room's key.
        room: RoomKey,
        /// The room's members, borrowed from the hub.
        members: Members<'a>,
        /// The connection that has just joined and already has the count. Sending it the packet is
        /// harmless.
        except: Option<ConnKey>,
        /// The members that the packet is for: all or the extended ones.
        audience: Audience,
        /// The packet to send.
        packet: PacketRef<'a>,
    },
    /// Send a direct message to a peer whose tag matches the message's `dst`. The peer drops the
    /// message if it does not have that connection.
    Forward {
        /// The peer to send to.
        peer: PeerKey,
        /// The packet to send.
        packet: PacketRef<'a>,
    },
    /// A connection's info was replaced ([`Tables::profile`]). The driver must inform the peers.
    InfoChanged {
        /// The connection with the new info.
        conn: ConnKey,
    },
    /// A connection went away or came back ([`Tables::is_away`]). The driver must inform the peers.
    AwayChanged {
        /// The connection that went away or came back.
        conn: ConnKey,
    },
    /// Run an event's handler. Its commands arrive as later inputs
    /// ([`Input::Command`](crate::Input::Command)).
    Call {
        /// The packet's sender.
        conn: ConnKey,
        /// The handler to run.
        handler: HandlerKey,
        /// The client's packet, with `src` set.
        packet: PacketRef<'a>,
    },
    /// Run an event's request handler. Its answer arrives as a later input
    /// ([`Command::Answer`](crate::Command::Answer)).
    Request {
        /// The packet's sender.
        conn: ConnKey,
        /// The handler to run.
        handler: HandlerKey,
        /// The client's packet, with `src` set.
        packet: PacketRef<'a>,
    },
    /// A client has answered a server request ([`Command::Request`](crate::Command::Request)).
    Answered {
        /// The request's number.
        request: u64,
        /// True if the client answered with an error; the payload is then a
        /// [`Failure`](roomer_proto::extended::Failure).
        is_error: bool,
        /// The client's packet.
        packet: PacketRef<'a>,
    },
    /// A server request has failed without an answer.
    Unanswered {
        /// The request's number.
        request: u64,
        /// The reason: `gone`, `plain` or `busy`.
        code: ErrorCode,
    },
    /// Ask the application to authorize a packet. The result arrives as
    /// [`Input::Allowed`](crate::Input::Allowed) or [`Input::Denied`](crate::Input::Denied) with
    /// the same packet. Before that, the driver must not pass further packets from this connection
    /// to the hub, so that the packets keep their order.
    Authorize {
        /// The packet's sender.
        conn: ConnKey,
        /// The permission that the sender needs.
        permission: Permission,
        /// The client's packet, with `src` set.
        packet: PacketRef<'a>,
    },
    /// Flush the connection's queued messages, then close it. Caused by a command, or by a packet
    /// that exceeded a limit, such as [`Config::message_rate`](crate::Config::message_rate).
    Close {
        /// The connection. Its key is already stale.
        conn: ConnKey,
        /// The WebSocket close code.
        code: u16,
        /// The close reason.
        reason: &'a str,
    },
}

/// The actions caused by one input, in order. They borrow the hub, so the compiler enforces that
/// they are consumed before the next input.
#[must_use = "the hub relies on its actions being carried out"]
#[derive(Debug)]
pub struct Actions<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) output: &'a Output,
    records: std::slice::Iter<'a, Record>,
    pub(crate) context: Context<'a>,
    /// The subject's id as text; empty without a subject. Computed once, because it requires a
    /// UTF-8 check.
    pub(crate) id: &'a str,
}

impl<'a> Actions<'a> {
    pub(crate) fn new(tables: &'a Tables, output: &'a Output, context: Context<'a>) -> Self {
        let id = output.subject.as_ref().map_or("", ConnId::as_str);
        Actions { tables, output, records: output.records.iter(), context, id }
    }

    /// Returns the tables in their state after the input.
    #[must_use]
    pub fn tables(&self) -> &'a Tables {
        self.tables
    }

    /// Returns the id of the connection that the input concerns; `None` if it concerns several
    /// connections or none.
    #[must_use]
    pub fn subject(&self) -> Option<ConnId> {
        self.output.subject
    }

    /// Returns the action that notifies a room's members about a connection or guest.
    fn notice(&self, room: RoomKey, event: &'a str, id: &'a str) -> Action<'a> {
        let name = &self.tables.rooms[room].name;
        let payload = id.as_bytes();
        let packet = PacketRef { room: name, event, dst: "", src: "", payload };
        // Extended members receive a separate notice (`RareRecord::Members`).
        let audience = self.tables.rooms[room].plain_audience();
        self.local_broadcast(room, audience, packet)
    }

    /// Returns the action that sends a packet to a room's members on this node.
    pub(crate) fn local_broadcast(
        &self,
        room: RoomKey,
        audience: Audience,
        packet: PacketRef<'a>,
    ) -> Action<'a> {
        let (members, except) = (self.tables.rooms[room].members(), self.context.except);
        Action::Broadcast {
            room,
            members,
            except,
            audience,
            packet,
            peers: Peers::default(),
            except_guest: None,
        }
    }

    /// Returns the action that sends a packet to a room's members on all nodes.
    fn broadcast(
        &self,
        key: RoomKey,
        packet: PacketRef<'a>,
        except_guest: Option<&'a ConnId>,
    ) -> Action<'a> {
        let room = &self.tables.rooms[key];
        let (members, peers, except) = (room.members(), room.peers(), self.context.except);
        // In a room with history, extended members get the message from a separate record, together
        // with its number.
        let audience = if room.has_history { room.plain_audience() } else { Audience::All };
        Action::Broadcast { room: key, members, except, audience, packet, peers, except_guest }
    }

    #[cold]
    #[inline(never)]
    fn rare_action(&self, record: RareRecord) -> Action<'a> {
        // Replace the packet's own `src`: a client could claim any id there.
        let packet = PacketRef { src: self.id, ..self.context.packet };
        match record {
            RareRecord::BroadcastExcept(room) => {
                self.broadcast(room, packet, self.output.except_guest.as_ref())
            }
            RareRecord::Broadcast(key) => {
                let room = &self.tables.rooms[key];
                let audience = if room.has_history { room.plain_audience() } else { Audience::All };
                self.local_broadcast(key, audience, packet)
            }
            RareRecord::GuestLeft { room, subject } => {
                self.notice(room, MEMBER_LEFT, self.output.subjects[subject as usize].as_str())
            }
            RareRecord::Forward(peer) => Action::Forward { peer, packet },
            RareRecord::InfoChanged(conn) => Action::InfoChanged { conn },
            RareRecord::AwayChanged(conn) => Action::AwayChanged { conn },
            RareRecord::Members { room, text, kind } => self.members_action(room, text, kind),
            RareRecord::Numbered { room, is_forwarded, has_except } => {
                self.numbered(room, is_forwarded, has_except)
            }
            RareRecord::Number(room) => self.number(room),
            RareRecord::Missed { room, back } => self.missed(room, back),
        }
    }

    /// Returns the name of a room that exists or was closed by this input.
    fn room_name(&self, room: RoomKey) -> &'a str {
        // A room that this input closed is no longer in the tables, but the `Left` of its last
        // member needs the name.
        let closed = || self.output.closed_rooms.iter().find(|(key, _)| *key == room);
        self.tables.room_name(room).or_else(|| Some(&*closed()?.1)).unwrap_or_default()
    }
}

impl<'a> Iterator for Actions<'a> {
    type Item = Action<'a>;

    fn next(&mut self) -> Option<Action<'a>> {
        let record = *self.records.next()?;
        let (conn, id) = (self.context.conn, self.id);
        let packet = PacketRef { src: id, ..self.context.packet };
        Some(match record {
            Record::Opened => Action::Opened { conn },
            Record::Rejected => Action::Rejected,
            Record::Joined(room) => Action::Joined { conn, room, name: self.room_name(room) },
            Record::Left(room) => Action::Left { conn, room, name: self.room_name(room) },
            Record::RoomClosed(room) => Action::RoomClosed { room },
            Record::JoinAck(room) => {
                let room = &self.tables.rooms[room];
                let snapshot = match room.has_full_presence() {
                    true => room.snapshot(),
                    false => Snapshot::plain(&self.output.own_payload),
                };
                Action::JoinAck { to: conn, id, room: &room.name, snapshot }
            }
            Record::MembersAck(room) => self.members_ack(room),
            Record::LeaveAck => {
                let payload = id.as_bytes();
                let packet = PacketRef { event: LEAVE_ACK, dst: "", payload, ..packet };
                Action::Send { to: conn, packet }
            }
            Record::NewMember(room) => self.notice(room, NEW_MEMBER, id),
            Record::MemberLeft(room) => self.notice(room, MEMBER_LEFT, id),
            Record::Broadcast(room) => self.broadcast(room, packet, None),
            Record::Direct(to) => Action::Send { to, packet },
            Record::Call(handler) => Action::Call { conn, handler, packet },
            Record::Authorize(permission) => Action::Authorize { conn, permission, packet },
            Record::Close(code) => {
                // `command` has stored the command's reason in the payload.
                let reason = std::str::from_utf8(packet.payload).unwrap_or_default();
                Action::Close { conn, code, reason }
            }
            Record::CloseFor(reason) => {
                let (code, reason) = reason.close().frame();
                Action::Close { conn, code, reason }
            }
            Record::Rare(record) => self.rare_action(record),
            Record::Extended(record) => self.extended_action(record),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
    }
}

impl ExactSizeIterator for Actions<'_> {}
