//! A client's handshakes, with valid and invalid responses.

use roomer_proto::client::{Action, Address, Client, Event, Failure, Options, State};
use roomer_proto::extended::HELLO;
use roomer_proto::{JOIN_ACK, PacketRef, ROOT};

use super::support::*;

#[test]
fn request_bytes_are_exact() {
    let (_, request) = connecting(Options::default());
    let expected = "GET /ws?roomer=2 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: BwcHBwcHBwcHBwcHBwcHBw==\r\n\r\n";
    assert_eq!(String::from_utf8(request).unwrap(), expected);
}

#[test]
fn token_is_offered_as_second_subprotocol() {
    let address: Address = "ws://h/ws".parse().unwrap();
    let address = address.token_protocol("süß?>");
    // The JavaScript client uses the same encoding.
    assert_eq!(address.protocols().collect::<Vec<_>>(), ["roomer", "token.c8O8w58_Pg"]);
    assert!(!format!("{address:?} {}", address.to_url()).contains("c8O8"), "no log shows it");
    let select = |lines: &str| {
        let mut client = Client::new(Options::default());
        assert_eq!(client.poll(NOW, 0), Some(Action::Connect));
        client.connected(&address, KEY);
        let bytes = format!("{:?}", b"token.");
        assert!(!format!("{client:?}").contains(bytes.trim_matches(['[', ']'])), "nor this");
        let request = String::from_utf8(transmit(&mut client)).unwrap();
        assert!(request.starts_with("GET /ws?roomer=2 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nSec-WebSocket-Protocol: roomer, token.c8O8w58_Pg\r\n"));
        let response = RESPONSE.replace("\r\n\r\n", &format!("\r\n{lines}\r\n"));
        client.receive(NOW, &mut response.into_bytes());
        events(&mut client).pop()
    };
    let selected = "Sec-WebSocket-Protocol: roomer\r\n";
    // A server need not select a subprotocol (RFC 6455 section 4.2.2).
    assert_eq!([select(selected), select("")], [None, None]);
    let (twice, name) = (selected.repeat(2), "Sec-WebSocket-Protocol");
    let both = format!("{name}: roomer, token.c8O8w58_Pg\r\n");
    let token = format!("{name}: token.c8O8w58_Pg\r\n");
    for wrong in [twice, both, token, format!("{name}: ROOMER\r\n"), format!("{name}: x\r\n")] {
        let reason = "the response selects a subprotocol that was not offered";
        assert_eq!(select(&wrong), Some(Event::Suspended(Failure::Handshake(reason))), "{wrong}");
    }
}

#[test]
fn response_may_be_split_or_followed_by_packets() {
    let ids = format!("[\"{ID}\"]");
    let packet = PacketRef {
        room: ROOT,
        event: JOIN_ACK,
        src: ID,
        payload: ids.as_bytes(),
        ..PacketRef::default()
    };
    let mut bytes = RESPONSE.as_bytes().to_vec();
    roomer_proto::websocket::packet_frame(&packet, &mut bytes).unwrap();
    for cut in 0..=bytes.len() {
        let (mut client, _) = connecting(Options::default());
        let (mut first, mut second) = (bytes[..cut].to_vec(), bytes[cut..].to_vec());
        client.receive(NOW, &mut first);
        client.receive(NOW, &mut second);
        assert_eq!(client.state(), State::Open, "{cut}");
        assert!(!client.is_extended());
        assert_eq!(events(&mut client).len(), 2);
    }
}

