//! Tests permessage-deflate over sockets.
//!
//! The tests cover the negotiation, the choice of messages that are compressed, and violations. The
//! client and the server use different compression libraries.

use std::io::{Read, Write};
use std::net::TcpStream;

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use roomer_engine::{Builder, close};

use super::test_server::TestServer;
use roomer_conformance::http::{HttpRequest, HttpResponse, dial, uninterrupted};
use roomer_conformance::wire::{
    self, BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, Packet, PacketView, TEXT,
};

const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
const OFFER: &str = "permessage-deflate; client_max_window_bits";
const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const RSV1: u8 = 0x40;

/// Enables compression for messages of at least 200 bytes in the room `room`.
fn deflating(builder: Builder) -> Builder {
    builder.deflate("secret", usize::MAX).deflate("room", 200).max_message(100_000)
}

/// A client that accepts compressed messages.
struct Peer {
    stream: TcpStream,
    inbox: Vec<u8>,
    id: String,
}

/// A packet that was received, and whether its message was compressed.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    event: String,
    payload: Vec<u8>,
    is_compressed: bool,
}

impl Peer {
    fn connect(test: &TestServer, offer: &str) -> Peer {
        let mut stream = dial(test.addr);
        let request = HttpRequest::upgrade(test.addr).add(EXTENSIONS, offer);
        stream.write_all(&request.bytes()).unwrap();
        let (response, inbox) = HttpResponse::read_head(&mut stream);
        assert_eq!(response.status, 101);
        let answer = response.header("sec-websocket-extensions").unwrap();
        assert!(answer.starts_with(ANSWER), "{answer}");
        let mut peer = Peer { stream, inbox, id: String::new() };
        let (first, ack) = peer.frame();
        assert_eq!(first, FIN | BINARY, "lists of members are not compressed");
        peer.id = Packet::from(PacketView::decode(&ack)).src;
        peer
    }

    /// Connects a client that leaves `root` and joins a room.
    fn join(test: &TestServer, room: &str) -> Peer {
        let mut peer = Peer::connect(test, OFFER);
        peer.send(&wire::to_room("root", "leave", b""));
        while peer.got().event != "leave_ack" {}
        peer.send(&wire::to_room(room, "join", b""));
        assert_eq!(peer.got().event, "join_ack");
        peer
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads the next frame. Returns its first byte and its payload.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let take = |peer: &mut Peer, count: usize| {
            while peer.inbox.len() < count {
                let mut chunk = [0; 4096];
                let read = uninterrupted(|| peer.stream.read(&mut chunk)).unwrap();
                assert_ne!(read, 0, "the stream has ended");
                peer.inbox.extend_from_slice(&chunk[..read]);
            }
            peer.inbox.drain(..count).collect::<Vec<u8>>()
        };
        let head = take(self, 2);
        let length = match head[1] {
            126 => take(self, 2).iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            127 => take(self, 8).iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            short => usize::from(short),
        };
        (head[0], take(self, length))
    }

    fn got(&mut self) -> Got {
        let (first, data) = self.frame();
        let is_compressed = first & RSV1 != 0;
        let data = match is_compressed {
            true => inflate(data),
            false => data,
        };
        assert_eq!(first & !RSV1, FIN | BINARY);
        let Packet { event, payload, .. } = PacketView::decode(&data).into();
        Got { event, payload, is_compressed }
    }

    /// Requires that a close frame with this code is received next.
    #[track_caller]
    fn expect_close(mut self, code: u16) {
        let (first, data) = self.frame();
        assert_eq!((first, &data[..2]), (FIN | CLOSE, &code.to_be_bytes()[..]));
        assert!(data.len() > 2, "a reason");
        assert_eq!(uninterrupted(|| self.stream.read(&mut [0])).unwrap(), 0);
    }

    fn close(mut self) {
        self.send(&wire::close(1000, ""));
        while self.frame().0 != FIN | CLOSE {}
    }
}

fn got(event: &str, payload: &[u8], is_compressed: bool) -> Got {
    Got { event: event.into(), payload: payload.into(), is_compressed }
}

