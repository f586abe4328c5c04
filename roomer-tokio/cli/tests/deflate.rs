//! Rooms of `roomer serve` whose messages are compressed.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use roomer_proto::websocket::packet_frame;
use roomer_proto::{JOIN, PacketRef};
use support::{Serving, TempFile, run, succeeds};

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// Connects, and returns the socket and the head of the response.
fn connect(serving: &Serving) -> (TcpStream, String) {
    let host = serving.url.trim_start_matches("ws://").trim_end_matches("/ws");
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{OFFER}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    (stream, String::from_utf8(head).unwrap().to_lowercase())
}

fn join(stream: &mut TcpStream, room: &str) {
    let join = PacketRef { room, event: JOIN, dst: "", src: "", payload: b"" };
    let mut frame = Vec::new();
    packet_frame(&join, &mut frame).unwrap();
    // Masked with zeros.
    frame[1] |= 0x80;
    frame.splice(2..2, [0; 4]);
    stream.write_all(&frame).unwrap();
}

/// Reads frames until one is a message of the room, and returns its length.
fn message(stream: &mut TcpStream, room: &str, is_compressed: bool) -> usize {
    loop {
        let mut head = [0; 2];
        stream.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            length => usize::from(length),
        };
        let mut content = vec![0; length];
        stream.read_exact(&mut content).unwrap();
        let packet = PacketRef::decode(&content);
        if head[0] == 0xc2
            || packet.is_ok_and(|packet| packet.event == "item" && packet.room == room)
        {
            assert_eq!(head[0] == 0xc2, is_compressed, "{room}");
            return length;
        }
    }
}

#[test]
fn messages_of_the_rooms_of_a_pattern_are_compressed_from_a_size_on() {
    let file = TempFile::new(
        "deflate.toml",
        "[[room]]\npattern = \"news-plain\"\ndeflate = \"off\"\n[[room]]\npattern = \"news*\"\n\
         deflate = 512\n",
    );
    let serving = Serving::start(&[file.path()]);
    let (mut stream, head) = connect(&serving);
    assert!(head.contains("sec-websocket-extensions: permessage-deflate"), "{head}");
    let rooms = ["news", "news-plain", "lobby"];
    rooms.iter().for_each(|room| join(&mut stream, room));
    let (long, short) = ("hello ".repeat(200), "hello ".repeat(20));
    for room in rooms {
        for text in [&long, &short] {
            // A message can only arrive once the member is there.
            while !succeeds(&run(&["members", &serving.url, room, "--json"])).contains("\"id\"") {}
            succeeds(&run(&["send", &serving.url, room, "item", text]));
            let is_compressed = room == "news" && text == &long;
            let length = message(&mut stream, room, is_compressed);
            assert_eq!(length < text.len(), is_compressed, "{room}");
        }
    }
}

#[test]
fn without_such_a_room_compression_is_not_negotiated() {
    let (_, head) = connect(&Serving::start(&[]));
    assert!(!head.contains("sec-websocket-extensions"), "{head}");
}
