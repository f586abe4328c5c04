//! Tests, rule by rule, how packets from clients and the untrusted fields in them are handled.

use super::test_server::{TestServer, expect_nothing};
use roomer_conformance::wire;

const RESERVED: [&str; 6] = ["join_ack", "leave_ack", "new_member", "member_left", "open", "close"];

#[test]
fn broadcast_reaches_all_members_except_sender() {
    let test = TestServer::start();
    let [mut a, mut b, mut c] = test.clients_in("lobby");
    let mut outsider = test.roomless_client();
    a.send_to_room("lobby", "hello", b"payload");
    b.expect("lobby", "hello", "", &a.id, b"payload");
    c.expect("lobby", "hello", "", &a.id, b"payload");
    expect_nothing([&mut a, &mut b, &mut c, &mut outsider]);
}

#[test]
fn src_is_set_by_server() {
    let test = TestServer::start();
    let [mut a, mut b, c] = test.clients_in("lobby");
    let (to, forged) = (b.id.clone(), c.id.clone());
    for src in ["", "nobody", &forged, &"x".repeat(5000)] {
        for dst in ["", &to] {
            let fields = [b"lobby", &b"hello"[..], dst.as_bytes(), src.as_bytes(), b"x"];
            a.send(&wire::message(&wire::packet(fields)));
            b.expect("lobby", "hello", dst, &a.id, b"x");
        }
    }
}

#[test]
fn room_event_and_payload_are_forwarded_unchanged() {
    let test = TestServer::start();
    let (room, event) = ("a\0room \u{1F3E0}", "an\nevent é");
    let [mut a, mut b] = test.clients_in(room);
    for length in [0, 1, 100, 1000, 70_000, 1_000_000] {
        let payload = wire::filler(length);
        a.send_to_room(room, event, &payload);
        b.expect(room, event, "", &a.id, &payload);
    }
}

#[test]
fn reserved_events_are_never_forwarded_to_room() {
    for test in [TestServer::start(), TestServer::compat()] {
        let [mut a, mut b] = test.clients_in("lobby");
        for event in RESERVED {
            a.send_to_room("lobby", event, b.id.as_bytes());
        }
        a.send_to_room("lobby", "next", b"");
        b.expect("lobby", "next", "", &a.id, b"");
        a.expect_nothing();
        assert_eq!(test.server.stats().rejected_packets.reserved, 6);
    }
}

#[test]
fn reserved_events_are_never_forwarded_to_client() {
    for test in [TestServer::start(), TestServer::compat()] {
        let [mut a, mut b] = test.roomless_clients();
        let (own, other) = (a.id.clone(), b.id.clone());
        for event in RESERVED {
            for room in ["root", "lobby"] {
                a.send_to_client(&other, room, event, b"[]");
                a.send_to_client(&own, room, event, b"[]");
            }
        }
        a.send_to_client(&other, "lobby", "next", b"");
        b.expect("lobby", "next", &other, &own, b"");
        a.expect_nothing();
    }
}

#[test]
fn broadcast_by_non_member_is_dropped() {
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("lobby");
    let mut stranger = test.roomless_client();
    stranger.send_to_room("lobby", "hello", b"never was in");
    stranger.expect_nothing();
    b.leave("lobby");
    a.expect_member_left("lobby", &b.id);
    b.send_to_room("lobby", "hello", b"was in");
    b.expect_nothing();
    a.expect_nothing();
    assert_eq!(test.server.stats().rejected_packets.not_member, 2);
}

#[test]
fn broadcast_to_unknown_room_is_dropped() {
    for test in [TestServer::start(), TestServer::compat()] {
        let [mut a, mut b] = test.roomless_clients();
        a.send_to_room("nowhere", "hello", b"");
        a.expect_nothing();
        assert_eq!(test.server.stats().rooms, 0);
        assert_eq!(b.join("nowhere"), [&*b.id]);
        b.expect_nothing();
    }
}

#[test]
fn broadcast_by_only_member_reaches_no_client() {
    let test = TestServer::start();
    let mut a = test.roomless_client();
    a.join("lobby");
    a.send_to_room("lobby", "hello", b"");
    a.expect_nothing();
}

#[test]
fn broadcast_in_root_is_ordinary() {
    let test = TestServer::start();
    let mut a = test.client();
    let mut b = test.client();
    a.expect_new_member("root", &b.id);
    a.send_to_room("root", "hello", b"x");
    b.expect("root", "hello", "", &a.id, b"x");
    a.expect_nothing();
}

#[test]
fn broadcasts_are_not_acknowledged() {
    // The wire protocol has neither acknowledgements of messages nor errors.
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("lobby");
    a.send_to_room("nowhere", "hello", b"");
    a.send_to_client("nobody", "lobby", "hello", b"");
    a.send_to_room("lobby", "close", b"");
    a.send_to_room("lobby", "hello", b"");
    b.expect("lobby", "hello", "", &a.id, b"");
    a.expect_nothing();
    b.expect_nothing();
}
