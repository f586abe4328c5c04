//! Tests messages to one client.

use super::test_server::{TestServer, expect_nothing};

#[test]
fn direct_message_reaches_only_its_receiver() {
    let test = TestServer::start();
    let [mut a, mut b, mut c] = test.clients_in("lobby");
    let id = b.id.clone();
    a.send_to_client(&id, "lobby", "whisper", b"payload");
    b.expect("lobby", "whisper", &id, &a.id, b"payload");
    expect_nothing([&mut a, &mut b, &mut c]);
}

#[test]
fn client_may_send_to_itself() {
    let test = TestServer::start();
    let mut a = test.roomless_client();
    let id = a.id.clone();
    a.send_to_client(&id, "lobby", "note", b"to self");
    a.expect("lobby", "note", &id, &id, b"to self");
}

#[test]
fn direct_message_keeps_room_name_without_routing_by_it() {
    let test = TestServer::start();
    let [mut a, mut b] = test.roomless_clients();
    let mut member = test.roomless_client();
    member.join("of others");
    let id = b.id.clone();
    for room in ["nowhere", "of others", "root", ""] {
        a.send_to_client(&id, room, "whisper", b"");
        b.expect(room, "whisper", &id, &a.id, b"");
    }
    member.expect_nothing();
    assert_eq!(test.server.stats().rooms, 1);
}

#[test]
fn dst_must_match_id_exactly() {
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("lobby");
    let id = b.id.clone();
    let close = [
        id.to_ascii_uppercase(),
        format!("{{{id}}}"),
        format!(" {id}"),
        format!("{id} "),
        format!("{id}\0"),
        format!("{id}{id}"),
        format!("urn:uuid:{id}"),
        id.replace('-', ""),
        id[..35].to_owned(),
        id[1..].to_owned(),
        "root".to_owned(),
        "lobby".to_owned(),
        "*".to_owned(),
    ];
    // In rare cases, an id contains no letters, and its upper-case form is the id itself.
    for dst in close.iter().filter(|dst| **dst != id) {
        a.send_to_client(dst, "lobby", "whisper", dst.as_bytes());
    }
    a.send_to_client(&id, "lobby", "last", b"");
    b.expect("lobby", "last", &id, &a.id, b"");
    a.expect_nothing();
    b.expect_nothing();
}

#[test]
fn direct_message_to_unknown_id_is_dropped() {
    let test = TestServer::start();
    let [mut a, mut b] = test.clients_in("lobby");
    a.send_to_client("00000000-0000-4000-8000-000000000000", "lobby", "whisper", b"");
    a.expect_nothing();
    b.expect_nothing();
    assert_eq!(test.server.stats().rejected_packets.unknown_dst, 1);
}

#[test]
fn direct_message_skips_handlers() {
    let test = TestServer::with(|builder| builder.on("chat", |_, _| panic!("a handler runs")));
    let [mut a, mut b] = test.clients_in("lobby");
    let id = b.id.clone();
    a.send_to_client(&id, "lobby", "chat", b"");
    b.expect("lobby", "chat", &id, &a.id, b"");
    a.send_to_client("nobody", "lobby", "chat", b"");
    a.expect_nothing();
}
