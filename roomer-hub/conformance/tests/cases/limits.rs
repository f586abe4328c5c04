//! Tests the limits on the size of messages and the number of rooms.

use std::io::Write;
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::test_server::TestServer;
use roomer_conformance::client::{Client, Received, TIMEOUT};
use roomer_conformance::wire::{self, BINARY, CONTINUATION, FIN};

/// Returns a message from the client to itself that has this total size, and the payload of the
/// message.
fn sized(client: &Client, whole: usize) -> (Vec<u8>, Vec<u8>) {
    let payload = wire::filler(whole - 20 - 2 - 36);
    (wire::packet([b"r", b"e", client.id.as_bytes(), b"", &payload]), payload)
}

#[track_caller]
fn expect_back(client: &mut Client, payload: &[u8]) {
    let id = client.id.clone();
    client.expect("r", "e", &id, &id, payload);
}

#[test]
fn message_of_exactly_limit_is_forwarded_with_src_added() {
    let test = TestServer::with(|builder| builder.max_message(1000));
    let mut client = test.roomless_client();
    let (packet, payload) = sized(&client, 1000);
    client.send(&wire::message(&packet));
    expect_back(&mut client, &payload);
}

#[test]
fn one_byte_above_limit_is_1009_on_header() {
    let test = TestServer::with(|builder| builder.max_message(1000));
    for length in [1001, 65_536, 1 << 32, 1 << 62] {
        let mut client = test.roomless_client();
        client.send(&wire::header(FIN | BINARY, length));
        client.expect_close(1009);
    }
}

#[test]
fn limit_counts_fragments_together() {
    let test = TestServer::with(|builder| builder.max_message(1000));
    let mut client = test.roomless_client();
    let (packet, payload) = sized(&client, 1000);
    client.send(&wire::frame(BINARY, &packet[..600]));
    client.send(&wire::frame(CONTINUATION, b""));
    client.send(&wire::frame(FIN | CONTINUATION, &packet[600..]));
    expect_back(&mut client, &payload);
    // The limit applies to each message, not to all of them together.
    client.send(&wire::message(&packet));
    expect_back(&mut client, &payload);
    client.send(&wire::frame(BINARY, &packet[..600]));
    client.send(&wire::header(FIN | CONTINUATION, 401));
    client.expect_close(1009);
}

#[test]
fn default_limit_is_16_mib_inclusive() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    let (packet, payload) = sized(&client, 16_777_216);
    let mut writer = client.stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&wire::message(&packet)).unwrap());
        let view = client.expect_view();
        assert!(view.payload == payload, "the payload came back changed");
    });
    client.send(&wire::header(FIN | BINARY, 16_777_217));
    client.expect_close(1009);
}

#[test]
fn oversized_message_affects_no_other_client() {
    let test = TestServer::with(|builder| builder.max_message(1000));
    let [mut witness, mut culprit] = test.clients_in("room");
    // The server may reset the connection while the client is still writing.
    let message = wire::message(&wire::filler(4_000_000));
    let _ = culprit.stream.write_all(&message);
    witness.expect_member_left("room", &culprit.id);
    witness.expect_nothing();
}

/// After the server has closed, it keeps reading for a while, so that its close frame is not lost
/// to a reset. Then it stops.
#[test]
fn reads_after_close_are_bounded() {
    // Because of the unread bytes, the server resets the connection at the close timeout.
    let test = TestServer::with(|builder| builder.max_message(1000).close_timeout(TIMEOUT / 4));
    let mut culprit = test.roomless_client();
    SockRef::from(&culprit.stream).set_send_buffer_size(64 * 1024).unwrap();
    culprit.stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    culprit.send(&wire::header(FIN | BINARY, 48 << 20));
    let filler = wire::filler(64 * 1024);
    let mut sent = 0;
    // Write until the socket has not accepted any bytes for a second.
    while sent < 48 << 20 && culprit.stream.write_all(&filler).is_ok() {
        sent += filler.len();
    }
    assert!(sent < 24 << 20, "{sent} bytes were taken after the close");
    let Received::Close(code, reason) = culprit.receive() else { panic!("no close frame") };
    assert_eq!((code, &*reason), (Some(1009), "message is above the limit"));
    culprit.reset();
}

#[test]
fn joins_above_room_limit_get_leave_ack() {
    let test = TestServer::with(|builder| builder.max_rooms(3));
    let mut client = test.client();
    client.join("a");
    client.join("b");
    client.send_to_room("c", "join", b"");
    client.expect_left("c");
    assert_eq!(test.server.stats().rooms, 3, "the rejected room was not created");
    // Joining the same room again does not count towards the limit. Leaving a room makes room for
    // another.
    client.join("b");
    client.leave("a");
    client.join("c");
    client.send_to_room("d", "join", b"");
    client.expect_left("d");
    assert_eq!(test.server.stats().rejected_packets.too_many_rooms, 2);
}

#[test]
fn thousand_rooms_are_allowed_by_default() {
    let test = TestServer::start();
    let mut client = test.client();
    let names: Vec<String> = (0..1000).map(|n| format!("room {n}")).collect();
    let joins = names.iter().map(|name| wire::to_room(name, "join", b""));
    client.send(&joins.collect::<Vec<_>>().concat());
    for name in &names {
        let ack = client.expect_packet();
        assert_eq!(client.snapshot(name, ack).len(), 1);
    }
    assert_eq!(test.server.stats().rooms, 1001);
    client.expect_nothing();
}
