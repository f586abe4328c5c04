//! The client's info, which is sent as fast as the server's rate permits.

use std::time::Duration;

use roomer_proto::client::{Client, Event};
use roomer_proto::extended::{ACK, ERROR, HELLO, INFO, Info};
use roomer_proto::websocket::{self, Decoder, Limits};
use roomer_proto::{PacketRef, ROOT};

use super::support::*;

const SECOND: Duration = Duration::from_secs(1);

/// The number of changes that the client makes in a burst.
const MAX_CHANGES: usize = 15;

fn hello(client: &mut Client, payload: &[u8]) {
    receive(client, &PacketRef { room: ROOT, event: HELLO, src: ID, payload, dst: "" });
}

fn opened() -> Client {
    let mut client = upgraded();
    hello(&mut client, b"{\"session\":\"t\"}");
    events(&mut client);
    client
}

fn set(client: &mut Client, now: Duration, info: usize) {
    client.set_info(now, info.to_string().parse::<Info>().ok());
}

/// Rejects one change, which exceeds the server's rate.
fn reject(client: &mut Client, now: Duration, code: &str) {
    let payload = format!("{{\"code\":\"{code}\",\"room\":\"root\",\"event\":\"{INFO}\"}}");
    receive_error(client, now, payload.as_bytes());
}

fn receive_error(client: &mut Client, now: Duration, payload: &[u8]) {
    let packet = PacketRef { room: ROOT, event: ERROR, payload, ..PacketRef::default() };
    let mut frame = Vec::new();
    websocket::packet_frame(&packet, &mut frame).unwrap();
    client.receive(now, &mut frame);
}

/// Returns each info that the client sends at this time.
fn infos(client: &mut Client, now: Duration) -> Vec<String> {
    assert_eq!(client.poll(now, 0), None);
    let mut wire = transmit(client);
    let mut frames = Decoder::new();
    let limits = Limits::default();
    let mut feed = frames.feed(&limits, &mut wire);
    let mut infos = Vec::new();
    while let Some(Ok(event)) = feed.next() {
        if let websocket::Event::Message { data, .. } = event {
            let packet = PacketRef::decode(data).unwrap();
            if packet.event == INFO {
                infos.push(packet.text().unwrap().to_owned());
            }
        }
    }
    infos
}

#[test]
fn newest_info_is_sent_once_rate_permits() {
    let mut client = opened();
    (0..100).for_each(|info| set(&mut client, NOW, info));
    assert_eq!(infos(&mut client, NOW).len(), MAX_CHANGES);
    let at = client.deadline(NOW).unwrap();
    assert_eq!(at, NOW + SECOND);
    assert_eq!(infos(&mut client, at - Duration::from_nanos(1)), [""; 0]);
    assert_eq!(infos(&mut client, at), ["99"]);
    assert_eq!(infos(&mut client, at + 100 * SECOND), [""; 0]);
    // After an idle period, the full burst is permitted again.
    (0..100).for_each(|info| set(&mut client, at + 100 * SECOND, info));
    assert_eq!(infos(&mut client, at + 100 * SECOND).len(), MAX_CHANGES);
}

#[test]
fn info_above_server_rate_is_retried_with_backoff() {
    let mut client = opened();
    (0..3).for_each(|info| set(&mut client, NOW, info));
    assert_eq!(infos(&mut client, NOW), ["0", "1", "2"]);
    // Two rejections of one burst count once.
    reject(&mut client, NOW, "busy");
    reject(&mut client, NOW, "busy");
    let mut now = NOW;
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        let due = now + pause * SECOND;
        assert_eq!(infos(&mut client, due - Duration::from_nanos(1)), [""; 0]);
        assert_eq!(infos(&mut client, due), ["2"]);
        reject(&mut client, due, "busy");
        now = due;
    }
    // The client still waits, but with the newest info.
    set(&mut client, now, 7);
    assert_eq!(infos(&mut client, now), [""; 0]);
    assert_eq!(infos(&mut client, now + 30 * SECOND), ["7"]);
    // Long after the last rejection, the pauses are short again.
    now += 1000 * SECOND;
    set(&mut client, now, 8);
    assert_eq!(infos(&mut client, now), ["8"]);
    reject(&mut client, now, "busy");
    assert_eq!(infos(&mut client, now + SECOND), ["8"]);
    let errors = events(&mut client);
    assert!(!errors.iter().any(|event| matches!(event, Event::Error(_))), "{errors:?}");
}

#[test]
fn info_is_resent_if_it_may_be_unreported() {
    let mut client = opened();
    set(&mut client, NOW, 0);
    assert_eq!(infos(&mut client, NOW), ["0"]);
    let error = br#"{"code":"gone","message":"","room":"root","event":"chat","more":2}"#;
    receive_error(&mut client, NOW, error);
    assert!(matches!(&events(&mut client)[..], [Event::Error(error)] if error.more == 2));
    assert_eq!(infos(&mut client, NOW + SECOND), ["0"]);
    // Errors about other packets do not repeat it.
    receive_error(&mut client, NOW + SECOND, br#"{"code":"gone","message":""}"#);
    assert!(matches!(&events(&mut client)[..], [Event::Error(error)] if error.more == 0));
    assert_eq!(infos(&mut client, NOW + 100 * SECOND), [""; 0]);
}

#[test]
fn acknowledged_info_is_not_resent_or_delayed() {
    let mut client = opened();
    set(&mut client, NOW, 0);
    assert_eq!(infos(&mut client, NOW), ["0"]);
    receive(
        &mut client,
        &PacketRef { room: ROOT, event: ACK, payload: b"1", ..PacketRef::default() },
    );
    for _ in 0..20 {
        let error = br#"{"code":"gone","message":"","room":"root","event":"chat","more":2}"#;
        receive_error(&mut client, NOW, error);
    }
    assert_eq!(infos(&mut client, NOW + 100 * SECOND), [""; 0]);
    set(&mut client, NOW + 100 * SECOND, 1);
    assert_eq!(infos(&mut client, NOW + 100 * SECOND), ["1"]);
}

#[test]
fn denied_info_is_reported_and_not_retried() {
    let mut client = opened();
    set(&mut client, NOW, 0);
    assert_eq!(infos(&mut client, NOW), ["0"]);
    reject(&mut client, NOW, "refused");
    assert!(matches!(&events(&mut client)[..], [Event::Error(error)] if error.code == "refused"));
    assert_eq!(infos(&mut client, NOW + 60 * SECOND), [""; 0]);
}

#[test]
fn only_newest_info_set_offline_is_sent() {
    for (payload, before) in [("{\"session\":\"t\",\"resumed\":true,\"received\":0}", 0), ("{}", 1)]
    {
        let mut client = opened();
        (0..before).for_each(|info| set(&mut client, NOW, info));
        assert_eq!(infos(&mut client, NOW).len(), before);
        reconnect(&mut client);
        (10..50).for_each(|info| set(&mut client, NOW, info));
        hello(&mut client, payload.as_bytes());
        assert_eq!(infos(&mut client, NOW), ["49"], "{payload}");
    }
}

#[test]
fn resumed_session_does_not_resend_info() {
    let mut client = opened();
    set(&mut client, NOW, 0);
    assert_eq!(infos(&mut client, NOW), ["0"]);
    reconnect(&mut client);
    hello(&mut client, b"{\"session\":\"t\",\"resumed\":true,\"received\":1}");
    assert_eq!(infos(&mut client, NOW), [""; 0]);
    reconnect(&mut client);
    hello(&mut client, b"{\"session\":\"u\"}");
    assert_eq!(infos(&mut client, NOW), ["0"]);
}
