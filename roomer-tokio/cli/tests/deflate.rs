//! Tests `roomer serve` with rooms whose messages are compressed.

use crate::support::socket::Socket;
use crate::support::{Serving, TempFile, run, succeeds};
use roomer_proto::PacketRef;

/// Waits for the next message to a room. Returns its length.
fn message(socket: &mut Socket, room: &str, is_compressed: bool) -> usize {
    loop {
        let frame = socket.next();
        let packet = PacketRef::decode(&frame.content);
        let is_it = packet.is_ok_and(|packet| packet.event == "item" && packet.room == room);
        if frame.is_compressed || is_it {
            assert_eq!(frame.is_compressed, is_compressed, "{room}");
            return frame.content.len();
        }
    }
}

#[test]
fn large_messages_of_matching_rooms_are_compressed() {
    let file = TempFile::new(
        "deflate.toml",
        "[[room]]\npattern = \"news-plain\"\ndeflate = \"off\"\n[[room]]\npattern = \"news*\"\n\
         deflate = 512\n",
    );
    let serving = Serving::start(&[file.path()]);
    let mut socket = Socket::open(&serving);
    let head = &socket.head;
    assert!(head.contains("sec-websocket-extensions: permessage-deflate"), "{head}");
    let rooms = ["news", "news-plain", "lobby"];
    rooms.iter().for_each(|room| socket.join(room));
    let (long, short) = ("hello ".repeat(200), "hello ".repeat(20));
    for room in rooms {
        for text in [&long, &short] {
            // The member must have joined before the message is sent.
            while !succeeds(&run(&["members", &serving.url, room, "--json"])).contains("\"id\"") {}
            succeeds(&run(&["send", &serving.url, room, "item", text]));
            let is_compressed = room == "news" && text == &long;
            let length = message(&mut socket, room, is_compressed);
            assert_eq!(length < text.len(), is_compressed, "{room}");
        }
    }
}

#[test]
fn compression_is_not_negotiated_without_compressed_rooms() {
    let head = Socket::open(&Serving::start(&[])).head;
    assert!(!head.contains("sec-websocket-extensions"), "{head}");
}
