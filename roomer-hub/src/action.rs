//! The actions that a hub asks its driver for.

use roomer_proto::extended::ErrorCode;
use roomer_proto::{ConnId, LEAVE_ACK, MEMBER_LEFT, NEW_MEMBER, PacketRef};

use crate::keys::{ConnKey, HandlerKey, PeerKey, RoomKey};
use crate::peers::Peers;
use crate::permission::Permission;
use crate::record::{Context, Output, RareRecord, Record};
use crate::room::{Audience, Members};
use crate::snapshot::Snapshot;
use crate::tables::Tables;

/// One thing for the driver to do. The actions of an input are given in the order in which to carry
/// them out.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// The connection is in the tables. Always the first action of an
    /// [`Input::Open`](crate::Input::Open) that is not [`Rejected`](Action::Rejected).
    Opened {
        /// The key of the new connection.
        conn: ConnKey,
    },
    /// The connection is not accepted, because its id is in use.
    Rejected,
    /// The connection is a member from here on: it receives every broadcast of the room that
    /// follows and none that came before.
    Joined {
        /// The new member.
        conn: ConnKey,
        /// The room's key.
        room: RoomKey,
        /// The room's name.
        name: &'a str,
    },
    /// The connection is not a member from here on: it receives every broadcast of the room that
    /// came before and none that follows.
    Left {
        /// The former member, whose key may be stale by now.
        conn: ConnKey,
        /// The room's key, which may be stale by now.
        room: RoomKey,
        /// The room's name.
        name: &'a str,
    },
    /// The last member has left, or the last guest or count of a peer, and the room is closed.
    RoomClosed {
        /// The room's key, now stale.
        room: RoomKey,
    },
    /// Send `join_ack` to a connection, with the room's members, including itself.
    JoinAck {
        /// The connection that has joined.
        to: ConnKey,
        /// The receiver's id, which is the `src` of the packet.
        id: &'a str,
        /// The room's name.
        room: &'a str,
        /// The members, which are the payload of the packet.
        snapshot: Snapshot<'a>,
    },
    /// Send a packet to one connection.
    Send {
        /// The connection to send to.
        to: ConnKey,
        /// The packet to send.
        packet: PacketRef<'a>,
    },
    /// Send a packet to the members of a room. There may be none if there are peers.
    Broadcast {
        /// The room's key.
        room: RoomKey,
        /// The room's members, borrowed from the hub: nothing is copied.
        members: Members<'a>,
        /// The connection to leave out, which need not be a member: the sender, or the connection
        /// that a notice is about.
        except: Option<ConnKey>,
        /// The members that the packet is for.
        audience: Audience,
        /// The packet to send.
        packet: PacketRef<'a>,
        /// The peers with members in the room, to which the packet has to be sent as well. Empty
        /// for notices, which each node makes itself, and for messages of a peer.
        peers: Peers<'a>,
        /// The peer's connection to leave out, if the packet is of a
        /// [`Command::Broadcast`](crate::Command::Broadcast) that names one.
        except_guest: Option<&'a ConnId>,
    },
    /// Send the number of a room's members to its extended members, in a room that counts them. It
    /// replaces an earlier one that nothing has followed yet and that was not sent.
    Count {
        /// The room's key.
        room: RoomKey,
        /// The room's members, borrowed from the hub.
        members: Members<'a>,
        /// The connection that has just joined, which knows the number. Sending it the packet does
        /// no harm.
        except: Option<ConnKey>,
        /// The members that the packet is for: all or the extended ones.
        audience: Audience,
        /// The packet to send.
        packet: PacketRef<'a>,
    },
    /// Send a direct message to the peer whose tag its `dst` bears. The peer drops it if the id is
    /// unknown there.
    Forward {
        /// The peer to send to.
        peer: PeerKey,
        /// The packet to send.
        packet: PacketRef<'a>,
    },
    /// The info of a connection was replaced ([`Tables::profile`]), which the peers have to know.
    InfoChanged {
        /// The connection with the new info.
        conn: ConnKey,
    },
    /// Run the handler of an event. Its requests are later inputs
    /// ([`Input::Command`](crate::Input::Command)).
    Call {
        /// The sender of the packet.
        conn: ConnKey,
        /// The handler to run.
        handler: HandlerKey,
        /// The client's packet, with `src` set.
        packet: PacketRef<'a>,
    },
    /// Run the request handler of an event. Its answer is a later input
    /// ([`Command::Answer`](crate::Command::Answer)).
    Request {
        /// The sender of the packet.
        conn: ConnKey,
        /// The handler to run.
        handler: HandlerKey,
        /// The client's packet, with `src` set.
        packet: PacketRef<'a>,
    },
    /// A client has answered a request of the server
    /// ([`Command::Request`](crate::Command::Request)).
    Answered {
        /// The request's number.
        request: u64,
        /// True if the request has failed at the client; the payload is then a
        /// [`Failure`](roomer_proto::extended::Failure).
        is_error: bool,
        /// The client's packet.
        packet: PacketRef<'a>,
    },
    /// A request of the server will not be answered.
    Unanswered {
        /// The request's number.
        request: u64,
        /// The reason: `gone`, `plain` or `busy`.
        code: ErrorCode,
    },
    /// Ask the application to authorize a packet. Its answer is an
    /// [`Input::Allowed`](crate::Input::Allowed) or [`Input::Denied`](crate::Input::Denied) with
    /// the same packet. Until then no other packet of this connection should be handled, so that
    /// its packets keep their order.
    Authorize {
        /// The sender of the packet.
        conn: ConnKey,
        /// The permission that the sender needs.
        permission: Permission,
        /// The client's packet, with `src` set.
        packet: PacketRef<'a>,
    },
    /// Send the connection's queued messages, then close it: because of a command, or of a packet
    /// above a limit ([`Config::message_rate`](crate::Config::message_rate) and others).
    Close {
        /// The connection, whose key is stale by now.
        conn: ConnKey,
        /// The WebSocket close code.
        code: u16,
        /// The close reason.
        reason: &'a str,
    },
}

