//! A hub with peers, with its actions formatted as lines.

use std::time::Duration;

use roomer_hub::{
    Action, Command, Config, ConnId, ConnKey, HashKey, Hub, Input, PeerKey, RejectedPeerInputs,
    Tables,
};
use roomer_proto::{JOIN, LEAVE, PacketRef, ROOT};

pub(crate) const NOTHING: [&str; 0] = [];

pub(crate) const TAG: [u8; 4] = [0xaa; 4];

pub(crate) fn peer(index: u16) -> PeerKey {
    PeerKey::new(index)
}

/// Returns an id of a guest on the peer with [`TAG`].
pub(crate) fn guest(number: u8) -> ConnId {
    id(0xaa, number)
}

/// Returns an id whose first four bytes are `tag`.
pub(crate) fn id(tag: u8, number: u8) -> ConnId {
    let mut bytes = [number; 16];
    bytes[..4].fill(tag);
    ConnId::from_random_bytes(bytes)
}

/// A hub with peer 0.
pub(crate) struct Node(pub(crate) Hub);

impl Node {
    pub(crate) fn new(config: Config) -> Self {
        let mut node = Node(Hub::new(config, HashKey([7; 16])));
        assert_eq!(node.run(Input::PeerUp { peer: peer(0), tag: TAG }), [""; 0]);
        node
    }

    pub(crate) fn open(&mut self, number: u8) -> ConnKey {
        let lines = self.run(Input::Open { id: id(0x11, number), extended: false });
        assert!(lines[0].starts_with("opened"), "{lines:?}");
        self.0.tables().find_conn(id(0x11, number).as_str()).unwrap()
    }

    pub(crate) fn join(&mut self, conn: ConnKey, room: &str) -> Vec<String> {
        let packet = PacketRef { room, event: JOIN, ..PacketRef::default() };
        self.run(Input::Packet { conn, packet })
    }

    pub(crate) fn leave(&mut self, conn: ConnKey, room: &str) -> Vec<String> {
        let packet = PacketRef { room, event: LEAVE, ..PacketRef::default() };
        self.run(Input::Packet { conn, packet })
    }

    pub(crate) fn broadcast(&mut self, conn: ConnKey, room: &str) -> Vec<String> {
        let packet = PacketRef { room, event: "chat", ..PacketRef::default() };
        self.run(Input::Packet { conn, packet })
    }

    pub(crate) fn direct(&mut self, conn: ConnKey, dst: ConnId) -> Vec<String> {
        let dst = dst.as_str();
        let packet = PacketRef { room: ROOT, event: "chat", dst, ..PacketRef::default() };
        self.run(Input::Packet { conn, packet })
    }

    pub(crate) fn guest_joined(&mut self, of: u16, room: &str, id: ConnId) -> Vec<String> {
        self.run(Input::GuestJoined { peer: peer(of), room, id, profile: None })
    }

    pub(crate) fn guest_left(&mut self, of: u16, room: &str, id: ConnId) -> Vec<String> {
        self.run(Input::GuestLeft { peer: peer(of), room, id })
    }

    pub(crate) fn count(&mut self, of: u16, room: &str, members: u32) -> Vec<String> {
        self.run(Input::GuestCount { peer: peer(of), room, members })
    }

    /// Sends a message from the server to the connection with this id.
    pub(crate) fn send(&mut self, dst: &str) -> Vec<String> {
        let (room, event, payload) = ("x", "news", &b""[..]);
        self.run(Input::Command(Command::Send { from: None, dst, room, event, payload }))
    }

    /// Passes a message from a peer to the hub, addressed to `dst`, or to the members of `root` if
    /// `dst` is empty.
    pub(crate) fn peer_sends(&mut self, of: u16, event: &str, src: &str, dst: &str) -> Vec<String> {
        let (peer, packet) = (peer(of), PacketRef { room: ROOT, event, dst, src, payload: b"" });
        match dst {
            "" => self.run(Input::PeerBroadcast { peer, except: None, packet }),
            _ => self.run(Input::PeerDirect { peer, packet }),
        }
    }

    /// Returns the number of a room's members on all nodes; 0 if the room does not exist.
    pub(crate) fn member_count(&self, room: &str) -> usize {
        let tables = self.0.tables();
        tables.find_room(room).map_or(0, |room| tables.member_count(room))
    }

    pub(crate) fn rejected(&self) -> RejectedPeerInputs {
        self.0.rejected_peer_inputs()
    }

    pub(crate) fn run(&mut self, input: Input<'_>) -> Vec<String> {
        let actions = self.0.handle(Duration::ZERO, input);
        let tables = actions.tables();
        let lines = actions.map(|action| line(tables, action)).collect();
        self.0.tables().audit().unwrap();
        lines
    }
}

/// Returns the last two digits of an id, which are its number in hexadecimal.
fn short(id: &str) -> &str {
    id.get(34..).unwrap_or(id)
}

fn packet(packet: &PacketRef<'_>) -> String {
    let payload = packet.payload.escape_ascii().to_string();
    format!("{} {} src={} {}", packet.room, packet.event, short(packet.src), short(&payload))
}

fn line(tables: &Tables, action: Action<'_>) -> String {
    let name =
        |conn: ConnKey| tables.conn_id(conn).map_or("?".into(), |id| short(id.as_str()).to_owned());
    match action {
        Action::Opened { conn } => format!("opened {}", name(conn)),
        Action::Joined { conn, name: room, .. } => format!("joined {} {room}", name(conn)),
        Action::Left { conn, name: room, .. } => format!("left {} {room}", name(conn)),
        Action::RoomClosed { .. } => "closed".into(),
        Action::JoinAck { to, snapshot, room, .. } => {
            let text = String::from_utf8(snapshot.to_vec()).unwrap();
            assert_eq!(snapshot.len(), text.len());
            let ids: Vec<&str> =
                text.split(['[', ']', ',']).map(|id| short(id.trim_matches('"'))).collect();
            format!("ack to {} of {room}: {}", name(to), ids.join(" ").trim())
        }
        Action::Send { to, packet: of } => format!("send to {}: {}", name(to), packet(&of)),
        Action::Broadcast { members, except, packet: of, peers, except_guest, .. } => {
            let to = members.iter().filter(|&member| Some(member) != except).map(name);
            let peers = peers.iter().map(|peer| format!("peer{}", peer.index()));
            let to: Vec<String> = to.chain(peers).collect();
            let without = except_guest.map(|id| format!(" without {}", short(id.as_str())));
            format!("to {}{}: {}", to.join(" "), without.unwrap_or_default(), packet(&of))
        }
        Action::Forward { peer, packet: of } => {
            format!("forward to {}: {}", peer.index(), packet(&of))
        }
        other => format!("{other:?}"),
    }
}
