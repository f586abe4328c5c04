//! Tests names, which are compared byte by byte.

use super::test_server::TestServer;
use roomer_conformance::wire;

/// Names that look alike, but are different.
const ALIKE: [&str; 16] = [
    "Lobby",
    "lobby",
    "lobby ",
    " lobby",
    "lobby\0",
    "\0lobby",
    "lobby\n",
    "caf\u{e9}",
    "cafe\u{301}",
    "\u{feff}lobby",
    "ﬁ",
    "fi",
    "",
    " ",
    "\0",
    "ſ",
];

#[test]
fn room_names_are_compared_bytewise() {
    let test = TestServer::start();
    let mut members = ALIKE.map(|name| {
        let mut member = test.roomless_client();
        assert_eq!(member.join(name), [&*member.id], "{name:?} is a room of its own");
        member
    });
    assert_eq!(test.server.stats().rooms, ALIKE.len());
    let mut speaker = test.roomless_client();
    for (name, member) in ALIKE.iter().zip(&mut members) {
        assert_eq!(speaker.join(name).len(), 2);
        member.expect_new_member(name, &speaker.id);
        speaker.send_to_room(name, "hello", name.as_bytes());
        member.expect(name, "hello", "", &speaker.id, name.as_bytes());
        speaker.leave(name);
        member.expect_member_left(name, &speaker.id);
    }
    members.iter_mut().for_each(|member| member.expect_nothing());
}

#[test]
fn event_names_are_compared_bytewise_and_kept_unchanged() {
    let test = TestServer::with(|builder| builder.on("lobby", |_, _| Ok(())));
    let [mut a, mut b] = test.clients_in("room");
    let likes_of_requests = ["JOIN", "Join", "join ", "leave\0", "Join_ack", "OPEN", "new_Member"];
    for event in ALIKE.into_iter().chain(likes_of_requests).filter(|event| *event != "lobby") {
        a.send_to_room("room", event, b"");
        b.expect("room", event, "", &a.id, b"");
    }
    a.send_to_room("room", "lobby", b"a handler has it");
    a.expect_nothing();
    b.expect_nothing();
}

#[test]
fn empty_room_and_event_names_are_valid() {
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("");
    a.send_to_room("", "", b"x");
    b.expect("", "", "", &a.id, b"x");
    let id = b.id.clone();
    a.send_to_client(&id, "", "", b"y");
    b.expect("", "", &b.id.clone(), &a.id, b"y");
    b.leave("");
    a.expect_member_left("", &b.id);
    a.expect_nothing();
}

#[test]
fn names_of_4096_bytes_work() {
    let test = TestServer::start();
    // The limit counts bytes, and each of these characters has two.
    let name = "é".repeat(2048);
    let [mut a, mut b] = test.clients_in(&name);
    a.send_to_room(&name, &name, b"long");
    b.expect(&name, &name, "", &a.id, b"long");
    a.leave(&name);
    b.expect_member_left(&name, &a.id);
}

#[test]
fn room_name_of_4097_bytes_gets_leave_ack() {
    let test = TestServer::start();
    let name = "x".repeat(4097);
    let mut client = test.client();
    client.send_to_room(&name, "join", b"");
    client.expect_left(&name);
    client.leave(&name);
    client.send_to_room(&name, "hello", b"");
    client.expect_nothing();
    assert_eq!(test.server.stats().rooms, 1);
}

#[test]
fn packet_with_event_name_of_4097_bytes_is_dropped() {
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("room");
    let (event, id) = ("x".repeat(4097), b.id.clone());
    a.send_to_room("room", &event, b"");
    a.send_to_client(&id, "room", &event, b"");
    a.send_to_room("room", "next", b"");
    b.expect("room", "next", "", &a.id, b"");
    b.expect_nothing();
    assert!(test.server.stats().rejected_packets.long_name >= 2);
}

#[test]
fn name_length_limit_is_configurable() {
    let test = TestServer::with(|builder| builder.max_name(5));
    let mut client = test.client();
    client.join("12345");
    client.send_to_room("123456", "join", b"");
    client.expect_left("123456");
}

#[test]
fn dst_and_payload_may_exceed_name_limit() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    client.send_to_client(&"x".repeat(10_000), "room", "event", &wire::filler(10_000));
    client.expect_nothing();
}
