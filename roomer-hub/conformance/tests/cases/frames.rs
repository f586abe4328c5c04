//! Tests valid and invalid WebSocket frames from clients.
//!
//! The test client also checks each frame that it receives: a server may send only binary messages,
//! without a mask and in one frame.

use std::io::Write;

use super::test_server::TestServer;
use roomer_conformance::client::{Client, Received};
use roomer_conformance::wire::{self, BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT};

/// Sends bytes that violate a rule. The server must answer with a close frame that has one of these
/// codes, and end the stream.
#[track_caller]
fn breaks(test: &TestServer, bytes: &[u8], codes: &[u16]) {
    let mut client = test.roomless_client();
    client.send(bytes);
    let Received::Close(Some(code), reason) = client.receive() else {
        panic!("no close frame after {}", bytes.escape_ascii())
    };
    assert!(codes.contains(&code), "{code} {reason} after {}", bytes.escape_ascii());
    assert!(!reason.is_empty(), "a short reason belongs to {code}");
    client.expect_end();
}

fn join() -> Vec<u8> {
    wire::packet([b"room", b"join", b"", b"", b""])
}

#[test]
fn messages_in_each_length_encoding_are_echoed() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    let id = client.id.clone();
    // The payload of the frame contains 20 bytes of lengths, the room, the event, two ids, and this
    // payload.
    for whole in [0, 125, 126, 127, 65_535, 65_536, 65_537, 300_000] {
        let payload = wire::filler(usize::saturating_sub(whole, 20 + 1 + 1 + 36 + 36));
        client.send_to_client(&id, "r", "e", &payload);
        client.expect("r", "e", &id, &id, &payload);
    }
}

#[test]
fn non_minimal_length_is_accepted() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    let join = join();
    let whole = wire::message(&join);
    let mut long = vec![FIN | BINARY, 0x80 | 127];
    long.extend((join.len() as u64).to_be_bytes());
    long.extend(&whole[2..]);
    client.send(&long);
    let ack = client.expect_packet();
    client.snapshot("room", ack);
}

#[test]
fn frame_split_at_any_byte_is_accepted() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    for byte in wire::message(&join()) {
        client.send(&[byte]);
    }
    let ack = client.expect_packet();
    client.snapshot("room", ack);
}

#[test]
fn many_frames_in_one_read_are_accepted() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    let id = client.id.clone();
    let frames = (0..100u8).map(|n| wire::to_client(&id, "r", "e", &[n]));
    client.send(&frames.collect::<Vec<_>>().concat());
    for n in 0..100 {
        client.expect("r", "e", &id, &id, &[n]);
    }
}

#[test]
fn pong_echoes_ping_payload() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    for payload in [&b""[..], b"x", &wire::filler(124), &wire::filler(125)] {
        client.send(&wire::frame(FIN | PING, payload));
        assert_eq!(client.receive(), Received::Pong(payload.to_vec()));
    }
    client.expect_nothing();
}

#[test]
fn unsolicited_pong_is_ignored() {
    let test = TestServer::start();
    let mut client = test.roomless_client();
    for payload in [&b""[..], b"unasked", &wire::filler(125)] {
        client.send(&wire::frame(FIN | PONG, payload));
        client.expect_nothing();
    }
}

#[test]
fn unmasked_frame_is_1002() {
    let test = TestServer::start();
    let join = join();
    for first in [BINARY, TEXT, PING, CLOSE] {
        let body = if first == CLOSE { &[][..] } else { &join };
        let frame = [&[FIN | first, body.len() as u8], body].concat();
        breaks(&test, &frame, &[1002]);
    }
}

#[test]
fn reserved_bits_are_1002() {
    let test = TestServer::start();
    for bits in [0x40, 0x20, 0x10, 0x70] {
        breaks(&test, &wire::frame(FIN | BINARY | bits, &join()), &[1002]);
    }
    breaks(&test, &wire::frame(FIN | PING | 0x40, b""), &[1002]);
}

#[test]
fn unknown_opcodes_are_1002() {
    let test = TestServer::start();
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        breaks(&test, &wire::frame(FIN | opcode, b""), &[1002]);
    }
}

#[test]
fn control_frames_above_125_bytes_are_1002() {
    let test = TestServer::start();
    for opcode in [PING, PONG, CLOSE] {
        // The header alone is a violation. No byte of the payload is sent.
        breaks(&test, &wire::header(FIN | opcode, 126), &[1002]);
        breaks(&test, &wire::header(FIN | opcode, 65_536), &[1002]);
    }
}

#[test]
fn control_frames_in_fragments_are_1002() {
    let test = TestServer::start();
    for opcode in [PING, PONG, CLOSE] {
        breaks(&test, &wire::frame(opcode, b""), &[1002]);
    }
}

#[test]
fn length_with_top_bit_ends_connection() {
    let test = TestServer::start();
    for length in [1 << 63, u64::MAX] {
        breaks(&test, &wire::header(FIN | BINARY, length), &[1002, 1009]);
    }
}

#[test]
fn text_is_1003_by_default() {
    let test = TestServer::start();
    breaks(&test, &wire::frame(FIN | TEXT, &join()), &[1003]);
    breaks(&test, &wire::frame(FIN | TEXT, b"hello"), &[1003]);
}

#[test]
fn only_messages_before_violation_are_handled() {
    let test = TestServer::start();
    let [mut witness, mut culprit] = test.clients_in("room");
    let mut bytes = wire::to_room("room", "before", b"1");
    bytes.extend(wire::frame(FIN | 3, b""));
    bytes.extend(wire::to_room("room", "after", b"2"));
    culprit.send(&bytes);
    witness.expect("room", "before", "", &culprit.id, b"1");
    witness.expect_member_left("room", &culprit.id);
    witness.expect_nothing();
    culprit.expect_close(1002);
}

#[test]
fn sending_after_violation_affects_no_other_client() {
    let test = TestServer::start();
    let [mut witness, mut culprit] = test.clients_in("room");
    culprit.send(&wire::frame(CONTINUATION, b""));
    let flood = wire::to_room("room", "after", &wire::filler(1000)).repeat(1000);
    // The server may have closed the connection already, in which case the write fails.
    let _ = culprit.stream.write_all(&flood);
    witness.expect_member_left("room", &culprit.id);
    witness.expect_nothing();
}

#[test]
fn rooms_of_two_servers_are_separate() {
    let (one, other) = (TestServer::start(), TestServer::start());
    let (mut a, mut b): (Client, Client) = (one.client(), other.client());
    assert_eq!((a.root_members.len(), b.root_members.len()), (1, 1));
    let id = b.id.clone();
    a.send_to_client(&id, "root", "hello", b"");
    a.send_to_room("root", "hello", b"");
    a.expect_nothing();
    b.expect_nothing();
}
