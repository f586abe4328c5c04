//! Guests, which are members of rooms on this node with connections on other nodes.

use crate::support::node::{NOTHING, Node, guest, id, peer};
use roomer_hub::{Command, Config, ConnKey, Input, Presence};
use roomer_proto::ROOT;

#[test]
fn snapshot_lists_members_and_then_guests() {
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
fn message_is_sent_only_to_peers_with_members() {
    let mut node = Node::new(Config::default());
    node.run(Input::PeerUp { peer: peer(2), tag: [0xcc; 4] });
    let ann = node.open(1);
    assert_eq!(node.broadcast(ann, ROOT), ["to : root chat src=01 "]);
    node.guest_joined(2, ROOT, id(0xcc, 9));
    node.guest_joined(0, "lobby", guest(7));
    assert_eq!(node.broadcast(ann, ROOT), ["to peer2: root chat src=01 "]);
    node.count(0, ROOT, 5);
    assert_eq!(node.broadcast(ann, ROOT), ["to peer2 peer0: root chat src=01 "]);
    // The room `lobby` has no members on this node, only guests.
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
fn room_exists_while_guest_or_count_remains() {
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

#[test]
fn guests_are_announced_once_in_full_presence_rooms() {
    let mut node = Node::new(Config::default());
    node.0.set_presence("hall", Presence::Count);
    node.0.set_presence("quiet", Presence::Off);
    let (ann, bob) = (node.open(1), node.open(2));
    for room in ["hall", "quiet", "lobby"] {
        node.join(ann, room);
        node.join(bob, room);
    }
    assert_eq!(node.guest_joined(0, "lobby", guest(7)), ["to 01 02: lobby new_member src= 07"]);
    assert_eq!(node.guest_joined(0, "lobby", guest(7)), NOTHING, "already there");
    assert_eq!(node.guest_left(0, "lobby", guest(7)), ["to 01 02: lobby member_left src= 07"]);
    assert_eq!(node.guest_left(0, "lobby", guest(7)), NOTHING, "already gone");
    assert_eq!(node.guest_left(0, "nowhere", guest(7)), NOTHING);
    for room in ["hall", "quiet"] {
        assert_eq!(node.guest_joined(0, room, guest(8)), NOTHING);
        assert_eq!(node.count(0, room, 9), NOTHING);
        assert_eq!(node.guest_left(0, room, guest(8)), NOTHING);
    }
}

#[test]
fn count_is_sum_over_all_nodes() {
    let mut node = Node::new(Config::default());
    node.0.set_presence("hall", Presence::Count);
    node.0.set_presence("quiet", Presence::Off);
    node.run(Input::PeerUp { peer: peer(3), tag: [0xcc; 4] });
    let (ann, bob) = (node.open(1), node.open(2));
    node.join(ann, "hall");
    node.count(0, "hall", 5);
    node.count(3, "hall", 7);
    assert_eq!(node.join(bob, "hall"), ["joined 02 hall", "ack to 02 of hall: 14"]);
    node.count(0, "hall", 4);
    assert_eq!(node.join(bob, "hall"), ["ack to 02 of hall: 13"]);
    assert_eq!(node.member_count("hall"), 13);
    node.run(Input::PeerGone { peer: peer(3) });
    assert_eq!(node.join(bob, "hall"), ["ack to 02 of hall: 6"]);
    node.count(0, "quiet", u32::MAX);
    assert_eq!(node.join(bob, "quiet"), ["joined 02 quiet", "ack to 02 of quiet: 02"]);
    assert_eq!(node.member_count("quiet"), u32::MAX as usize + 1);
}

#[test]
fn last_leave_closes_room_on_any_node() {
    type Leave = fn(&mut Node, ConnKey) -> Vec<String>;
    let member: Leave = |node, ann| node.leave(ann, "lobby");
    let guest_leaves: Leave = |node, _| node.guest_left(0, "lobby", guest(7));
    let count: Leave = |node, _| node.count(0, "lobby", 0);
    for leaves in [
        [member, guest_leaves, count],
        [count, member, guest_leaves],
        [guest_leaves, count, member],
    ] {
        let mut node = Node::new(Config::default());
        let ann = node.open(1);
        node.join(ann, "lobby");
        node.guest_joined(0, "lobby", guest(7));
        node.count(0, "lobby", 2);
        for (at, leave) in leaves.into_iter().enumerate() {
            let lines = leave(&mut node, ann);
            assert_eq!(lines.contains(&"closed".into()), at == 2, "{lines:?}");
        }
        assert_eq!(node.0.tables().find_room("lobby"), None);
    }
}

#[test]
fn room_opened_by_guest_uses_configured_presence() {
    let mut node = Node::new(Config::default());
    node.0.set_presence("hall", Presence::Count);
    let ann = node.open(1);
    assert_eq!(node.count(0, "hall", 2), NOTHING);
    assert_eq!(node.join(ann, "hall"), ["joined 01 hall", "ack to 01 of hall: 3"]);
    assert_eq!(node.guest_joined(0, "lobby", guest(7)), NOTHING);
    assert_eq!(node.join(ann, "lobby"), ["joined 01 lobby", "ack to 01 of lobby: 01 07"]);
}

/// Adds and removes members and guests across the chunk boundaries of both parts of the snapshot.
#[test]
fn large_snapshot_matches_members_and_guests() {
    let mut node = Node::new(Config::default());
    let ann = node.open(1);
    for number in 2..=120 {
        node.open(number);
    }
    for number in 0..230 {
        node.guest_joined(0, ROOT, guest(number));
    }
    // Guests leave from all chunks, until the rest fill less than one chunk.
    for number in (0..230).step_by(3).chain((1..230).step_by(3)) {
        node.guest_left(0, ROOT, guest(number));
        let tables = node.0.tables();
        let room = tables.find_room(ROOT).unwrap();
        let members = tables.members(room).iter().map(|conn| tables.conn_id(conn).unwrap());
        let ids = members.chain(tables.guests(room)).map(|id| id.to_string()[34..].to_owned());
        let expected = format!("ack to 01 of root: {}", ids.collect::<Vec<_>>().join(" "));
        assert_eq!(node.join(ann, ROOT), [expected]);
    }
}
