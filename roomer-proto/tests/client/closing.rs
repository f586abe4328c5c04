//! Closing a client while the server still handles its packets.

use std::time::Duration;

use roomer_proto::client::{Client, Closing, Event, State};
use roomer_proto::extended::{ACK, HELLO};
use roomer_proto::websocket::{close_frame, packet_frame};
use roomer_proto::{JOIN_ACK, PacketRef, ROOT};

use super::support::{ID, NOW, events, receive, transmit, upgraded};

const MESSAGES: usize = 100;

/// Returns a client that has sent messages to an extended server and has then been closed.
fn closing() -> Client {
    let mut client = upgraded();
    let hello = br#"{"session":"t"}"#;
    receive(&mut client, &PacketRef { room: ROOT, event: HELLO, src: ID, payload: hello, dst: "" });
    let payload = b"[]";
    receive(&mut client, &PacketRef { room: ROOT, event: JOIN_ACK, src: ID, payload, dst: "" });
    transmit(&mut client);
    for _ in 0..MESSAGES {
        client.send(NOW, ROOT, "chat", None, b"hi").unwrap();
    }
    client.close(NOW);
    transmit(&mut client);
    assert_eq!(client.state(), State::Closing);
    events(&mut client);
    client
}

fn confirm(client: &mut Client, now: Duration, count: usize) {
    let payload = count.to_string();
    let payload = payload.as_bytes();
    let mut frame = Vec::new();
    packet_frame(
        &PacketRef { room: ROOT, event: ACK, payload, ..PacketRef::default() },
        &mut frame,
    )
    .unwrap();
    client.receive(now, &mut frame);
}

/// Lets the client's timers expire until `end`.
fn wait(client: &mut Client, end: Duration) {
    let mut now = NOW;
    while let Some(at) = client.deadline(now).filter(|at| *at <= end) {
        now = at;
        client.poll(now, 0);
    }
    client.poll(end, 0);
}

/// The server applies a rate limit that delays the messages, and acknowledges the handled ones
/// every 5 s.
#[test]
fn closing_client_waits_for_acknowledgements() {
    let mut client = closing();
    let mut now = NOW;
    for count in (25..=MESSAGES).step_by(25) {
        now += Duration::from_millis(5500);
        wait(&mut client, now);
        confirm(&mut client, now, count);
    }
    assert_eq!(client.state(), State::Closing);
    let mut frame = Vec::new();
    close_frame(Some(1000), "", &mut frame);
    client.receive(now + Duration::from_secs(4), &mut frame);
    assert_eq!(events(&mut client), [Event::Closed(Closing::Application)]);
}

#[test]
fn closing_client_times_out_without_acknowledgements() {
    let seconds = Duration::from_secs;
    for (confirmed, most) in [(0, seconds(10)), (10, seconds(13)), (MESSAGES, seconds(8))] {
        let mut client = closing();
        if confirmed > 0 {
            confirm(&mut client, NOW + seconds(3), confirmed);
        }
        // A count that does not exceed the previous one does not extend the deadline.
        confirm(&mut client, NOW + seconds(4), confirmed);
        wait(&mut client, NOW + most - Duration::from_millis(1));
        assert_eq!(client.state(), State::Closing, "{confirmed}");
        wait(&mut client, NOW + most);
        assert_eq!(client.state(), State::Closed, "{confirmed}");
        let lost = events(&mut client).into_iter().filter(|event| matches!(event, Event::Lost(_)));
        assert_eq!(lost.count(), MESSAGES - confirmed);
    }
}
