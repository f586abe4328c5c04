//! What becomes of a client's packet, rule by rule (section 5), and whom not to trust (12).

use super::site::{Site, hear_nothing};
use roomer_conformance::wire;

const RESERVED: [&str; 6] = ["join_ack", "leave_ack", "new_member", "member_left", "open", "close"];

#[test]
fn a_broadcast_reaches_every_member_but_the_sender() {
    let site = Site::open();
    let [mut a, mut b, mut c] = site.room("lobby");
    let mut outsider = site.loner();
    a.say("lobby", "hello", b"payload");
    b.expect("lobby", "hello", "", &a.id, b"payload");
    c.expect("lobby", "hello", "", &a.id, b"payload");
    hear_nothing([&mut a, &mut b, &mut c, &mut outsider]);
}

#[test]
fn src_is_what_the_server_says() {
    let site = Site::open();
    let [mut a, mut b, c] = site.room("lobby");
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
fn room_event_and_payload_are_forwarded_as_they_came() {
    let site = Site::open();
    let (room, event) = ("a\0room \u{1F3E0}", "an\nevent é");
    let [mut a, mut b] = site.room(room);
    for length in [0, 1, 100, 1000, 70_000, 1_000_000] {
        let payload = wire::filler(length);
        a.say(room, event, &payload);
        b.expect(room, event, "", &a.id, &payload);
    }
}

#[test]
fn reserved_events_are_never_forwarded_to_a_room() {
    for site in [Site::open(), Site::compat()] {
        let [mut a, mut b] = site.room("lobby");
        for event in RESERVED {
            a.say("lobby", event, b.id.as_bytes());
        }
        a.say("lobby", "next", b"");
        b.expect("lobby", "next", "", &a.id, b"");
        a.expect_nothing();
        assert_eq!(site.server.stats().rejected_packets.reserved, 6);
    }
}

#[test]
fn reserved_events_are_never_forwarded_to_a_client() {
    for site in [Site::open(), Site::compat()] {
        let [mut a, mut b] = site.loners();
        let (own, other) = (a.id.clone(), b.id.clone());
        for event in RESERVED {
            for room in ["root", "lobby"] {
                a.tell(&other, room, event, b"[]");
                a.tell(&own, room, event, b"[]");
            }
        }
        a.tell(&other, "lobby", "next", b"");
        b.expect("lobby", "next", &other, &own, b"");
        a.expect_nothing();
    }
}

#[test]
fn a_broadcast_into_a_room_that_one_is_not_in_is_dropped() {
    let site = Site::open();
    let [mut a, mut b] = site.room("lobby");
    let mut stranger = site.loner();
    stranger.say("lobby", "hello", b"never was in");
    stranger.expect_nothing();
    b.leave("lobby");
    a.expect_member_left("lobby", &b.id);
    b.say("lobby", "hello", b"was in");
    b.expect_nothing();
    a.expect_nothing();
    assert_eq!(site.server.stats().rejected_packets.not_member, 2);
}

#[test]
fn a_broadcast_into_no_room_is_dropped_and_makes_none() {
    for site in [Site::open(), Site::compat()] {
        let [mut a, mut b] = site.loners();
        a.say("nowhere", "hello", b"");
        a.expect_nothing();
        assert_eq!(site.server.stats().rooms, 0);
        assert_eq!(b.join("nowhere"), [&*b.id]);
        b.expect_nothing();
    }
}

#[test]
fn a_broadcast_to_oneself_alone_goes_nowhere() {
    let site = Site::open();
    let mut a = site.loner();
    a.join("lobby");
    a.say("lobby", "hello", b"");
    a.expect_nothing();
}

#[test]
fn root_is_an_ordinary_room_to_speak_in() {
    let site = Site::open();
    let mut a = site.client();
    let mut b = site.client();
    a.expect_new_member("root", &b.id);
    a.say("root", "hello", b"x");
    b.expect("root", "hello", "", &a.id, b"x");
    a.expect_nothing();
}

#[test]
fn nothing_but_a_message_is_ever_answered() {
    // No acknowledgement and no error exists on the wire.
    let site = Site::open();
    let [mut a, mut b] = site.room("lobby");
    a.say("nowhere", "hello", b"");
    a.tell("nobody", "lobby", "hello", b"");
    a.say("lobby", "close", b"");
    a.say("lobby", "hello", b"");
    b.expect("lobby", "hello", "", &a.id, b"");
    a.expect_nothing();
    b.expect_nothing();
}
