//! Rooms with history, with plain members and members on other nodes.

use std::time::Duration;

use crate::support::node::{self, Node, guest, id};
use roomer_hub::{Action, Command, Config, ConnKey, History, Input};
use roomer_proto::extended::NUMBER;
use roomer_proto::{JOIN, PacketRef};

const ROOM: &str = "chat";

/// Opens a connection, and joins it to the room.
fn open(node: &mut Node, number: u8, extended: bool) -> ConnKey {
    let input = Input::Open { id: id(0, number), extended };
    let opened = node.0.handle(Duration::ZERO, input).find_map(|action| match action {
        Action::Opened { conn } => Some(conn),
        _ => None,
    });
    node.join(opened.unwrap(), ROOM);
    opened.unwrap()
}

/// Describes how the hub sends a message: each audience with the packet's `dst`, `forwarded` if
/// peers receive the message, and the message number that its sender receives.
fn sent(node: &mut Node, input: Input<'_>) -> Vec<String> {
    let actions = node.0.handle(Duration::ZERO, input).map(|action| match action {
        Action::Broadcast { audience, packet, peers, except_guest, .. } => {
            let forwarded = if !peers.is_empty() { " forwarded" } else { "" };
            let except = if except_guest.is_some() { " except" } else { "" };
            format!("{audience:?} {}{forwarded}{except}", packet.dst)
        }
        Action::Send { packet, .. } if packet.event == NUMBER => format!("number {}", packet.dst),
        other => format!("{other:?}"),
    });
    let sent = actions.collect();
    node.0.tables().audit().unwrap();
    sent
}

fn say(conn: ConnKey) -> Input<'static> {
    let packet = PacketRef { room: ROOM, event: "say", ..PacketRef::default() };
    Input::Packet { conn, packet }
}

fn node() -> Node {
    let mut config = Config::default();
    config.max_history = 10_000;
    let mut node = Node::new(config);
    node.0.add_history(ROOM, History::last(10));
    node
}

#[test]
fn members_of_each_protocol_and_peers_get_message_once() {
    let mut node = node();
    let ann = open(&mut node, 1, true);
    assert_eq!(sent(&mut node, say(ann)), ["All #1", "number #1"]);
    let bob = open(&mut node, 2, false);
    assert_eq!(sent(&mut node, say(ann)), ["Plain ", "Extended #2", "number #2"]);
    assert_eq!(sent(&mut node, say(bob)), ["Plain ", "Extended #3"]);
    node.guest_joined(0, ROOM, guest(7));
    assert_eq!(sent(&mut node, say(bob)), ["Plain  forwarded", "Extended #4"]);
    node.leave(bob, ROOM);
    assert_eq!(sent(&mut node, say(ann)), ["All #5 forwarded", "number #5"]);
    let command = |except_guest| {
        let (room, event, payload) = (ROOM, "news", &b""[..]);
        let (from, except) = (None, None);
        Input::Command(Command::Broadcast { from, except, except_guest, room, event, payload })
    };
    assert_eq!(sent(&mut node, command(None)), ["All #6 forwarded"]);
    assert_eq!(sent(&mut node, command(Some(guest(7)))), ["All #7 forwarded except"]);
    // Without extended members, messages are still numbered, although no number is sent.
    node.leave(ann, ROOM);
    node.join(bob, ROOM);
    assert_eq!(sent(&mut node, say(bob)), ["All  forwarded"]);
    node.join(ann, ROOM);
    assert_eq!(sent(&mut node, say(bob)), ["Plain  forwarded", "Extended #9"]);
}

#[test]
fn peer_message_is_recorded_but_not_forwarded() {
    let mut node = node();
    let ann = open(&mut node, 1, true);
    node.guest_joined(0, ROOM, guest(7));
    let src = guest(7);
    let packet = PacketRef { room: ROOM, event: "say", src: src.as_str(), ..PacketRef::default() };
    let input = Input::PeerBroadcast { peer: node::peer(0), except: None, packet };
    assert_eq!(sent(&mut node, input), ["All #1"]);
    node.leave(ann, ROOM);
    let payload = br#"{"last":5}"#;
    let join = PacketRef { room: ROOM, event: JOIN, payload, ..PacketRef::default() };
    let actions = node.0.handle(Duration::ZERO, Input::Packet { conn: ann, packet: join });
    let missed: Vec<_> = actions
        .filter_map(|action| match action {
            Action::Send { packet, .. } => Some((packet.dst.to_owned(), packet.src.to_owned())),
            _ => None,
        })
        .collect();
    assert_eq!(missed, [("#1".to_owned(), src.as_str().to_owned())]);
}

/// Returns true if the action sends the number of a client's own message.
fn is_number(action: Action<'_>) -> bool {
    matches!(action, Action::Send { packet, .. } if packet.event == NUMBER)
}

#[test]
fn recalls_without_history_do_not_use_rate() {
    let mut node = node();
    let ann = open(&mut node, 1, true);
    assert_eq!(sent(&mut node, say(ann)).len(), 2);
    let mut ask = |room: &str| {
        let packet =
            PacketRef { room, event: JOIN, payload: br#"{"last":1}"#, ..PacketRef::default() };
        let mut actions = node.0.handle(Duration::ZERO, Input::Packet { conn: ann, packet });
        actions.any(is_number)
    };
    let answered: Vec<_> = (0..100).filter(|n| ask(&format!("other {n}"))).collect();
    assert!(answered.is_empty());
    let answered = (0..20).filter(|_| ask(ROOM)).count();
    assert_eq!(answered, 16);
}

/// If a rule allows a join, the hub receives it twice, but the request for messages counts only once,
/// and only if the join succeeds.
#[test]
fn recalls_use_rate_when_joins_are_answered() {
    let mut config = Config::default();
    (config.max_history, config.authorize_join) = (10_000, true);
    let mut node = Node::new(config);
    node.0.add_history("chat*", History::last(10));
    let opened = node.run(Input::Open { id: id(0, 1), extended: true });
    assert!(opened[0].starts_with("opened"), "{opened:?}");
    let ann = node.0.tables().find_conn(id(0, 1).as_str()).unwrap();
    let rooms: Vec<_> = (0..20).map(|number| format!("chat {number}")).collect();
    let join = |room| PacketRef { room, event: JOIN, payload: br#"{"last":1}"#, ..<_>::default() };
    for room in &rooms {
        node.run(Input::Packet { conn: ann, packet: join(room) });
        node.run(Input::Denied { conn: ann, packet: join(room) });
    }
    let mut answered = 0;
    for room in &rooms {
        // Each history has one message, from a member that then leaves.
        node.run(Input::Command(Command::Join { conn: ann, room }));
        node.run(Input::Packet { conn: ann, packet: PacketRef { event: "say", ..join(room) } });
        node.run(Input::Command(Command::Leave { conn: ann, room }));
        node.run(Input::Packet { conn: ann, packet: join(room) });
        let input = Input::Allowed { conn: ann, packet: join(room) };
        answered += usize::from(node.0.handle(Duration::ZERO, input).any(is_number));
    }
    assert_eq!(answered, 16);
}
