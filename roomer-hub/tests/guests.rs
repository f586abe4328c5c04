//! Guests: members of a room that are connections of other nodes.
#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not see as such

use std::time::Duration;

use roomer_hub::{
    Action, Command, Config, ConnId, ConnKey, HashKey, Hub, Input, PeerKey, Presence,
    RejectedPeerInputs,
};
use roomer_proto::{JOIN, LEAVE, PacketRef, ROOT};

const TAG: [u8; 4] = [0xaa; 4];

fn peer(index: u16) -> PeerKey {
    PeerKey::new(index)
}

/// Returns an id of the peer with [`TAG`].
fn guest(number: u8) -> ConnId {
    id(0xaa, number)
}

/// Returns an id with the tag of four bytes `tag`.
fn id(tag: u8, number: u8) -> ConnId {
    let mut bytes = [number; 16];
    bytes[..4].fill(tag);
    ConnId::from_random_bytes(bytes)
}

/// A hub with the peer 0, whose actions are lines of text.
struct Node(Hub);

impl Node {
    fn new(config: Config) -> Self {
        let mut node = Node(Hub::new(config, HashKey([7; 16])));
        assert_eq!(node.run(Input::PeerUp { peer: peer(0), tag: TAG }), [""; 0]);
        node
    }

    fn open(&mut self, number: u8) -> ConnKey {
        let lines = self.run(Input::Open { id: id(0x11, number) });
        assert!(lines[0].starts_with("opened"), "{lines:?}");
        self.0.tables().find_conn(id(0x11, number).as_str()).unwrap()
    }

    fn join(&mut self, conn: ConnKey, room: &str) -> Vec<String> {
        let packet = PacketRef { room, event: JOIN, ..PacketRef::default() };
        self.run(Input::Packet { conn, packet })
    }

    fn leave(&mut self, conn: ConnKey, room: &str) -> Vec<String> {
        let packet = PacketRef { room, event: LEAVE, ..PacketRef::default() };
        self.run(Input::Packet { conn, packet })
    }

    fn say(&mut self, conn: ConnKey, room: &str) -> Vec<String> {
        let packet = PacketRef { room, event: "chat", ..PacketRef::default() };
        self.run(Input::Packet { conn, packet })
    }

    fn direct(&mut self, conn: ConnKey, dst: ConnId) -> Vec<String> {
        let dst = dst.as_str();
        let packet = PacketRef { room: ROOT, event: "chat", dst, ..PacketRef::default() };
        self.run(Input::Packet { conn, packet })
    }

    fn guest_joined(&mut self, of: u16, room: &str, id: ConnId) -> Vec<String> {
        self.run(Input::GuestJoined { peer: peer(of), room, id })
    }

    fn guest_left(&mut self, of: u16, room: &str, id: ConnId) -> Vec<String> {
        self.run(Input::GuestLeft { peer: peer(of), room, id })
    }

    fn count(&mut self, of: u16, room: &str, members: u32) -> Vec<String> {
        self.run(Input::GuestCount { peer: peer(of), room, members })
    }

    fn rejected(&self) -> RejectedPeerInputs {
        self.0.rejected_peer_inputs()
    }

    fn run(&mut self, input: Input<'_>) -> Vec<String> {
        let actions = self.0.handle(Duration::ZERO, input);
        let tables = actions.tables();
        let lines = actions.map(|action| line(tables, action)).collect();
        self.0.tables().audit().unwrap();
        lines
    }
}

/// Returns the last two digits of an id: its number.
fn short(id: &str) -> &str {
    id.get(34..).unwrap_or(id)
}

fn packet(packet: &PacketRef<'_>) -> String {
    let payload = packet.payload.escape_ascii().to_string();
    format!("{} {} src={} {}", packet.room, packet.event, short(packet.src), short(&payload))
}