/// Decompresses a message. First appends the four bytes that RFC 7692 section 7.2.2 requires, and a
/// final block, which this library requires.
fn inflate(mut data: Vec<u8>) -> Vec<u8> {
    data.extend_from_slice(&[0, 0, 0xff, 0xff, 3, 0]);
    decompress_to_vec_with_limit(&data, 1 << 20).expect("compressed data")
}

/// Compresses a message with a final block, and appends the byte from RFC 7692 section 7.2.3.4.
fn deflate(message: &[u8]) -> Vec<u8> {
    [compress_to_vec(message, 9), vec![0]].concat()
}

/// Returns bytes that cannot be compressed (splitmix64).
fn noise() -> Vec<u8> {
    let byte = |at: u64| {
        let mixed = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40) as u8
    };
    (1..1000).map(byte).collect()
}

fn packet(room: &str, payload: &[u8]) -> Vec<u8> {
    wire::packet([room.as_bytes(), b"e", b"", b"", payload])
}

#[test]
fn compression_is_negotiated_only_if_room_uses_it() {
    let plain = TestServer::start();
    let answer = |test: &TestServer, offer| {
        let request = HttpRequest::upgrade(test.addr).add(EXTENSIONS, offer);
        request.head(test.addr).header("sec-websocket-extensions").map(str::to_owned)
    };
    assert_eq!(answer(&plain, OFFER), None);
    let test = TestServer::with(deflating);
    assert_eq!(answer(&test, OFFER).as_deref(), Some(ANSWER));
    let narrow = "permessage-deflate; server_max_window_bits=10";
    let expected = format!("{ANSWER}; server_max_window_bits=10");
    assert_eq!(answer(&test, narrow), Some(expected));
    assert_eq!(answer(&test, "permessage-deflate; server_max_window_bits=7"), None);
    assert_eq!(answer(&test, "permessage-bzip2"), None);
}

#[test]
fn members_with_and_without_compression_get_same_messages() {
    let test = TestServer::with(deflating);
    let [mut plain] = test.clients_in("room");
    let (mut one, mut two) = (Peer::join(&test, "room"), Peer::join(&test, "room"));
    plain.expect_new_member("room", &one.id);
    plain.expect_new_member("room", &two.id);
    assert_eq!(one.got(), got("new_member", two.id.as_bytes(), false));
    // In this room, a message is compressed if it has at least 200 bytes and becomes shorter.
    let noise = noise();
    for (payload, is_compressed) in
        [(&[b'x'; 500][..], true), (b"short", false), (&noise, false), (&[b'y'; 60_000], true)]
    {
        plain.send_to_room("room", "e", payload);
        assert_eq!(one.got(), got("e", payload, is_compressed));
        assert_eq!(two.got(), got("e", payload, is_compressed));
        let length = |peer: &Peer| peer.inbox.len();
        assert_eq!((length(&one), length(&two)), (0, 0));
        // The sender of a compressed message does not receive it. The other members receive it in
        // the form that each has negotiated.
        one.send(&wire::frame(FIN | RSV1 | BINARY, &deflate(&packet("room", payload))));
        plain.expect("room", "e", "", &one.id, payload);
        assert_eq!(two.got(), got("e", payload, is_compressed));
    }
    one.close();
    two.close();
    plain.expect_packet();
    plain.expect_packet();
    plain.close();
}

#[test]
fn other_rooms_direct_messages_and_small_windows_are_uncompressed() {
    let test = TestServer::with(deflating);
    for room in ["other", "secret"] {
        let mut peer = Peer::join(&test, room);
        let mut sender = test.roomless_client();
        sender.join(room);
        assert_eq!(peer.got().event, "new_member");
        sender.send_to_room(room, "e", &[b'x'; 500]);
        assert_eq!(peer.got(), got("e", &[b'x'; 500], false));
        sender.send_to_client(&peer.id, room, "e", &[b'x'; 500]);
        assert_eq!(peer.got(), got("e", &[b'x'; 500], false));
        sender.close();
        peer.close();
    }
    let mut narrow = Peer::connect(&test, "permessage-deflate; server_max_window_bits=9");
    narrow.send(&wire::to_room("room", "join", b""));
    assert_eq!(narrow.got().event, "join_ack");
    let mut sender = test.roomless_client();
    sender.join("room");
    while narrow.got().event != "new_member" {}
    sender.send_to_room("room", "e", &[b'x'; 500]);
    let message = loop {
        let message = narrow.got();
        if message.event == "e" {
            break message;
        }
    };
    assert_eq!(message, got("e", &[b'x'; 500], false));
    // This client, too, may still send compressed messages.
    narrow.send(&wire::frame(FIN | RSV1 | BINARY, &deflate(&packet("room", b"z"))));
    sender.expect("room", "e", "", &narrow.id, b"z");
    narrow.close();
    sender.expect_packet();
    sender.close();
}