#[test]
fn wrong_responses_are_rejected() {
    let wrong = [
        (RESPONSE.replace("CdXS", "CdXT"), "a wrong accept"),
        (RESPONSE.replace("Sec-WebSocket-Accept", "X-Accept"), "no accept"),
        (RESPONSE.replace("Upgrade: websocket", "Upgrade: h2c"), "another protocol"),
        (RESPONSE.replace("Connection: Upgrade", "Connection: close"), "no upgrade"),
        (RESPONSE.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: x\r\n\r\n"), "not offered"),
        (
            RESPONSE
                .replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            "not offered",
        ),
        ("220 ready\r\n\r\n".to_owned(), "not HTTP"),
        (format!("HTTP/1.1 101 x\r\n{}", "A: b\r\n".repeat(9000)), "too long"),
    ];
    for (response, what) in wrong {
        let (mut client, _) = connecting(Options::default());
        client.receive(NOW, &mut response.clone().into_bytes());
        assert_eq!(client.state(), State::Waiting, "{what}");
        let events = events(&mut client);
        assert!(
            matches!(events[..], [Event::Suspended(Failure::Handshake(_))]),
            "{what}: {events:?}"
        );
    }
}

/// The same credentials would be rejected again, but a new token may be accepted.
#[test]
fn rejection_is_final_without_renewal() {
    for (status, renews_login, state) in [
        (401, false, State::Closed),
        (403, false, State::Closed),
        (404, false, State::Waiting),
        (401, true, State::Waiting),
        (403, true, State::Waiting),
    ] {
        let mut options = Options::default();
        options.renews_login = renews_login;
        let (mut client, _) = connecting(options);
        client.receive(NOW, &mut format!("HTTP/1.1 {status} no\r\n\r\nwhy").into_bytes());
        assert_eq!(client.state(), state, "{status} {renews_login}");
    }
}

/// A proxy may reject every client during an outage, after which the client must be connected again.
#[test]
fn rejection_by_proxy_after_first_connection_is_not_final() {
    for (status, header, state) in [
        (401, "", State::Waiting),
        (403, "Server: nginx\r\n", State::Waiting),
        (401, "roomer-status: 401\r\n", State::Closed),
        (403, "Server: nginx\r\nRoomer-Status: 403\r\n", State::Closed),
    ] {
        let mut client = upgraded();
        let payload = format!("[\"{ID}\"]");
        let payload = payload.as_bytes();
        receive(&mut client, &PacketRef { room: ROOT, event: JOIN_ACK, dst: "", src: ID, payload });
        assert_eq!(client.state(), State::Open);
        client.disconnected(NOW);
        for _ in 0..3 {
            assert_eq!(client.state(), State::Waiting, "{status} {header}");
            let at = client.poll(NOW, 0).map_or_else(|| client.deadline(NOW).unwrap(), |_| NOW);
            assert!(at == NOW || client.poll(at, 0) == Some(Action::Connect));
            client.connected(&"ws://h/ws".parse().unwrap(), KEY);
            let mut response = format!("HTTP/1.1 {status} no\r\n{header}\r\nwhy").into_bytes();
            client.receive(at, &mut response);
            assert_eq!(client.state(), state, "{status} {header}");
            if state == State::Closed {
                break;
            }
            assert_eq!(client.poll(at, 0), Some(Action::Disconnect));
        }
    }
}

#[test]
fn redirect_error_names_address_without_query() {
    for (status, header, expected) in [
        (301, "location: https://h/ws?token=secret\r\n", Some("https://h/ws")),
        (308, "Location: /rooms#a\r\n", Some("/rooms")),
        (304, "", None),
        (404, "Location: /rooms\r\n", None),
    ] {
        let (mut client, _) = connecting(Options::default());
        client.receive(NOW, &mut format!("HTTP/1.1 {status} x\r\n{header}\r\n").into_bytes());
        let failure = match expected {
            Some(location) => Failure::Redirected { status, location: location.into() },
            None => Failure::Rejected { status },
        };
        assert_eq!(events(&mut client), [Event::Suspended(failure)]);
        // The client tries again, because the proxy may be configured correctly later.
        assert_eq!(client.state(), State::Waiting);
    }
}

#[test]
fn unknown_parts_of_extended_protocol_are_ignored() {
    let mut client = upgraded();
    let hello = r#"{"version":9,"session":null,"resumed":true,"received":3,"new":[1],"limits":7}"#;
    let packet =
        PacketRef { room: ROOT, event: HELLO, src: ID, payload: hello.as_bytes(), dst: "" };
    receive(&mut client, &packet);
    // This `hello` claims to resume a session that the client does not have.
    let id = ID.parse().unwrap();
    assert_eq!(events(&mut client), [Event::Opened { id, is_resumed: false }]);
    let payload = br#"{"x":1}"#;
    let new = PacketRef { room: ROOT, event: "roomer:new", payload, ..PacketRef::default() };
    receive(&mut client, &new);
    assert_eq!((events(&mut client), client.state()), (vec![], State::Open));
}

#[test]
fn wrong_acknowledgement_count_is_closed_with_1002() {
    for count in ["1", "-1", "01", "x", ""] {
        let mut client = upgraded();
        let hello = PacketRef { room: ROOT, event: HELLO, src: ID, payload: b"{}", dst: "" };
        receive(&mut client, &hello);
        transmit(&mut client);
        let payload = count.as_bytes();
        let ack = PacketRef { room: ROOT, event: "roomer:ack", payload, ..PacketRef::default() };
        receive(&mut client, &ack);
        assert_eq!(client.state(), State::Waiting, "{count}");
        assert_eq!(transmit(&mut client), [0x88, 0x82, 1, 2, 3, 4, 3 ^ 1, 0xea ^ 2]);
    }
}

#[test]
fn position_does_not_make_message_direct() {
    let mut client = upgraded();
    let ids = format!("{{\"members\":[[\"{ID}\",null]],\"at\":[1,7],\"recovered\":false}}");
    let hello = PacketRef { room: ROOT, event: HELLO, src: ID, payload: b"{}", dst: "" };
    receive(&mut client, &hello);
    let payload = ids.as_bytes();
    receive(&mut client, &PacketRef { room: ROOT, event: JOIN_ACK, src: ID, payload, dst: "" });
    for (dst, room) in [("#8", ROOT), (ID, ROOT), ("#9", "other"), (ID, "other")] {
        receive(&mut client, &PacketRef { room, event: "chat", dst, src: "", payload: b"" });
    }
    let messages = events(&mut client).into_iter().filter_map(|event| match event {
        Event::Message(message) => Some((message.room.to_string(), message.is_direct)),
        _ => None,
    });
    let expected = [(ROOT, false), (ROOT, true), ("other", true)];
    assert!(messages.eq(expected.map(|(room, is_direct)| (room.to_owned(), is_direct))));
}

#[test]
fn masked_server_frame_is_violation() {
    let mut client = upgraded();
    client.receive(NOW, &mut [0x82, 0x80, 1, 2, 3, 4]);
    let events = events(&mut client);
    assert!(matches!(events[..], [Event::Suspended(Failure::Violation(_))]), "{events:?}");
}

#[test]
fn only_newest_ping_is_answered() {
    let mut client = upgraded();
    client.receive(NOW, &mut [0x89, 1, b'a', 0x89, 2, b'b', b'c']);
    assert_eq!(transmit(&mut client), [0x8a, 0x82, 1, 2, 3, 4, b'b' ^ 1, b'c' ^ 2]);
    assert!(transmit(&mut client).is_empty());
}