fn line(tables: &roomer_hub::Tables, action: Action<'_>) -> String {
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

const NOTHING: [&str; 0] = [];

#[test]
fn a_snapshot_lists_members_and_then_guests() {
    let mut node = Node::new(Config::default());
    let ann = node.open(1);
    assert_eq!(node.join(ann, "lobby"), ["joined 01 lobby", "ack to 01 of lobby: 01"]);
    assert_eq!(node.guest_joined(0, "lobby", guest(7)), ["to 01: lobby new_member src= 07"]);
    assert_eq!(node.guest_joined(0, "lobby", guest(8)), ["to 01: lobby new_member src= 08"]);
    let bob = node.open(2);
    let lines =
        ["joined 02 lobby", "ack to 02 of lobby: 01 02 07 08", "to 01: lobby new_member src= 02"];
    assert_eq!(node.join(bob, "lobby"), lines);
    let room = node.0.tables().find_room("lobby").unwrap();
    assert_eq!(node.0.tables().guests(room).collect::<Vec<_>>(), [guest(7), guest(8)]);
    assert_eq!(node.0.tables().member_count(room), 4);
}

#[test]
fn a_message_is_sent_to_the_peers_with_members_in_its_room() {
    let mut node = Node::new(Config::default());
    node.run(Input::PeerUp { peer: peer(2), tag: [0xcc; 4] });
    let ann = node.open(1);
    assert_eq!(node.say(ann, ROOT), ["to : root chat src=01 "]);
    node.guest_joined(2, ROOT, id(0xcc, 9));
    node.guest_joined(0, "lobby", guest(7));
    assert_eq!(node.say(ann, ROOT), ["to peer2: root chat src=01 "]);
    node.count(0, ROOT, 5);
    assert_eq!(node.say(ann, ROOT), ["to peer2 peer0: root chat src=01 "]);
    // A room without members of this node.
    let command = |except_guest| {
        let (from, except, room, event, payload) = (None, None, "lobby", "news", &b""[..]);
        Input::Command(Command::Broadcast { from, except, except_guest, room, event, payload })
    };
    assert_eq!(node.run(command(None)), ["to peer0: lobby news src= "]);
    let without = ["to peer0 without 07: lobby news src= "];
    assert_eq!(node.run(command(Some(guest(7)))), without);
    assert_eq!(node.run(command(None)), ["to peer0: lobby news src= "]);
}

#[test]
fn a_peers_message_reaches_the_members_here_and_no_peer() {
    let mut node = Node::new(Config::default());
    let (_, bob) = (node.open(1), node.open(2));
    node.guest_joined(0, ROOT, guest(7));
    let mut say = |src: &str, except| {
        let packet = PacketRef { room: ROOT, event: "chat", dst: "x", src, payload: b"" };
        node.run(Input::PeerBroadcast { peer: peer(0), except, packet })
    };
    assert_eq!(say(guest(7).as_str(), None), ["to 01 02: root chat src=07 "]);
    // The sender does not have to be a guest.
    assert_eq!(say(guest(9).as_str(), Some(id(0x11, 1))), ["to 02: root chat src=09 "]);
    assert_eq!(say("", None), ["to 01 02: root chat src= "]);
    assert_eq!(node.leave(bob, ROOT).len(), 3);
}

#[test]
fn direct_messages_find_the_node_by_the_tag() {
    let mut node = Node::new(Config::default());
    let ann = node.open(1);
    assert_eq!(node.direct(ann, guest(7)), ["forward to 0: root chat src=01 "]);
    assert_eq!(node.direct(ann, id(0xbb, 7)), NOTHING);
    assert_eq!(node.0.rejected_packets().unknown_dst, 1);
    let packet = |dst| PacketRef { room: "x", event: "chat", dst, ..PacketRef::default() };
    let (known, unknown) = (id(0x11, 1), id(0x11, 2));
    let here = Input::PeerDirect { peer: peer(0), packet: packet(known.as_str()) };
    assert_eq!(node.run(here), ["send to 01: x chat src= "]);
    let nowhere = Input::PeerDirect { peer: peer(0), packet: packet(unknown.as_str()) };
    assert_eq!(node.run(nowhere), NOTHING);
    assert_eq!(node.rejected().unknown_dst, 1);
}

#[test]
fn a_peer_that_is_gone_leaves_no_trace() {
    let mut node = Node::new(Config::default());
    node.0.set_presence("hall", Presence::Count);
    let ann = node.open(1);
    node.join(ann, "lobby");
    for room in [ROOT, "lobby", "attic"] {
        node.guest_joined(0, room, guest(7));
        node.guest_joined(0, room, guest(8));
    }
    node.count(0, "hall", 3);
    assert_eq!(node.0.tables().guest_count(), 2);
    let lines = [
        "to 01: lobby member_left src= 07",
        "to 01: root member_left src= 07",
        "closed",
        "to 01: lobby member_left src= 08",
        "to 01: root member_left src= 08",
        "closed",
    ];
    assert_eq!(node.run(Input::PeerGone { peer: peer(0) }), lines);
    assert_eq!((node.0.tables().guest_count(), node.0.tables().room_count()), (0, 2));
    assert_eq!(node.0.tables().peer_of(guest(7).as_str()), None);
}

#[test]
fn a_room_lives_while_a_guest_or_a_count_is_in_it() {
    let mut node = Node::new(Config::default());
    let ann = node.open(1);
    node.join(ann, "lobby");
    let room = node.0.tables().find_room("lobby").unwrap();
    node.guest_joined(0, "lobby", guest(7));
    assert_eq!(
        node.leave(ann, "lobby"),
        ["left 01 lobby", "send to 01: lobby leave_ack src=01 01"]
    );
    node.count(0, "lobby", 2);
    assert_eq!(node.guest_left(0, "lobby", guest(7)), NOTHING);
    assert_eq!(node.0.tables().find_room("lobby"), Some(room));
    assert_eq!(node.count(0, "lobby", 0), ["closed"]);
    assert_eq!(node.0.tables().find_room("lobby"), None);
}
