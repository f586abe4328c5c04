//! Tests messages between clients on different nodes.

use std::collections::BTreeMap;

use roomer_conformance::client::Received;

use super::nodes::Nodes;

pub(crate) fn messages_and_direct_messages_reach_other_nodes(nodes: &mut Nodes) {
    nodes.start(3);
    let [mut a, mut b, mut c] = nodes.clients([0, 1, 2]);
    nodes.join("lobby", [&mut a, &mut b]);
    a.send_to_room("lobby", "chat", b"hello");
    b.expect("lobby", "chat", "", &a.id, b"hello");
    a.send_to_room("lobby", "chat", b"");
    b.expect("lobby", "chat", "", &a.id, b"");
    b.send_to_client(&c.id, "any room", "psst", b"\0\xff");
    let (to, from) = (c.id.clone(), b.id.clone());
    c.expect("any room", "psst", &to, &from, b"\0\xff");
    // One id has the tag of a running node, but is not in use. The other id does not belong to any
    // node.
    let unknown = format!("{}-0000-4000-8000-000000000000", &c.id[..8]);
    for dst in [&unknown, "00000000-0000-4000-8000-000000000000"] {
        a.send_to_client(dst, "", "psst", b"");
    }
    for client in [&mut a, &mut b, &mut c] {
        client.expect_nothing();
    }
}

pub(crate) fn messages_of_each_sender_are_complete_and_in_order(nodes: &mut Nodes) {
    const COUNT: u32 = 3000;
    nodes.start(3);
    let [mut a, mut b, mut c] = nodes.clients([0, 1, 2]);
    nodes.join("lobby", [&mut a, &mut b, &mut c]);
    std::thread::scope(|scope| {
        for sender in [&mut a, &mut b] {
            let dst = c.id.clone();
            scope.spawn(move || {
                for number in 0..COUNT {
                    // Every tenth message is direct. It must not overtake the others.
                    match number % 10 {
                        9 => sender.send_to_client(&dst, "lobby", "n", &number.to_be_bytes()),
                        _ => sender.send_to_room("lobby", "n", &number.to_be_bytes()),
                    }
                }
            });
        }
        let mut next: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..2 * COUNT {
            let packet = c.expect_packet();
            let number = u32::from_be_bytes(packet.payload.try_into().unwrap());
            let next = next.entry(packet.src).or_default();
            assert_eq!(*next, number);
            *next += 1;
        }
    });
    c.expect_nothing();
}

pub(crate) fn largest_message_and_unusual_names_cross_nodes(nodes: &mut Nodes) {
    nodes.start_with(2, |builder| builder.max_message(3 << 20));
    let [mut a, mut b] = nodes.clients([0, 1]);
    let room = "ä\u{1F600}\0 *>.$\n\"\\".repeat(270);
    assert!((4000..4096).contains(&room.len()), "{}", room.len());
    nodes.join(&room, [&mut a, &mut b]);
    // The payload exceeds the broker's maximum message size.
    let payload: Vec<u8> = (0..(3 << 20) - 5000).map(|at: u32| (at * 7) as u8).collect();
    a.send_to_room(&room, "big", &payload);
    b.expect(&room, "big", "", &a.id, &payload);
    a.send_to_room(&room, "small", b"behind it");
    b.expect(&room, "small", "", &a.id, b"behind it");
}

pub(crate) fn no_message_follows_leave_or_comes_from_non_members(nodes: &mut Nodes) {
    nodes.start(2);
    let [mut a, mut b] = nodes.clients([0, 1]);
    nodes.join("lobby", [&mut a, &mut b]);
    for number in 0..500_u32 {
        a.send_to_room("lobby", "n", &number.to_be_bytes());
    }
    b.send_to_room("lobby", "leave", b"");
    // Some of the messages may have arrived before the notice, but none may arrive after it.
    loop {
        match b.receive() {
            Received::Packet(packet) if packet.event == "leave_ack" => break,
            Received::Packet(packet) => assert_eq!((&*packet.room, &*packet.event), ("lobby", "n")),
            other => panic!("{other:?}"),
        }
    }
    b.expect_nothing();
    // On every node, messages from a client that is not a member are rejected, and so are reserved
    // events.
    a.expect_member_left("lobby", &b.id);
    b.send_to_room("lobby", "chat", b"from outside");
    b.send_to_room("root", "new_member", b"forged");
    b.send_to_room("root", "chat", b"fence");
    a.expect("root", "chat", "", &b.id, b"fence");
}

pub(crate) fn shared_room_can_be_required_across_nodes(nodes: &mut Nodes) {
    nodes.start_with(2, |builder| builder.shared_room_only());
    let [mut a, mut b] = nodes.clients([0, 1]);
    a.send_to_client(&b.id, "", "psst", b"too early");
    nodes.join("lobby", [&mut a, &mut b]);
    a.send_to_client(&b.id, "", "psst", b"now");
    let own = b.id.clone();
    b.expect("", "psst", &own, &a.id, b"now");
}
