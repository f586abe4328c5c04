//! What a hub wants done.

use roomer_proto::close::{self, Close};
use roomer_proto::{LEAVE_ACK, MEMBER_LEFT, NEW_MEMBER, PacketRef};

use crate::hub::Hub;
use crate::keys::{ConnKey, HandlerKey, RoomKey};
use crate::room::Member;
use crate::snapshot::Snapshot;

/// One thing to do, in order, because of one input.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// The connection is in the tables under this key. Always the first action of an
    /// [`Input::Open`](crate::Input::Open), unless it is [`Refused`](Action::Rejected).
    Opened {
        /// The new key.
        conn: ConnKey,
    },
    /// The connection is not taken: its id is in use.
    Rejected,
    /// The connection is a member from here on: it gets every broadcast of the room that follows
    /// and none that came before.
    Joined {
        /// Who.
        conn: ConnKey,
        /// Where.
        room: RoomKey,
        /// The room's name.
        name: &'a str,
    },
    /// The connection is no member from here on: it gets every broadcast of the room that came
    /// before and none that follows.
    Left {
        /// Who; the key may be stale by now.
        conn: ConnKey,
        /// Where; the key may be stale by now.
        room: RoomKey,
        /// The room's name.
        name: &'a str,
    },
    /// The last member has left: the room is gone.
    RoomClosed {
        /// Its key, now stale.
        room: RoomKey,
    },
    /// Send `join_ack` to a connection, with the room's members, itself included.
    JoinAck {
        /// To whom.
        to: ConnKey,
        /// Its id, `src` of the packet.
        id: &'a str,
        /// The room's name.
        room: &'a str,
        /// The members, the packet's payload.
        snapshot: Snapshot<'a>,
    },
    /// Send a packet to one connection.
    Send {
        /// To whom.
        to: ConnKey,
        /// What.
        packet: PacketRef<'a>,
    },
    /// Send a packet to the members of a room.
    Broadcast {
        /// The room.
        room: RoomKey,
        /// Its members, lent by the hub: nothing is copied.
        members: Members<'a>,
        /// The member to leave out, if it is one: the sender or the subject.
        except: Option<ConnKey>,
        /// What.
        packet: PacketRef<'a>,
    },
    /// Run the handler of an event. What it wants done comes back as
    /// [`Command`](crate::Command)s.
    Call {
        /// Who sent the packet.
        conn: ConnKey,
        /// Which handler.
        handler: HandlerKey,
        /// What, with `src` set.
        packet: PacketRef<'a>,
    },
    /// Ask the application whether a packet may pass. The answer comes back as
    /// [`Input::Allowed`](crate::Input::Allowed) or [`Input::Denied`](crate::Input::Denied) with
    /// this packet; until then nothing else of this connection should be handled, so that its
    /// packets keep their order.
    Ask {
        /// Who sent the packet.
        conn: ConnKey,
        /// What it is about.
        about: Permission,
        /// What, with `src` set.
        packet: PacketRef<'a>,
    },
    /// Send what the connection is still owed, then close it. Because of a command, or of a packet
    /// above a limit ([`Config::message_rate`](crate::Config::message_rate) and others).
    Close {
        /// Who; the key is stale by now.
        conn: ConnKey,
        /// The WebSocket close code.
        code: u16,
        /// The close reason.
        reason: &'a str,
    },
}

/// What the application is asked: may this connection do this?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Join the packet's room.
    Join,
    /// Send the packet into its room, be it to a handler or to the members.
    Publish,
    /// Send the packet to the connection `dst`.
    Direct,
}

/// The members of a room.
#[derive(Clone, Copy)]
pub struct Members<'a>(pub(crate) &'a [Member]);

impl<'a> Members<'a> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none. A room always has one, so this is only true of no room.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their keys, in an order that inputs alone decide.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ConnKey> + use<'a> {
        self.0.iter().map(|member| member.conn)
    }
}

