//! Tests fragmented messages.

use std::io::Write;
use std::thread;

use super::test_server::TestServer;
use roomer_conformance::client::{Client, Received};
use roomer_conformance::wire::{self, BINARY, CONTINUATION, FIN, PING, PONG, TEXT};

/// Returns the packet of a message from a client to itself, which the test splits into fragments.
fn to_self(client: &Client, payload: &[u8]) -> Vec<u8> {
    wire::packet([b"r", b"e", client.id.as_bytes(), b"", payload])
}

#[track_caller]
fn expect_back(client: &mut Client, payload: &[u8]) {
    let id = client.id.clone();
    client.expect("r", "e", &id, &id, payload);
}

#[test]
fn message_is_reassembled_wherever_it_is_fragmented() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    let packet = to_self(&client, b"payload");
    for cut in 0..=packet.len() {
        client.send(&wire::frame(BINARY, &packet[..cut]));
        client.send(&wire::frame(FIN | CONTINUATION, &packet[cut..]));
        expect_back(&mut client, b"payload");
    }
}

#[test]
fn any_number_of_fragments_is_reassembled() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    let packet = to_self(&client, &wire::filler(400));
    let mut bytes = wire::frame(BINARY, b"");
    for byte in &packet {
        bytes.extend(wire::frame(CONTINUATION, &[*byte]));
        bytes.extend(wire::frame(CONTINUATION, b""));
    }
    bytes.extend(wire::frame(FIN | CONTINUATION, b""));
    client.send(&bytes);
    expect_back(&mut client, &wire::filler(400));
}

#[test]
fn control_frames_between_fragments_are_handled_immediately() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    let packet = to_self(&client, b"payload");
    client.send(&wire::frame(BINARY, &packet[..10]));
    client.send(&wire::frame(FIN | PING, b"one"));
    // The pong arrives although the message is not complete yet.
    assert_eq!(client.receive(), Received::Pong(b"one".to_vec()));
    client.send(&wire::frame(CONTINUATION, &packet[10..20]));
    client.send(&wire::frame(FIN | PONG, b"ignored"));
    client.send(&wire::frame(FIN | PING, b"two"));
    assert_eq!(client.receive(), Received::Pong(b"two".to_vec()));
    client.send(&wire::frame(FIN | CONTINUATION, &packet[20..]));
    expect_back(&mut client, b"payload");
}

#[test]
fn close_frame_between_fragments_closes() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    client.send(&wire::frame(BINARY, b"unfinished"));
    client.send(&wire::close(1000, "enough"));
    client.expect_close(1000);
}

#[test]
fn continuation_without_start_is_1002() {
    let test = TestServer::start();
    for first in [CONTINUATION, FIN | CONTINUATION] {
        let mut client = test.roomless_client();
        client.send(&wire::frame(first, b"x"));
        client.expect_close(1002);
    }
    // After a complete message, a continuation frame is a violation.
    let mut client = test.roomless_client();
    client.send(&wire::message(&to_self(&client, b"whole")));
    client.send(&wire::frame(FIN | CONTINUATION, b"x"));
    expect_back(&mut client, b"whole");
    client.expect_close(1002);
}

#[test]
fn new_message_inside_fragmented_one_is_1002() {
    let test = TestServer::start();
    for second in [BINARY, TEXT, FIN | BINARY, FIN | TEXT] {
        let mut client = test.roomless_client();
        client.send(&wire::frame(BINARY, b"x"));
        client.send(&wire::frame(second, b"y"));
        client.expect_close(1002);
    }
}

#[test]
fn endless_fragments_are_rejected() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    client.send(&wire::frame(BINARY, b""));
    client.send(&wire::frame(CONTINUATION, b"").repeat(1024));
    client.expect_close(1009);
}

#[test]
fn large_message_in_1_kib_fragments_is_accepted() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    for (size, piece) in [(5 << 20, 4096), (2 << 20, 1024)] {
        let payload = wire::filler(size);
        let packet = to_self(&client, &payload);
        let mut bytes = wire::frame(BINARY, b"");
        for piece in packet.chunks(piece) {
            bytes.extend(wire::frame(CONTINUATION, piece));
        }
        bytes.extend(wire::frame(FIN | CONTINUATION, b""));
        let mut writer = client.stream.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&bytes).unwrap());
            assert!(client.expect_view().payload == payload, "{size} bytes in pieces of {piece}");
        });
    }
}

#[test]
fn endless_small_fragments_of_large_message_are_rejected() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    client.send(&wire::frame(BINARY, &wire::filler(25_600)));
    client.send(&wire::frame(CONTINUATION, b"").repeat(1024 + 100));
    client.expect_close(1009);
}

#[test]
fn fragment_limit_is_configurable() {
    let test = TestServer::with(|builder| builder.max_fragments(2, 10));
    let mut client = test.roomless_client();
    let packet = to_self(&client, b"ten bytes.");
    client.send(&wire::frame(BINARY, &packet[..10]));
    client.send(&wire::frame(CONTINUATION, &packet[10..20]));
    client.send(&wire::frame(FIN | CONTINUATION, &packet[20..]));
    expect_back(&mut client, b"ten bytes.");
    client.send(&[wire::frame(BINARY, b"x"), wire::frame(CONTINUATION, b"").repeat(2)].concat());
    client.expect_close(1009);
}

#[test]
fn fragmented_text_is_1003_by_default() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    let packet = to_self(&client, b"");
    client.send(&wire::frame(TEXT, &packet[..30]));
    client.send(&wire::frame(FIN | CONTINUATION, &packet[30..]));
    client.expect_close(1003);
}
