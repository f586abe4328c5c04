//! A client with which a test can inspect each frame.

use std::io::{Read, Write};
use std::net::TcpStream;

use roomer_conformance::wire;
use roomer_proto::{JOIN, JOIN_ACK, LEAVE_ACK, PacketRef};

use super::Serving;

/// The first byte of a frame that contains a whole binary message in compressed form.
const COMPRESSED: u8 = 0xc2;

pub struct Socket {
    stream: TcpStream,
    /// The head of the response, in lower case.
    pub head: String,
}

/// A message that was received.
pub struct Frame {
    pub is_compressed: bool,
    pub content: Vec<u8>,
}

impl Socket {
    /// Connects to a server, and offers compression.
    pub fn open(serving: &Serving) -> Socket {
        let host = serving.url.trim_start_matches("ws://").trim_end_matches("/ws");
        let mut stream = TcpStream::connect(host).unwrap();
        write!(
            stream,
            "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        )
        .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        Socket { stream, head: String::from_utf8(head).unwrap().to_lowercase() }
    }

    pub fn join(&mut self, room: &str) {
        self.send(&PacketRef { room, event: JOIN, dst: "", src: "", payload: b"" });
    }

    pub fn send(&mut self, packet: &PacketRef<'_>) {
        self.stream.write_all(&wire::message(&packet.to_bytes())).unwrap();
    }

    pub fn next(&mut self) -> Frame {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length).unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            length => usize::from(length),
        };
        let mut content = vec![0; length];
        self.stream.read_exact(&mut content).unwrap();
        Frame { is_compressed: head[0] == COMPRESSED, content }
    }

    /// Waits for the answer to a join, and returns its event.
    pub fn answer_to_join(&mut self, room: &str) -> String {
        loop {
            let frame = self.next();
            let packet = PacketRef::decode(&frame.content).unwrap();
            if packet.room == room && [JOIN_ACK, LEAVE_ACK].contains(&packet.event) {
                return packet.event.to_owned();
            }
        }
    }
}