impl std::fmt::Debug for Members<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// An action before it is resolved against the tables.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record {
    Opened,
    Rejected,
    Joined(RoomKey),
    Left(RoomKey),
    RoomClosed(RoomKey),
    JoinAck(RoomKey),
    LeaveAck,
    NewMember(RoomKey),
    MemberLeft(RoomKey),
    Broadcast(RoomKey),
    Direct(ConnKey),
    Call(HandlerKey),
    Ask(Permission),
    Close(u16),
    Expelled(CloseCause),
}

/// Why the hub itself closes a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CloseCause {
    Rate,
    Strikes,
}

impl CloseCause {
    fn close(self) -> &'static Close {
        match self {
            CloseCause::Rate => &close::RATE,
            CloseCause::Strikes => &close::VIOLATIONS,
        }
    }
}

/// The actions of one input, in order. Draw them all before the next input: the compiler holds
/// you to it, since they borrow the hub.
#[must_use = "the hub relies on its actions being carried out"]
#[derive(Debug)]
pub struct Actions<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) records: std::slice::Iter<'a, Record>,
    /// The connection that the input is about; null for commands on nobody's behalf.
    pub(crate) conn: ConnKey,
    /// Who is left out of broadcasts.
    pub(crate) except: Option<ConnKey>,
    /// The input's packet, or what stands for it: room, event, dst, payload of what is asked.
    pub(crate) packet: PacketRef<'a>,
}

impl<'a> Iterator for Actions<'a> {
    type Item = Action<'a>;

    fn next(&mut self) -> Option<Action<'a>> {
        let record = *self.records.next()?;
        let (hub, conn) = (self.hub, self.conn);
        let id = hub.subject.as_ref().map_or("", |id| id.as_str());
        let packet = PacketRef { src: id, ..self.packet };
        Some(match record {
            Record::Opened => Action::Opened { conn },
            Record::Rejected => Action::Rejected,
            Record::Joined(room) => {
                Action::Joined { conn, room, name: hub.room_name_or_closed(room) }
            }
            Record::Left(room) => Action::Left { conn, room, name: hub.room_name_or_closed(room) },
            Record::RoomClosed(room) => Action::RoomClosed { room },
            Record::JoinAck(room) => {
                let room = &hub.rooms[room];
                let snapshot =
                    if room.is_full() { room.snapshot() } else { Snapshot::of(&hub.answer) };
                Action::JoinAck { to: conn, id, room: &room.name, snapshot }
            }
            Record::LeaveAck => {
                let payload = id.as_bytes();
                let packet = PacketRef { event: LEAVE_ACK, dst: "", payload, ..packet };
                Action::Send { to: conn, packet }
            }
            Record::NewMember(room) => self.notice(room, NEW_MEMBER, id),
            Record::MemberLeft(room) => self.notice(room, MEMBER_LEFT, id),
            Record::Broadcast(room) => self.broadcast(room, packet),
            Record::Direct(to) => Action::Send { to, packet },
            Record::Call(handler) => Action::Call { conn, handler, packet },
            Record::Ask(about) => Action::Ask { conn, about, packet },
            Record::Close(code) => {
                let reason = std::str::from_utf8(packet.payload).unwrap_or_default();
                Action::Close { conn, code, reason }
            }
            Record::Expelled(offence) => {
                let (code, reason) = offence.close().frame();
                Action::Close { conn, code, reason }
            }
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
    }
}

impl ExactSizeIterator for Actions<'_> {}

impl<'a> Actions<'a> {
    /// The hub as it is after the input.
    #[must_use]
    pub fn hub(&self) -> &'a Hub {
        self.hub
    }

    fn notice(&self, room: RoomKey, event: &'a str, id: &'a str) -> Action<'a> {
        let name = &self.hub.rooms[room].name;
        let payload = id.as_bytes();
        self.broadcast(room, PacketRef { room: name, event, dst: "", src: "", payload })
    }

    fn broadcast(&self, room: RoomKey, packet: PacketRef<'a>) -> Action<'a> {
        let members = self.hub.rooms[room].members();
        Action::Broadcast { room, members, except: self.except, packet }
    }
}
