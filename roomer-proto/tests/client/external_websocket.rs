//! The client over an external WebSocket implementation, which passes whole messages.

use std::time::Duration;

use roomer_proto::client::{Action, Client, Closing, Event, Failure, Options, Outgoing, State};
use roomer_proto::extended::{ACK, ACK_NOW, HELLO};
use roomer_proto::{JOIN, JOIN_ACK, LEAVE, PacketRef, ROOT};

use super::support::{ID, NOW, events};

const HELLO_OF_SERVER: PacketRef<'_> =
    PacketRef { room: ROOT, event: HELLO, src: ID, payload: b"{\"session\":\"t\"}", dst: "" };
const ROOT_OF_SERVER: PacketRef<'_> =
    PacketRef { room: ROOT, event: JOIN_ACK, src: ID, payload: b"[]", dst: "" };

/// Returns a client whose WebSocket is open and whose server has sent its first packet.
fn open(first: &PacketRef<'_>) -> Client {
    let mut client = Client::new(Options::default());
    assert_eq!(client.poll(NOW, 0), Some(Action::Connect));
    client.upgraded();
    assert!(!client.transmit_messages(NOW, &mut |_| {}), "the server speaks first");
    receive(&mut client, first);
    assert_eq!(client.state(), State::Open);
    events(&mut client);
    client
}

fn receive(client: &mut Client, packet: &PacketRef<'_>) {
    client.receive_message(NOW, &packet.to_bytes());
}

/// Returns the room, event and receiver of each message that the client sends, and its close code.
fn transmit(client: &mut Client) -> (Vec<String>, Option<u16>) {
    let (mut sent, mut closed) = (Vec::new(), None);
    client.transmit_messages(NOW, &mut |outgoing| match outgoing {
        Outgoing::Message(bytes) => {
            let packet = PacketRef::decode(bytes).unwrap();
            sent.push(format!("{} {} {}", packet.room, packet.event, packet.dst));
        }
        Outgoing::Close(code) => assert_eq!(closed.replace(code), None),
        _ => unreachable!(),
    });
    (sent, closed)
}

fn sent(client: &mut Client) -> Vec<String> {
    transmit(client).0
}

#[test]
fn sends_and_receives_packets_as_messages() {
    let mut client = open(&HELLO_OF_SERVER);
    client.join(NOW, "lobby").unwrap();
    client.poll(NOW, 0);
    assert_eq!(sent(&mut client), [format!("lobby {JOIN} ")]);
    receive(&mut client, &PacketRef { room: "lobby", ..ROOT_OF_SERVER });
    let chat = PacketRef { room: "lobby", event: "chat", payload: b"hi", src: "x", dst: "" };
    receive(&mut client, &chat);
    let events = events(&mut client);
    assert!(
        matches!(&events[..], [Event::Joined { .. }, Event::Message(message)]
        if message.text() == Ok("hi")),
        "{events:?}"
    );
}

#[test]
fn reconnect_url_contains_session_token() {
    let address = "wss://h:1/ws?a=1".parse().unwrap();
    let mut client = open(&HELLO_OF_SERVER);
    receive(&mut client, &ROOT_OF_SERVER);
    client.disconnected(NOW);
    let url = client.next_address(address).to_url();
    assert_eq!(url, "wss://h:1/ws?a=1&roomer=2&session=t&received=1");
    assert_eq!(client.poll(NOW, 0), Some(Action::Connect), "there is nothing to disconnect");
}

#[test]
fn sends_probe_instead_of_ping() {
    // An external WebSocket has no pings, but the server also answers acknowledgement requests and
    // probes.
    let mut extended = open(&HELLO_OF_SERVER);
    extended.wake(NOW);
    assert_eq!(sent(&mut extended), [format!("{ROOT} {ACK} {ACK_NOW}")]);
    assert_eq!(sent(&mut extended), [""; 0], "once");
    let mut plain = open(&ROOT_OF_SERVER);
    plain.wake(NOW);
    assert_eq!(sent(&mut plain), [format!("\0probe {LEAVE} ")]);
    assert_eq!(sent(&mut plain), [""; 0], "once");
}

#[test]
fn unresponsive_server_is_dropped_without_close_frame() {
    let mut client = open(&HELLO_OF_SERVER);
    client.wake(NOW);
    sent(&mut client);
    let mut now = NOW;
    for _ in 0..2 {
        // Poll twice, because a suspension of the machine may explain the first timeout.
        now = client.deadline(now).unwrap() + Duration::from_secs(60);
        if client.poll(now, 0) == Some(Action::Disconnect) {
            break;
        }
    }
    assert_eq!(events(&mut client), [Event::Suspended(Failure::Timeout)]);
    assert_eq!(transmit(&mut client), (vec![], None), "it would end the session");
}

#[test]
fn oversized_message_ends_connection() {
    let mut client = open(&HELLO_OF_SERVER);
    client.receive_message(NOW, &vec![0; Options::default().max_message + 1]);
    assert_eq!(client.poll(NOW, 0), Some(Action::Disconnect));
    assert_eq!(transmit(&mut client), (vec![], Some(1009)));
}

#[test]
fn close_codes_are_interpreted_like_close_frames() {
    for (code, is_final) in [(Some(1012), false), (Some(4000), true), (None, false)] {
        let mut client = open(&HELLO_OF_SERVER);
        client.closed(NOW, code, "why");
        assert_eq!(client.state() == State::Closed, is_final, "{code:?}");
        let session = client.next_address("ws://h/".parse().unwrap()).to_url().contains("session");
        assert!(!session, "a close frame ends the session");
    }
}

#[test]
fn close_waits_for_close_frame_of_server() {
    let mut client = open(&HELLO_OF_SERVER);
    receive(&mut client, &ROOT_OF_SERVER);
    events(&mut client);
    client.send(NOW, ROOT, "chat", None, b"last").unwrap();
    client.close(NOW);
    assert_eq!(transmit(&mut client), (vec![format!("{ROOT} chat ")], Some(1000)));
    assert_eq!(events(&mut client), []);
    client.closed(NOW, Some(1000), "");
    assert_eq!(
        events(&mut client),
        [Event::Closed(Closing::Application)],
        "the message was handled"
    );
}