/// The actions of one input, in order. They borrow the hub, so that the compiler enforces that
/// they are taken before the next input.
#[must_use = "the hub relies on its actions being carried out"]
#[derive(Debug)]
pub struct Actions<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) output: &'a Output,
    records: std::slice::Iter<'a, Record>,
    pub(crate) context: Context<'a>,
    /// The subject's id as text, which costs a check for UTF-8; empty without a subject.
    pub(crate) id: &'a str,
}

impl<'a> Actions<'a> {
    pub(crate) fn new(tables: &'a Tables, output: &'a Output, context: Context<'a>) -> Self {
        let id = output.subject.as_ref().map_or("", ConnId::as_str);
        Actions { tables, output, records: output.records.iter(), context, id }
    }

    /// Returns the tables as they are after the input.
    #[must_use]
    pub fn tables(&self) -> &'a Tables {
        self.tables
    }

    /// Returns the id of the connection that the input is about, `None` if it is about several or
    /// none.
    #[must_use]
    pub fn subject(&self) -> Option<ConnId> {
        self.output.subject
    }

    /// Returns the action that notifies a room's members about a connection or guest.
    fn notice(&self, room: RoomKey, event: &'a str, id: &'a str) -> Action<'a> {
        let name = &self.tables.rooms[room].name;
        let payload = id.as_bytes();
        let packet = PacketRef { room: name, event, dst: "", src: "", payload };
        // Extended members get a notice of their own (`RareRecord::Members`).
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
        // In a room that remembers, extended members get the message with its number, by another
        // record.
        let audience = if room.remembers { room.plain_audience() } else { Audience::All };
        Action::Broadcast { room: key, members, except, audience, packet, peers, except_guest }
    }

    #[cold]
    #[inline(never)]
    fn rare_action(&self, record: RareRecord) -> Action<'a> {
        // The packet's own `src` is never used: a client could claim any id.
        let packet = PacketRef { src: self.id, ..self.context.packet };
        match record {
            RareRecord::BroadcastExcept(room) => {
                self.broadcast(room, packet, self.output.except_guest.as_ref())
            }
            RareRecord::Broadcast(key) => {
                let room = &self.tables.rooms[key];
                let audience = if room.remembers { room.plain_audience() } else { Audience::All };
                self.local_broadcast(key, audience, packet)
            }
            RareRecord::GuestLeft { room, subject } => {
                self.notice(room, MEMBER_LEFT, self.output.subjects[subject as usize].as_str())
            }
            RareRecord::Forward(peer) => Action::Forward { peer, packet },
            RareRecord::InfoChanged(conn) => Action::InfoChanged { conn },
            RareRecord::Members { room, text, kind } => self.members_action(room, text, kind),
            RareRecord::Numbered { room, is_forwarded, has_except } => {
                self.numbered(room, is_forwarded, has_except)
            }
            RareRecord::Number(room) => self.number(room),
            RareRecord::Missed { room, back } => self.missed(room, back),
        }
    }

    /// Returns the name of a room that exists or that the input closed.
    fn room_name(&self, room: RoomKey) -> &'a str {
        // A room that the input has closed is no longer in the tables, but its last member's `Left`
        // names it.
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
                // The command's reason, which `command` put into the payload.
                let reason = std::str::from_utf8(packet.payload).unwrap_or_default();
                Action::Close { conn, code, reason }
            }
            Record::CloseFor(cause) => {
                let (code, reason) = cause.close().frame();
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
