//! A client's pongs, acknowledgements and close frames, and how much data it retains.

use std::time::Duration;

use roomer_proto::client::{Action, Client, Event, Failure, Options, RequestError};
use roomer_proto::extended::{ACK, ACK_NOW, HELLO};
use roomer_proto::{JOIN_ACK, LEAVE_ACK, PacketRef, ROOT, websocket};

use super::support::*;

const OTHER: &str = "09090909-0909-4909-8909-090909090909";
const HELLO_OF_SERVER: PacketRef<'_> =
    PacketRef { room: ROOT, event: HELLO, src: ID, payload: b"{\"session\":\"t\"}", dst: "" };

#[test]
fn requested_acknowledgement_is_sent() {
    let mut client = upgraded();
    receive(&mut client, &HELLO_OF_SERVER);
    transmit(&mut client);
    let payload = b"0";
    receive(&mut client, &PacketRef { room: ROOT, event: ACK, dst: ACK_NOW, src: "", payload });
    assert!(!transmit(&mut client).is_empty());
    assert!(transmit(&mut client).is_empty());
}

#[test]
fn acknowledgements_from_peers_are_ignored() {
    let mut client = upgraded();
    receive(&mut client, &HELLO_OF_SERVER);
    let payload = b"[]";
    receive(&mut client, &PacketRef { room: ROOT, event: JOIN_ACK, dst: "", src: ID, payload });
    events(&mut client);
    for (dst, src) in [(ID, OTHER), ("", OTHER), (ID, ID)] {
        for event in [JOIN_ACK, LEAVE_ACK] {
            for room in [ROOT, "x"] {
                receive(&mut client, &PacketRef { room, event, dst, src, payload });
            }
        }
    }
    assert_eq!(events(&mut client), []);
}

#[test]
fn server_close_ends_session() {
    for is_closed in [true, false] {
        let mut client = upgraded();
        receive(&mut client, &HELLO_OF_SERVER);
        if is_closed {
            let mut frame = Vec::new();
            websocket::close_frame(Some(1012), "", &mut frame);
            client.receive(NOW, &mut frame);
            assert_eq!(client.poll(NOW, 0), Some(Action::Disconnect));
        } else {
            client.disconnected(NOW);
        }
        assert_eq!(client.poll(NOW, 0), Some(Action::Connect));
        client.connected(&"ws://h/ws".parse().unwrap(), KEY);
        let request = String::from_utf8_lossy(&transmit(&mut client)).into_owned();
        let target = request.rsplit("GET ").next().unwrap().split(' ').next().unwrap().to_owned();
        let returns = "/ws?roomer=2&session=t&received=0";
        assert_eq!(target, if is_closed { "/ws?roomer=2" } else { returns });
    }
}

/// Reconnects after a loss, and returns what the client writes once it is in `root`.
fn reconnect(client: &mut Client, first: &PacketRef<'_>) -> Vec<u8> {
    assert_eq!(client.poll(NOW, 0), Some(Action::Connect));
    client.connected(&"ws://h/ws".parse().unwrap(), KEY);
    transmit(client);
    client.receive(NOW, &mut RESPONSE.as_bytes().to_vec());
    receive(client, first);
    let payload = b"[]";
    receive(client, &PacketRef { room: ROOT, event: JOIN_ACK, dst: "", src: ID, payload });
    let mut written = Vec::new();
    while client.poll(NOW, 0).is_none() {
        let more = transmit(client);
        if more.is_empty() {
            break;
        }
        written.extend(more);
    }
    written
}

#[test]
fn unwritten_messages_wait_for_next_connection() {
    let mut options = Options::default();
    options.extended = false;
    let (mut client, _) = connecting(options);
    client.receive(NOW, &mut RESPONSE.as_bytes().to_vec());
    let payload = b"[]";
    let join_ack = PacketRef { room: ROOT, event: JOIN_ACK, dst: "", src: ID, payload };
    receive(&mut client, &join_ack);
    for _ in 0..4 {
        client.send(NOW, ROOT, "chat", None, &[7; 60_000]).unwrap();
    }
    // One call passes at most about 64 KiB to the network.
    transmit(&mut client);
    let held = client.held();
    client.disconnected(NOW);
    let lost = events(&mut client).iter().filter(|event| matches!(event, Event::Lost(_))).count();
    assert_eq!(lost, 2);
    assert!(client.held() > 120_000 && client.held() < held);
    let written = reconnect(&mut client, &join_ack);
    assert!((120_000..130_000).contains(&written.len()), "{}", written.len());
}

