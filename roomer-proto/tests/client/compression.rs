//! Clients that offer permessage-deflate.

use roomer_proto::client::{Event, Failure, Options};
use roomer_proto::websocket::deflate::{Deflater, Inflater, OFFER};
use roomer_proto::websocket::{self, Decoder, Kind, Limits};
use roomer_proto::{JOIN_ACK, PacketRef, ROOT};

use super::support::{ID, NOW, RESPONSE, connecting, events, receive, transmit};

const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

fn options(deflate: Option<usize>) -> Options {
    let mut options = Options::default();
    options.deflate = deflate;
    options
}

fn response(answer: &str) -> Vec<u8> {
    let end = RESPONSE.len() - 2;
    format!("{}Sec-WebSocket-Extensions: {answer}\r\n\r\n", &RESPONSE[..end]).into_bytes()
}

/// Compresses a packet as a server does.
fn compressed(packet: &PacketRef<'_>) -> Vec<u8> {
    let mut frame = Vec::new();
    Deflater::new().message_frame(Kind::Binary, &packet.to_bytes(), &mut frame);
    assert_eq!(frame[0], 0xc2, "compressed");
    frame
}

#[test]
fn compression_offer_is_optional() {
    let request = |deflate| String::from_utf8(connecting(options(deflate)).1).unwrap();
    assert!(!request(None).contains("Extensions"));
    assert!(request(Some(0)).contains(&format!("\r\nSec-WebSocket-Extensions: {OFFER}\r\n")));
}

#[test]
fn compressed_packets_are_received_and_sent() {
    let (mut client, _) = connecting(options(Some(200)));
    client.receive(NOW, &mut response(ANSWER));
    let ack = PacketRef { room: ROOT, event: JOIN_ACK, src: ID, dst: "", payload: b"" };
    receive(&mut client, &ack);
    events(&mut client);
    let payload = [b'x'; 1000];
    let packet = PacketRef { room: ROOT, event: "chat", src: ID, dst: ID, payload: &payload };
    client.receive(NOW, &mut compressed(&packet));
    let [Event::Message(message)] = &events(&mut client)[..] else { panic!("one message") };
    assert_eq!(message.payload, payload[..]);

    client.send(NOW, ROOT, "chat", None, &payload).unwrap();
    client.send(NOW, ROOT, "chat", None, b"short").unwrap();
    let mut sent = transmit(&mut client);
    let mut server = Decoder::new();
    server.accept_compressed();
    let limits = Limits::default();
    let mut feed = server.feed(&limits, &mut sent);
    let Some(Ok(websocket::Event::Compressed { kind, data })) = feed.next() else {
        panic!("the long one is compressed")
    };
    assert!(data.len() < 100);
    let inflated = Inflater::new().inflate(kind, data, limits.max_message).unwrap();
    assert_eq!(PacketRef::decode(&inflated).unwrap().payload, payload);
    let Some(Ok(websocket::Event::Message { data, .. })) = feed.next() else {
        panic!("the short one is not")
    };
    assert_eq!(PacketRef::decode(data).unwrap().payload, b"short");
}

#[test]
fn declined_compression_keeps_plain_messages() {
    let (mut client, _) = connecting(options(Some(0)));
    client.receive(NOW, &mut RESPONSE.as_bytes().to_vec());
    let packet = PacketRef { room: ROOT, event: JOIN_ACK, src: ID, dst: "", payload: b"" };
    receive(&mut client, &packet);
    client.send(NOW, ROOT, "chat", None, &[b'x'; 1000]).unwrap();
    assert_eq!(transmit(&mut client)[0], 0x82, "not compressed");
    client.receive(NOW, &mut compressed(&PacketRef { payload: &[0; 100], ..packet }));
    assert!(is_lost(&events(&mut client), 1002), "RSV1 was not negotiated");
}

#[test]
fn unoffered_extension_fails_handshake() {
    for (offer, answer) in [
        (None, ANSWER),
        (Some(0), "permessage-deflate"),
        (Some(0), "x"),
        (Some(0), &format!("{ANSWER}; client_max_window_bits=10")),
    ] {
        let (mut client, _) = connecting(options(offer));
        client.receive(NOW, &mut response(answer));
        let failed = events(&mut client)
            .into_iter()
            .any(|event| matches!(event, Event::Suspended(Failure::Handshake(_))));
        assert!(failed, "{answer}");
    }
}

#[test]
fn invalid_deflate_data_and_bombs_end_connection() {
    let bomb = Deflater::new().deflate(&vec![0; 1 << 20]).unwrap().to_vec();
    for (data, code) in [(&b"\xff\xff"[..], 1007), (&bomb, 1009)] {
        let mut options = options(Some(0));
        options.max_message = 100_000;
        let (mut client, _) = connecting(options);
        client.receive(NOW, &mut response(ANSWER));
        let mut frame = match data.len() {
            short @ ..126 => vec![0xc2, short as u8],
            long => [&[0xc2, 126][..], &(long as u16).to_be_bytes()].concat(),
        };
        frame.extend_from_slice(data);
        client.receive(NOW, &mut frame);
        assert!(is_lost(&events(&mut client), code), "{code}");
    }
}

fn is_lost(events: &[Event], code: u16) -> bool {
    events.iter().any(|event| match event {
        Event::Suspended(Failure::Violation(violation)) => violation.code == code,
        _ => false,
    })
}