#[test]
fn fragments_of_compressed_message_are_reassembled() {
    let test = TestServer::with(deflating);
    let [mut plain] = test.clients_in("room");
    let mut peer = Peer::join(&test, "room");
    plain.expect_new_member("room", &peer.id);
    let payload = wire::filler(5_000);
    let data = deflate(&packet("room", &payload));
    peer.send(&wire::frame(RSV1 | BINARY, &data[..10]));
    peer.send(&wire::frame(CONTINUATION, &data[10..20]));
    peer.send(&wire::frame(FIN | PING, b""));
    peer.send(&wire::frame(FIN | CONTINUATION, &data[20..]));
    plain.expect("room", "e", "", &peer.id, &payload);
    assert_eq!(peer.frame().0, FIN | PONG);
    peer.close();
    plain.expect_packet();
    plain.close();
}

#[test]
fn violations_close_with_their_code() {
    let test = TestServer::with(deflating);
    let hello = deflate(&packet("room", b"hello"));
    let bomb = deflate(&packet("room", &[0; 1 << 20]));
    assert!(bomb.len() < 2_000, "a bomb is short");
    let cut = &hello[..hello.len() / 2];
    for (frames, code) in [
        (wire::frame(FIN | RSV1 | BINARY, b"\xff\xff"), 1007),
        (wire::frame(FIN | RSV1 | BINARY, cut), 1007),
        (wire::frame(FIN | RSV1 | TEXT, &deflate(b"\xff")), 1007),
        (wire::frame(FIN | RSV1 | TEXT, &hello), 1003),
        (wire::frame(FIN | RSV1 | BINARY, &bomb), 1009),
        (wire::frame(FIN | RSV1 | BINARY, &vec![0; 100_001]), 1009),
        (wire::frame(FIN | RSV1 | BINARY, &deflate(b"no packet")), 1002),
        (wire::frame(FIN | RSV1 | PING, b""), 1002),
        (wire::frame(FIN | RSV1 | CONTINUATION, &hello), 1002),
        (wire::frame(FIN | RSV1 | 0x20 | BINARY, &hello), 1002),
        (
            [wire::frame(RSV1 | BINARY, &hello), wire::frame(FIN | RSV1 | CONTINUATION, b"")]
                .concat(),
            1002,
        ),
    ] {
        let mut peer = Peer::join(&test, "room");
        peer.send(&frames);
        peer.expect_close(code);
    }
    // If compression was not negotiated, a compressed message is a violation.
    let mut plain = test.roomless_client();
    plain.send(&wire::frame(FIN | RSV1 | BINARY, &hello));
    plain.expect_close(1002);
}

#[test]
fn inflated_bytes_count_towards_byte_rate() {
    let test = TestServer::with(|builder| deflating(builder).byte_rate(1, 100_000));
    let [mut plain] = test.clients_in("room");
    let mut peer = Peer::join(&test, "room");
    plain.expect_new_member("room", &peer.id);
    let zeros = [0; 60_000];
    let frame = wire::frame(FIN | RSV1 | BINARY, &deflate(&packet("room", &zeros)));
    assert!(frame.len() < 1000, "{}", frame.len());
    let id = peer.id.clone();
    peer.send(&frame);
    plain.expect("room", "e", "", &id, &zeros);
    peer.send(&frame);
    peer.expect_close(close::RATE.code);
    plain.expect_member_left("room", &id);
    plain.close();
}