#[test]
fn unwritten_requests_wait_for_next_session() {
    let (mut client, _) = connecting(Options::default());
    client.receive(NOW, &mut RESPONSE.as_bytes().to_vec());
    let payload = br#"{"version":2,"session":null,"resumed":false,"received":0,"heartbeat":25000}"#;
    let hello = PacketRef { room: ROOT, event: "roomer:hello", dst: "", src: ID, payload };
    receive(&mut client, &hello);
    let payload = b"[]";
    receive(&mut client, &PacketRef { room: ROOT, event: JOIN_ACK, dst: "", src: ID, payload });
    let limit = Duration::from_secs(10);
    for _ in 0..4 {
        client.request(NOW, ROOT, "store", None, &[7; 60_000], limit).unwrap();
    }
    transmit(&mut client);
    client.disconnected(NOW);
    let lost = |event: &Event| matches!(event, Event::Answered { result, .. } if *result == Err(RequestError::Lost));
    assert_eq!(events(&mut client).into_iter().filter(lost).count(), 2);
    let written = reconnect(&mut client, &hello);
    assert!((120_000..130_000).contains(&written.len()), "{}", written.len());
}

/// `Duration::MAX` is a common way to specify no limit.
#[test]
fn unlimited_times_do_not_overflow() {
    let forever = Duration::MAX;
    let mut options = Options::default();
    (options.min_delay, options.max_delay, options.min_uptime) = (forever, forever, forever);
    (options.connect_timeout, options.heartbeat, options.answer_timeout) =
        (forever, forever, forever);
    let (mut client, _) = connecting(options);
    client.receive(NOW, &mut RESPONSE.as_bytes().to_vec());
    receive(&mut client, &HELLO_OF_SERVER);
    client.wake(NOW);
    client.progressed(NOW);
    assert_eq!(client.poll(2 * NOW, 0), None);
    client.disconnected(NOW);
    assert_eq!(client.poll(NOW, 0), Some(Action::Connect));
    client.failed(NOW, "refused");
    client.wake(NOW);
    assert_eq!(client.poll(2 * NOW, u64::MAX), None);
    client.wake(NOW);
}

/// The network accepts nothing, so a pending request for confirmation cannot be sent, but the
/// client must still time out.
#[test]
fn unsendable_probe_does_not_delay_timeout() {
    let mut client = upgraded();
    receive(&mut client, &HELLO_OF_SERVER);
    let payload = b"[]";
    receive(&mut client, &PacketRef { room: ROOT, event: JOIN_ACK, dst: "", src: ID, payload });
    transmit(&mut client);
    for _ in 0..100 {
        client.send(NOW, ROOT, "state", None, &[0; 1000]).unwrap();
    }
    let mut now = NOW;
    for _ in 0..3 {
        if client.poll(now, 0).is_some() {
            break;
        }
        now = client.deadline(now).unwrap();
    }
    assert_eq!(events(&mut client).pop(), Some(Event::Suspended(Failure::Timeout)));
}

/// A large message over a slow link: the pong waits behind it, and only its parts show that the
/// server is alive.
#[test]
fn parts_of_unfinished_message_keep_probe_from_timing_out() {
    for is_extended in [true, false] {
        let mut options = Options::default();
        options.extended = is_extended;
        let (mut client, _) = connecting(options);
        client.receive(NOW, &mut RESPONSE.as_bytes().to_vec());
        if is_extended {
            receive(&mut client, &HELLO_OF_SERVER);
        }
        let payload = b"[]";
        receive(&mut client, &PacketRef { room: ROOT, event: JOIN_ACK, dst: "", src: ID, payload });
        events(&mut client);

        let mut frame = Vec::new();
        let payload = &[7; 100_000];
        let state = PacketRef { room: ROOT, event: "state", dst: "", src: OTHER, payload };
        websocket::packet_frame(&state, &mut frame).unwrap();
        let mut now = NOW;
        // Each part arrives just before the timeout of the probe.
        let pause = Options::default().answer_timeout - Duration::from_millis(1);
        for part in frame[..99_000].chunks_mut(1000) {
            client.wake(now);
            transmit(&mut client);
            now += pause;
            assert_eq!(client.poll(now, 0), None);
            client.receive(now, part);
            assert_eq!(client.poll(now, 0), None);
        }
        assert_eq!(events(&mut client), []);

        // The parts stop, so the next probe must time out.
        client.wake(now);
        transmit(&mut client);
        for _ in 0..3 {
            if client.poll(now, 0).is_some() {
                break;
            }
            now = client.deadline(now).unwrap();
        }
        assert_eq!(events(&mut client), [Event::Suspended(Failure::Timeout)]);
    }
}

#[test]
fn tokens_and_payloads_are_not_in_debug_output() {
    let mut client = upgraded();
    let payload = br#"{"session":"secret-session"}"#;
    receive(&mut client, &PacketRef { payload, ..HELLO_OF_SERVER });
    client.renew(NOW, "secret-login").unwrap();
    transmit(&mut client);
    let output = format!("{client:?}");
    let bytes = format!("{:?}", b"secret".as_slice());
    let bytes = bytes.trim_matches(['[', ']']);
    assert!(!output.contains("secret") && !output.contains(bytes), "{output}");
}
