//! Tests the rules of the original in Go, which the option `compat` selects.

use super::test_server::TestServer;
use roomer_conformance::wire::{self, CONTINUATION, FIN, TEXT};

#[test]
fn non_members_may_send_to_any_room() {
    let test = TestServer::compat();
    let [mut a, mut b] = test.clients_in("lobby");
    let mut stranger = test.roomless_client();
    stranger.send_to_room("lobby", "hello", b"x");
    a.expect("lobby", "hello", "", &stranger.id, b"x");
    b.expect("lobby", "hello", "", &stranger.id, b"x");
    stranger.expect_nothing();
}

#[test]
fn client_may_send_after_leaving() {
    let test = TestServer::compat();
    let [mut a, mut b] = test.clients_in("lobby");
    b.leave("lobby");
    a.expect_member_left("lobby", &b.id);
    b.send_to_room("lobby", "hello", b"");
    a.expect("lobby", "hello", "", &b.id, b"");
}

#[test]
fn repeated_join_is_announced_again() {
    let test = TestServer::compat();
    let [mut a, mut b] = test.clients_in("lobby");
    assert_eq!(b.join("lobby").len(), 2);
    a.expect_new_member("lobby", &b.id);
    b.expect_nothing();
    b.leave("lobby");
    a.expect_member_left("lobby", &b.id);
    a.expect_nothing();
}

#[test]
fn text_is_accepted_and_forwarded_as_binary() {
    let test = TestServer::compat();
    let [mut a, mut b] = test.clients_in("lobby");
    let packet = wire::packet([b"lobby", "héllo".as_bytes(), b"", b"", "é".as_bytes()]);
    a.send(&wire::frame(FIN | TEXT, &packet));
    // The test client fails if it receives a text message, so this message was forwarded as binary.
    b.expect("lobby", "héllo", "", &a.id, "é".as_bytes());
    a.send(&wire::frame(TEXT, &packet[..15]));
    a.send(&wire::frame(FIN | CONTINUATION, &packet[15..]));
    b.expect("lobby", "héllo", "", &a.id, "é".as_bytes());
}

#[test]
fn non_utf8_text_is_1007() {
    let test = TestServer::compat();
    let packet = wire::packet([b"lobby", b"hello", b"", b"", b"\xff"]);
    let mut whole = test.roomless_client();
    whole.send(&wire::frame(FIN | TEXT, &packet));
    whole.expect_close(1007);
    let mut cut = test.roomless_client();
    cut.send(&wire::frame(TEXT, &packet[..10]));
    cut.send(&wire::frame(FIN | CONTINUATION, &packet[10..]));
    cut.expect_close(1007);
}

#[test]
fn handler_runs_for_non_members() {
    let test = TestServer::with(|builder| {
        builder.compat().on("shout", |conn, message| {
            conn.send_to_room(message.room, "shouted", message.payload);
            Ok(())
        })
    });
    let [mut a] = test.clients_in("lobby");
    let mut stranger = test.roomless_client();
    stranger.send_to_room("lobby", "shout", b"x");
    a.expect("lobby", "shouted", "", &stranger.id, b"x");
    stranger.send_to_room("nowhere", "shout", b"x");
    stranger.expect_nothing();
}

#[test]
fn malformed_packets_and_names_close_connection() {
    let test = TestServer::compat();
    let mut malformed = test.roomless_client();
    malformed.send(&wire::message(b"no packet"));
    malformed.expect_close(1002);
    let mut names = test.roomless_client();
    names.send(&wire::message(&wire::packet([b"\xff", b"hello", b"", b"", b""])));
    names.expect_close(1007);
}

#[test]
fn compat_keeps_limits_set_earlier() {
    let test = TestServer::with(|builder| builder.max_rooms(2).max_name(4).compat());
    let mut client = test.client();
    client.join("1234");
    client.send_to_room("more", "join", b"");
    client.expect_left("more");
    client.leave("1234");
    client.send_to_room("12345", "join", b"");
    client.expect_left("12345");
}
