//! Tests the lifecycle of a connection, from its id to the last notice about it.

use std::collections::BTreeSet;

use super::test_server::{TestServer, expect_nothing};
use roomer_conformance::client::Client;
use roomer_conformance::wire::{self, BINARY, FIN};

#[test]
fn id_is_random_uuid_v4_in_lower_case() {
    let test = TestServer::start();
    let mut ids = BTreeSet::new();
    for _ in 0..50 {
        let client = test.client();
        let id = client.id.clone();
        assert_eq!(id.len(), 36);
        for (at, byte) in id.bytes().enumerate() {
            match at {
                8 | 13 | 18 | 23 => assert_eq!(byte, b'-', "{id}"),
                14 => assert_eq!(byte, b'4', "the version of {id}"),
                19 => assert!(b"89ab".contains(&byte), "the variant of {id}"),
                _ => assert!(b"0123456789abcdef".contains(&byte), "{id}"),
            }
        }
        assert!(ids.insert(id), "an id was used again");
        client.close();
    }
}

#[test]
fn first_packet_is_root_join_ack_with_all_members() {
    let test = TestServer::start();
    // `Client::connect` checks that a `join_ack` arrives first, whose `src` is the client's id.
    let (a, b, c) = (test.client(), test.client(), test.client());
    assert_eq!(a.root_members, [&*a.id]);
    assert_eq!(sorted(&b.root_members), sorted(&[a.id.clone(), b.id.clone()]));
    assert_eq!(sorted(&c.root_members), sorted(&[a.id.clone(), b.id.clone(), c.id.clone()]));
}

fn sorted(ids: &[String]) -> Vec<String> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids
}

#[test]
fn members_of_root_are_notified_of_new_clients() {
    let test = TestServer::start();
    let (mut a, mut b) = (test.client(), test.client());
    a.expect_new_member("root", &b.id);
    let mut c = test.client();
    a.expect_new_member("root", &c.id);
    b.expect_new_member("root", &c.id);
    // No client receives a notice about itself.
    expect_nothing([&mut a, &mut b, &mut c]);
}

#[test]
fn client_receives_direct_messages_once_welcomed() {
    let test = TestServer::start();
    let mut a = test.roomless_client();
    let mut b = test.client();
    let id = b.id.clone();
    a.send_to_client(&id, "anything", "one", b"");
    b.expect("anything", "one", &id, &a.id, b"");
    b.leave("root");
    a.send_to_client(&id, "anything", "two", b"");
    b.expect("anything", "two", &id, &a.id, b"");
}

#[test]
fn direct_message_to_disconnected_id_is_dropped() {
    let test = TestServer::start();
    let [mut a, gone] = test.roomless_clients();
    let id = gone.id.clone();
    gone.close();
    let mut heirs: [Client; 3] = test.roomless_clients();
    a.send_to_client(&id, "room", "event", b"");
    a.expect_nothing();
    heirs.iter_mut().for_each(|heir| heir.expect_nothing());
}

/// Disconnects a member of four rooms in the given way. In each room, the other members must be
/// notified exactly once.
fn parting(go: impl FnOnce(Client)) {
    let test = TestServer::start();
    let rooms = ["a", "b", "c"];
    let mut leaver = test.client();
    let mut witness = test.client();
    leaver.expect_new_member("root", &witness.id);
    for room in rooms {
        assert_eq!(leaver.join(room).len(), 1);
        assert_eq!(witness.join(room).len(), 2);
        leaver.expect_new_member(room, &witness.id);
    }
    // When its only member disconnects, a room is removed without a notice.
    leaver.join("alone");
    let id = leaver.id.clone();
    go(leaver);
    let mut left = Vec::new();
    for _ in 0..4 {
        let packet = witness.expect_packet();
        let (event, payload) = (&*packet.event, &*packet.payload);
        assert_eq!((event, payload), ("member_left", id.as_bytes()));
        assert_eq!((&*packet.dst, &*packet.src), ("", ""));
        left.push(packet.room);
    }
    left.sort_unstable();
    assert_eq!(left, ["a", "b", "c", "root"]);
    witness.expect_nothing();
    for room in rooms {
        assert_eq!(witness.join(room), [&*witness.id], "no client is left behind in {room}");
    }
    let stats = test.server.stats();
    assert_eq!((stats.connections, stats.rooms), (1, 4));
}

#[test]
fn close_frame_leaves_every_room_once() {
    parting(Client::close);
}

#[test]
fn fin_leaves_every_room_once() {
    parting(drop);
}

#[test]
fn reset_leaves_every_room_once() {
    parting(Client::reset);
}

#[test]
fn half_close_leaves_every_room_and_ends_connection() {
    parting(|mut client| {
        client.shutdown_write();
        client.expect_end();
    });
}

#[test]
fn violation_leaves_every_room_once() {
    parting(|mut client| {
        client.send(&wire::frame(FIN | 5, b""));
        client.expect_close(1002);
    });
}

#[test]
fn malformed_packet_leaves_every_room_once() {
    parting(|mut client| {
        client.send(&wire::message(b"no packet"));
        client.expect_close(1002);
    });
}

#[test]
fn fin_inside_frame_leaves_every_room_once() {
    parting(|mut client| client.send(&wire::message(&wire::filler(100))[..50]));
}

#[test]
fn reset_inside_fragmented_message_leaves_every_room_once() {
    parting(|mut client| {
        client.send(&wire::frame(BINARY, b"unfinished"));
        client.reset();
    });
}

#[test]
fn close_leaves_only_remaining_rooms() {
    let test = TestServer::start();
    let [mut witness, mut leaver] = test.clients_in("a");
    witness.join("b");
    leaver.join("b");
    witness.expect_new_member("b", &leaver.id);
    leaver.leave("a");
    witness.expect_member_left("a", &leaver.id);
    let id = leaver.id.clone();
    leaver.close();
    witness.expect_member_left("b", &id);
    witness.expect_nothing();
}

#[test]
fn messages_sent_before_close_are_handled() {
    let test = TestServer::start();
    let mut witness = test.roomless_client();
    witness.join("lobby");
    for end in [wire::close(1000, ""), wire::frame(FIN | 3, b""), Vec::new()] {
        let mut hasty = test.roomless_client();
        let talk =
            [wire::to_room("lobby", "join", b""), wire::to_room("lobby", "last", b"words"), end];
        hasty.send(&talk.concat());
        hasty.shutdown_write();
        let id = hasty.id.clone();
        witness.expect_new_member("lobby", &id);
        witness.expect("lobby", "last", "", &id, b"words");
        witness.expect_member_left("lobby", &id);
    }
    witness.expect_nothing();
}
