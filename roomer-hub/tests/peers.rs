//! Inputs about peers that a hub accepts or rejects, and the routes of messages between nodes.

use crate::support::node::{NOTHING, Node, TAG, guest, id, peer};
use roomer_hub::{Config, ConnId, ConnKey, Input, Presence};
use roomer_proto::{PacketRef, ROOT};

#[test]
fn peer_message_reaches_local_members_only() {
    let mut node = Node::new(Config::default());
    let (_, bob) = (node.open(1), node.open(2));
    node.guest_joined(0, ROOT, guest(7));
    let mut send = |src: &str, except| {
        let packet = PacketRef { room: ROOT, event: "chat", dst: "x", src, payload: b"" };
        node.run(Input::PeerBroadcast { peer: peer(0), except, packet })
    };
    assert_eq!(send(guest(7).as_str(), None), ["to 01 02: root chat src=07 "]);
    // The sender need not be a guest.
    assert_eq!(send(guest(9).as_str(), Some(id(0x11, 1))), ["to 02: root chat src=09 "]);
    assert_eq!(send("", None), ["to 01 02: root chat src= "]);
    assert_eq!(node.leave(bob, ROOT).len(), 3);
}

#[test]
fn direct_messages_are_routed_by_tag() {
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
fn removed_peer_leaves_no_state() {
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
fn id_has_one_owner_in_cluster() {
    let mut node = Node::new(Config::default());
    // The tags of two peers may collide, but the remaining bits of an id do not.
    node.run(Input::PeerUp { peer: peer(1), tag: TAG });
    node.run(Input::PeerUp { peer: peer(2), tag: [0x11; 4] });
    node.open(1);
    assert_eq!(node.guest_joined(2, ROOT, id(0x11, 1)), NOTHING);
    assert_eq!(node.rejected().duplicate_id, 1);
    node.guest_joined(0, ROOT, guest(7));
    assert_eq!(node.guest_joined(1, ROOT, guest(7)), NOTHING);
    assert_eq!(node.guest_joined(1, "lobby", guest(7)), NOTHING);
    assert_eq!(node.guest_left(1, ROOT, guest(7)), NOTHING, "not its guest");
    assert_eq!(node.rejected().duplicate_id, 3);
    // A connection on this node must not reuse a guest's id.
    assert_eq!(node.run(Input::Open { id: guest(7), extended: false }), ["Rejected"]);
    node.guest_left(0, ROOT, guest(7));
    assert_eq!(node.run(Input::Open { id: guest(7), extended: false })[0], "opened 07");
    assert_eq!(node.0.tables().guest_count(), 0);
}

#[test]
fn peer_may_act_only_for_own_connections() {
    let mut node = Node::new(Config::default());
    let ann = node.open(1);
    node.run(Input::PeerUp { peer: peer(1), tag: [0xbb; 4] });
    let (own, other) = (guest(7), id(0xbb, 7));
    let receiver = id(0x11, 1);
    for dst in ["", receiver.as_str()] {
        assert_eq!(node.peer_sends(0, "chat", own.as_str(), dst).len(), 1);
        assert_eq!(node.peer_sends(0, "chat", "", dst).len(), 1);
        for forged in [other.as_str(), receiver.as_str(), &own.as_str()[..35], "aaaaaaaa", "x"] {
            assert_eq!(node.peer_sends(0, "chat", forged, dst), NOTHING, "from {forged}");
        }
    }
    assert_eq!(node.rejected().foreign_id, 10);
    assert_eq!(node.guest_joined(0, ROOT, other), NOTHING);
    assert_eq!(node.rejected().foreign_id, 11);
    assert_eq!(node.broadcast(ann, ROOT), ["to : root chat src=01 "]);
}

#[test]
fn reserved_events_do_not_cross_nodes() {
    let mut node = Node::new(Config::default());
    node.open(1);
    let receiver = id(0x11, 1);
    let built_in = ["join", "leave", "join_ack", "leave_ack", "new_member", "member_left"];
    for event in built_in.into_iter().chain(["open", "close"]) {
        for dst in ["", receiver.as_str()] {
            assert_eq!(node.peer_sends(0, event, "", dst), NOTHING);
        }
    }
    assert_eq!(node.rejected().built_in, 16);
}

#[test]
fn input_for_unknown_peer_is_rejected() {
    let mut node = Node::new(Config::default());
    let ann = node.open(1);
    let id_of_9 = id(0x99, 7);
    let attempts = |node: &mut Node| {
        let before = node.rejected().wrong_peer;
        assert_eq!(node.guest_joined(9, ROOT, id_of_9), NOTHING);
        assert_eq!(node.guest_left(9, ROOT, id_of_9), NOTHING);
        assert_eq!(node.count(9, "hall", 3), NOTHING);
        assert_eq!(node.peer_sends(9, "chat", "", ""), NOTHING);
        assert_eq!(node.peer_sends(9, "chat", "", id(0x11, 1).as_str()), NOTHING);
        assert_eq!(node.run(Input::PeerGone { peer: peer(9) }), NOTHING);
        assert_eq!(node.rejected().wrong_peer, before + 6);
    };
    attempts(&mut node);
    node.run(Input::PeerUp { peer: peer(9), tag: [0x99; 4] });
    node.run(Input::PeerUp { peer: peer(9), tag: [0x98; 4] });
    assert_eq!(node.rejected().wrong_peer, 7, "up twice");
    assert_eq!(node.direct(ann, id_of_9), ["forward to 9: root chat src=01 "]);
    assert_eq!(node.guest_joined(9, ROOT, id_of_9).len(), 1);
    node.run(Input::PeerGone { peer: peer(9) });
    attempts(&mut node);
    // The key of a dropped peer can be used for another peer.
    node.run(Input::PeerUp { peer: peer(9), tag: [0x98; 4] });
    assert_eq!(node.guest_joined(9, ROOT, id_of_9), NOTHING);
    assert_eq!(node.guest_joined(9, ROOT, id(0x98, 1)).len(), 1);
    assert_eq!(node.direct(ann, id_of_9), NOTHING, "a tag without a peer");
}

#[test]
fn oversized_name_creates_no_room() {
    let mut config = Config::default();
    config.max_name = 4;
    let mut node = Node::new(config);
    assert_eq!(node.guest_joined(0, "lobby", guest(7)), NOTHING);
    assert_eq!(node.count(0, "lobby", 1), NOTHING);
    assert_eq!((node.rejected().long_name, node.0.tables().room_count()), (2, 0));
    node.guest_joined(0, ROOT, guest(7));
    node.count(0, "hall", 1);
    assert_eq!((node.rejected().long_name, node.0.tables().room_count()), (2, 2));
}

#[test]
fn message_is_forwarded_with_tag() {
    let mut node = Node::new(Config::default());
    let ann = node.open(1);
    let to_both = |src: &str, room: &str, event: &str| {
        [0, 4].map(|peer| format!("forward to {peer}: {room} {event} src={src} "))
    };
    assert_eq!(node.send(guest(7).as_str()), ["forward to 0: x news src= "]);
    node.run(Input::PeerUp { peer: peer(4), tag: TAG });
    assert_eq!(node.direct(ann, guest(7)), to_both("01", "root", "chat"));
    assert_eq!(node.send(guest(7).as_str()), to_both("", "x", "news"));
    // Only messages to complete ids are forwarded.
    for dst in ["aaaaaaaa", &guest(7).as_str()[..35], &guest(7).as_str().to_uppercase()] {
        assert_eq!(node.send(dst), NOTHING);
        let packet = PacketRef { room: ROOT, event: "chat", dst, ..PacketRef::default() };
        assert_eq!(node.run(Input::Packet { conn: ann, packet }), NOTHING);
    }
    assert_eq!(node.0.rejected_packets().unknown_dst, 3);
    // A connection on this node takes precedence, even if its id starts with a peer's tag.
    let same_tag = guest(9);
    node.run(Input::Open { id: same_tag, extended: false });
    assert_eq!(node.direct(ann, same_tag), ["send to 09: root chat src=01 "]);
    assert_eq!(node.send(same_tag.as_str()), ["send to 09: x news src= "]);
}

#[test]
fn forwarded_message_is_authorized_first() {
    let mut config = Config::default();
    config.authorize_direct = true;
    let mut node = Node::new(config);
    let ann = node.open(1);
    let (known, unknown) = (guest(7), id(0xbb, 7));
    assert!(node.direct(ann, known)[0].starts_with("Authorize"));
    assert_eq!(node.direct(ann, unknown), NOTHING);
    let dst = known.as_str();
    let packet = PacketRef { room: ROOT, event: "chat", dst, ..PacketRef::default() };
    let allowed = node.run(Input::Allowed { conn: ann, packet });
    assert_eq!(allowed, ["forward to 0: root chat src=01 "]);
    assert_eq!(node.run(Input::Denied { conn: ann, packet }), NOTHING);
    assert_eq!(node.0.rejected_packets().by_application, 1);
}

#[test]
fn shared_room_excludes_root_and_hidden_members() {
    let mut config = Config::default();
    config.shared_room_only = true;
    let mut node = Node::new(config);
    node.0.set_presence("hall", Presence::Count);
    let ann = node.open(1);
    let to_guest = ["forward to 0: root chat src=01 "];
    // This is not a violation, because a guest that this node does not know may have just left.
    assert_eq!(node.direct(ann, guest(7)), NOTHING);
    node.join(ann, "hall");
    node.count(0, "hall", 1);
    assert_eq!(node.direct(ann, guest(7)), NOTHING, "a count does not name its members");
    assert_eq!(node.0.rejected_packets().unknown_dst, 2);
    node.guest_joined(0, ROOT, guest(7));
    node.guest_joined(0, "lobby", guest(7));
    assert_eq!(node.direct(ann, guest(7)), NOTHING, "only root is shared");
    assert_eq!(node.0.rejected_packets().no_shared_room, 1);
    node.join(ann, "lobby");
    assert_eq!(node.direct(ann, guest(7)), to_guest);
    node.guest_left(0, "lobby", guest(7));
    assert_eq!(node.direct(ann, guest(7)), NOTHING);
    assert_eq!(node.0.rejected_packets().no_shared_room, 2);
    // The rule does not apply to messages from the server, or to messages that the peer has already
    // checked.
    assert_eq!(node.send(guest(7).as_str()).len(), 1);
    assert_eq!(node.peer_sends(0, "chat", guest(8).as_str(), id(0x11, 1).as_str()).len(), 1);
}

#[test]
fn tables_list_guests_and_counts_of_peer() {
    let mut node = Node::new(Config::default());
    node.0.set_presence("hall", Presence::Count);
    node.run(Input::PeerUp { peer: peer(5), tag: [0xbb; 4] });
    node.guest_joined(0, ROOT, guest(7));
    node.guest_joined(5, ROOT, id(0xbb, 1));
    node.guest_joined(0, "lobby", guest(7));
    node.guest_joined(0, "attic", guest(7));
    node.guest_joined(0, "attic", guest(8));
    node.count(5, "hall", 2);
    node.count(0, "hall", 3);
    let tables = node.0.tables();
    let of_0: Vec<(&str, ConnId)> = tables.guests_of(peer(0)).collect();
    let expected =
        [(ROOT, guest(7)), ("lobby", guest(7)), ("attic", guest(7)), ("attic", guest(8))];
    assert_eq!(of_0, expected);
    assert_eq!(tables.guests_of(peer(5)).collect::<Vec<_>>(), [(ROOT, id(0xbb, 1))]);
    assert_eq!(tables.guests_of(peer(6)).count(), 0);
    assert_eq!(tables.counts_of(peer(0)).collect::<Vec<_>>(), [("hall", 3)]);
    assert_eq!(tables.counts_of(peer(5)).collect::<Vec<_>>(), [("hall", 2)]);
    assert_eq!(
        (tables.guest_count(), tables.member_count(tables.find_room(ROOT).unwrap())),
        (3, 2)
    );
    let hall = tables.find_room("hall").unwrap();
    let peers: Vec<_> = tables.peers(hall).iter().collect();
    assert_eq!((peers, tables.peers(hall).len()), (vec![peer(5), peer(0)], 2));
    assert_eq!(tables.peer_of(guest(200).as_str()), Some(peer(0)));
    assert_eq!(tables.peer_of(id(0xcc, 1).as_str()), None);
    assert_eq!(tables.peer_of(&guest(7).as_str()[..8]), None);
    let counts = node.0.rejected_peer_inputs();
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 0);
    node.guest_joined(1, ROOT, guest(7));
    assert_eq!(node.rejected().iter().next(), Some(("wrong_peer", 1)));
}

#[test]
fn many_guests_leave_many_rooms_with_peer() {
    let mut node = Node::new(Config::default());
    let ann: ConnKey = node.open(1);
    node.run(Input::PeerUp { peer: peer(1), tag: [0xbb; 4] });
    for number in 0..200 {
        for room in [ROOT, "lobby", "attic", "cellar"].iter().take(1 + usize::from(number % 4)) {
            node.guest_joined(0, room, guest(number));
        }
        if number % 3 == 0 {
            node.guest_joined(1, "attic", id(0xbb, number));
        }
    }
    node.join(ann, "lobby");
    let lines = node.run(Input::PeerGone { peer: peer(0) });
    let left = |room| {
        let notices =
            lines.iter().filter(|line| line.starts_with(&format!("to 01: {room} member_left")));
        notices.collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!((left("root"), left("lobby"), left("attic")), (200, 150, 0));
    // The cellar was closed, but the other peer is still in the attic.
    assert_eq!(lines.iter().filter(|line| *line == "closed").count(), 1);
    assert_eq!(lines.len(), 351);
    assert_eq!((node.0.tables().guest_count(), node.member_count("attic")), (67, 67));
    assert_eq!(node.join(ann, ROOT), ["ack to 01 of root: 01"]);
}
