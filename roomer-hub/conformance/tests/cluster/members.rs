//! Tests the members of rooms across several nodes.

use roomer_conformance::client::Client;
use roomer_engine::Presence;

use super::nodes::{Nodes, id};

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_unstable();
    ids
}

fn ids(clients: &[&Client]) -> Vec<String> {
    sorted(clients.iter().map(|client| client.id.clone()).collect())
}

pub(crate) fn join_lists_and_notifies_members_of_all_nodes(nodes: &mut Nodes) {
    nodes.start(3);
    let [mut a, mut b, mut c] = nodes.clients([0, 1, 2]);
    assert_eq!(sorted(c.root_members.clone()), ids(&[&a, &b, &c]));
    nodes.join("lobby", [&mut a, &mut b]);
    assert_eq!(sorted(c.join("lobby")), ids(&[&a, &b, &c]));
    for client in [&mut a, &mut b] {
        client.expect_new_member("lobby", &c.id);
    }
    // The answer to a repeated join contains all members, and the join is not announced again.
    assert_eq!(sorted(a.join("lobby")), ids(&[&a, &b, &c]));
    b.leave("lobby");
    for client in [&mut a, &mut c] {
        client.expect_member_left("lobby", &b.id);
    }
    let gone = b.id.clone();
    b.close();
    for client in [&mut a, &mut c] {
        client.expect_member_left("root", &gone);
        client.expect_nothing();
    }
    let server = nodes.server(0);
    assert_eq!(server.members("lobby").len(), 2);
    assert_eq!(server.member_count("root"), 2);
    assert_eq!(server.rooms(), [("lobby".into(), 2), ("root".into(), 2)]);
}

pub(crate) fn later_node_shows_all_members(nodes: &mut Nodes) {
    nodes.start(1);
    let mut a = nodes.client(0);
    a.join("lobby");
    let late = nodes.add(&|builder| builder, "chat");
    nodes.formed();
    let mut b = nodes.client(late);
    a.expect_new_member("root", &b.id);
    assert_eq!(sorted(b.root_members.clone()), ids(&[&a, &b]));
    assert_eq!(sorted(b.join("lobby")), ids(&[&a, &b]));
    a.expect_new_member("lobby", &b.id);
    a.send_to_room("lobby", "chat", b"welcome");
    b.expect("lobby", "chat", "", &a.id, b"welcome");
}

pub(crate) fn later_node_shows_thousands_of_rooms(nodes: &mut Nodes) {
    // There are so many rooms, and their names are so long, that the members do not fit into one
    // frame.
    const ROOMS: usize = 1500;
    let name = |number: usize| format!("{number}{}", "-".repeat(100));
    nodes.start_with(1, |builder| builder.max_rooms(ROOMS + 1));
    let mut a = nodes.client(0);
    for number in 0..ROOMS {
        a.join(&name(number));
    }
    let late = nodes.add(&|builder| builder, "chat");
    nodes.formed();
    assert_eq!(nodes.server(late).rooms(), nodes.server(0).rooms());
    let mut b = nodes.client(late);
    a.expect_new_member("root", &b.id);
    for number in [0, ROOMS / 2, ROOMS - 1] {
        let name = name(number);
        assert_eq!(sorted(b.join(&name)), ids(&[&a, &b]));
        a.expect_new_member(&name, &b.id);
        b.send_to_room(&name, "chat", b"hello");
        a.expect(&name, "chat", "", &b.id, b"hello");
    }
}

pub(crate) fn presence_counts_add_up_across_nodes(nodes: &mut Nodes) {
    nodes.start_with(2, |builder| {
        builder.presence("hall", Presence::Count).presence("quiet", Presence::Off)
    });
    let [mut a, mut b] = nodes.clients([0, 1]);
    for (room, alone, both) in [("hall", &b"1"[..], &b"2"[..]), ("quiet", b"", b"")] {
        let own = |id: &str| format!("[\"{id}\"]").into_bytes();
        a.send_to_room(room, "join", b"");
        let expected = if room == "hall" { alone.to_vec() } else { own(&a.id) };
        let src = a.id.clone();
        a.expect(room, "join_ack", "", &src, &expected);
        nodes.counts(1, room, 1);
        b.send_to_room(room, "join", b"");
        let expected = if room == "hall" { both.to_vec() } else { own(&b.id) };
        let src = b.id.clone();
        b.expect(room, "join_ack", "", &src, &expected);
        nodes.counts(0, room, 2);
        b.send_to_room(room, "chat", b"hello");
        a.expect(room, "chat", "", &b.id, b"hello");
        b.leave(room);
        nodes.counts(0, room, 1);
        a.expect_nothing();
        a.leave(room);
        nodes.counts(1, room, 0);
    }
}

pub(crate) fn move_is_atomic_for_other_nodes(nodes: &mut Nodes) {
    nodes.start(2);
    let [mut a, mut b] = nodes.clients([0, 1]);
    nodes.join("here", [&mut a, &mut b]);
    a.join("there");
    // The command comes from the other node, where the application knows only the client's id.
    assert!(nodes.server(0).move_to(id(&b), "here", "there"));
    b.expect_left("here");
    let ack = b.expect_packet();
    assert_eq!(sorted(b.snapshot("there", ack)), ids(&[&a, &b]));
    a.expect_member_left("here", &b.id);
    a.expect_new_member("there", &b.id);
    // The client has left that room, so the move must have no effect.
    assert!(nodes.server(0).move_to(id(&b), "here", "elsewhere"));
    nodes.server(0).send(id(&b), "fence", b"");
    let own = b.id.clone();
    b.expect("root", "fence", &own, "", b"");
}
