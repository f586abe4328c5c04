//! Tests the closing handshake.

use std::time::Duration;

use super::test_server::TestServer;
use roomer_conformance::client::{Client, Received};
use roomer_conformance::wire::{self, CLOSE, FIN};

/// Requires that the server answers with a close frame with this code, and that the stream then
/// ends.
#[track_caller]
fn answered(client: &mut Client, code: Option<u16>) {
    assert_eq!(client.receive(), Received::Close(code, String::new()));
    client.expect_end();
}

#[test]
fn close_frame_is_echoed_without_reason() {
    let test = TestServer::start();
    let codes = (1000..=1003).chain(1007..=1013).chain([3000, 3999, 4000, 4999]);
    for code in codes {
        let mut client = test.roomless_client();
        client.send(&wire::close(code, "a reason, до свидания"));
        answered(&mut client, Some(code));
    }
}

#[test]
fn close_frame_without_code_gets_empty_close_frame() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    client.send(&wire::frame(FIN | CLOSE, b""));
    answered(&mut client, None);
}

#[test]
fn reserved_close_codes_are_1002() {
    let test = TestServer::start();
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let mut client = test.roomless_client();
        client.send(&wire::close(code, ""));
        client.expect_close(1002);
    }
}

#[test]
fn non_utf8_reason_is_1002_or_1007() {
    let test = TestServer::start();
    for reason in [&b"\xff"[..], b"cut \xc3", b"\xed\xa0\x80"] {
        let mut client = test.roomless_client();
        client.send(&wire::frame(FIN | CLOSE, &[&1000u16.to_be_bytes(), reason].concat()));
        let seen = client.receive();
        assert!(matches!(seen, Received::Close(Some(1002 | 1007), _)), "{seen:?}");
        client.expect_end();
    }
}

#[test]
fn truncated_close_code_is_1002() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    client.send(&wire::frame(FIN | CLOSE, b"\x03"));
    client.expect_close(1002);
}

#[test]
fn bytes_after_close_frame_are_ignored() {
    let test = TestServer::start();
    let [mut witness, mut client] = test.clients_in("room");
    let mut bytes = wire::close(1000, "");
    bytes.extend(wire::to_room("room", "late", b""));
    bytes.extend(wire::to_room("other", "join", b""));
    bytes.extend(b"and garbage");
    client.send(&bytes);
    answered(&mut client, Some(1000));
    witness.expect_member_left("room", &client.id);
    witness.expect_nothing();
    assert_eq!(test.server.stats().rooms, 1);
}

#[test]
fn queued_messages_arrive_before_close_frame() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    let id = client.id.clone();
    let mut bytes = Vec::new();
    for n in 0..200u8 {
        bytes.extend(wire::to_client(&id, "r", "e", &[n]));
    }
    bytes.extend(wire::close(4000, ""));
    client.send(&bytes);
    for n in 0..200 {
        client.expect("r", "e", &id, &id, &[n]);
    }
    answered(&mut client, Some(4000));
}

#[test]
fn server_ends_connection_even_if_client_does_not() {
    let test = TestServer::with(|builder| builder.close_timeout(Duration::from_millis(300)));
    let mut polite = test.roomless_client();
    polite.send(&wire::close(1000, ""));
    answered(&mut polite, Some(1000));
    let mut rude = test.roomless_client();
    rude.send(b"garbage");
    rude.expect_close(1002);
    // Neither client closes its socket, so the server must close both sockets.
    test.wait_for_drain();
    drop((polite, rude));
}
