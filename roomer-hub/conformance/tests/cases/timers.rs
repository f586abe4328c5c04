//! Tests pings, signs of life and timeouts. Over real sockets, only the order of events is checked.
//! The simulator and the test kit check the durations, in virtual time.

use std::io::{Read, Write};
use std::time::Duration;

use roomer_engine::{BuildError, Server};

use super::test_server::TestServer;
use roomer_conformance::client::{Client, Received};
use roomer_conformance::http::{HttpRequest, HttpResponse, dial, uninterrupted};
use roomer_conformance::programs::until;
use roomer_conformance::wire::{self, FIN, PING, PONG};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A pong timeout for clients that answer, even if a busy machine does not run them for a while.
const PONG_TIMEOUT: Duration = ms(5000);

/// Starts a server that pings often.
fn lively() -> TestServer {
    TestServer::with(|builder| builder.ping_interval(ms(100)).pong_timeout(PONG_TIMEOUT))
}

#[test]
fn pings_are_repeated_and_empty() {
    let test = TestServer::with(|builder| builder.ping_interval(ms(50)).pong_timeout(ms(60_000)));
    let mut client = test.client();
    for _ in 0..5 {
        assert_eq!(client.receive(), Received::Ping(Vec::new()));
    }
}

#[test]
fn ping_interval_follows_pong_timeout() {
    let test = TestServer::with(|builder| builder.pong_timeout(ms(1000)));
    let mut client = test.client();
    assert_eq!(client.receive(), Received::Ping(Vec::new()));
}

#[test]
fn silent_client_is_closed_after_pong_timeout() {
    let test = lively();
    let mut silent = test.client();
    let mut pings = 0;
    let code = loop {
        assert!(pings < 100, "the client is never closed");
        match silent.receive() {
            Received::Ping(_) => pings += 1,
            Received::Close(code, reason) => break (code, reason),
            other => panic!("{other:?}"),
        }
    };
    assert!(pings >= 1, "closed without a ping");
    // With this code, a client knows that it is not at fault, and reconnects.
    assert_eq!(code, (Some(1013), "no sign of life".into()));
    silent.expect_end();
    assert_eq!(test.server.stats().connections, 0);
}

#[test]
fn timed_out_client_is_announced_as_left() {
    let test = lively();
    let mut witness = test.client();
    let silent = test.client();
    // Besides the notices, at most one event arrives per ping interval.
    for _ in 0..200 {
        match witness.receive() {
            Received::Ping(payload) => witness.send(&wire::frame(FIN | PONG, &payload)),
            Received::Packet(packet) => {
                assert_eq!(packet.payload, silent.id.as_bytes());
                if packet.event == "member_left" {
                    return;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("the others are not notified");
}

/// For longer than the pong timeout, answers each ping with a sign of life, after which the
/// connection must still be open. The server pings every 100 ms, so 60 pings take at least 6
/// seconds.
fn keeps_alive(sign: impl Fn(&mut Client)) {
    let test = lively();
    let mut client = test.client();
    let mut pings = 0;
    while pings < 60 {
        match client.receive() {
            Received::Ping(payload) => {
                assert_eq!(payload, b"");
                sign(&mut client);
                pings += 1;
            }
            Received::Packet(_) | Received::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn pong_prevents_timeout() {
    keeps_alive(|client| client.send(&wire::frame(FIN | PONG, b"")));
}

#[test]
fn message_prevents_timeout() {
    keeps_alive(|client| client.send_to_room("nowhere", "hello", b""));
}

#[test]
fn client_ping_prevents_timeout() {
    keeps_alive(|client| client.send(&wire::frame(FIN | PING, b"and you?")));
}

#[test]
fn ping_interval_must_be_below_pong_timeout() {
    for ping in [ms(1000), ms(1001)] {
        let builder = Server::builder().ping_interval(ping).pong_timeout(ms(1000));
        assert_eq!(
            builder.build().err(),
            Some(BuildError::PingInterval { interval: ping, timeout: ms(1000) })
        );
    }
}

/// Sends an incomplete request, which the server must answer with 408 before it closes the
/// connection.
fn times_out(request: &[u8]) {
    let test =
        TestServer::with(|builder| builder.handshake_timeout(ms(300)).close_timeout(ms(300)));
    let mut stream = dial(test.addr);
    // On a busy machine, the server may have closed the connection already.
    let _ = stream.write_all(request);
    let answer = HttpResponse::read(&mut stream, false);
    assert_eq!(answer.status, 408);
    test.wait_for_drain();
}

#[test]
fn silent_handshake_times_out() {
    times_out(b"");
}

#[test]
fn unfinished_handshake_times_out() {
    times_out(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n");
}

#[test]
fn trickled_handshake_times_out() {
    let test =
        TestServer::with(|builder| builder.handshake_timeout(ms(500)).close_timeout(ms(300)));
    let mut stream = dial(test.addr);
    let mut request = HttpRequest::upgrade(test.addr).bytes();
    request.truncate(request.len() - 4);
    request.extend(b"\r\nX-Pad: ");
    request.resize(10_000, b'x');
    // Send one byte every 20 ms. At this rate, the request does not become complete in time.
    stream.set_read_timeout(Some(ms(20))).unwrap();
    let mut answer = Vec::new();
    for byte in request {
        match stream.read_to_end(&mut answer) {
            Ok(_) => break,
            Err(_) => drop(stream.write_all(&[byte])),
        }
    }
    let text = answer.escape_ascii().to_string();
    assert!(answer.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
    test.wait_for_drain();
}

#[test]
fn handshake_timeout_stops_after_handshake() {
    let test = TestServer::with(|builder| builder.handshake_timeout(ms(3000)));
    let mut client = until("no handshake is complete in time", || {
        let mut stream = dial(test.addr);
        let _ = stream.write_all(&HttpRequest::upgrade(test.addr).bytes());
        // On a busy machine, a handshake may take longer than the timeout.
        let mut status = [0; 12];
        uninterrupted(|| stream.peek(&mut status)).unwrap();
        (&status != b"HTTP/1.1 408").then(|| Client::established(stream))
    });
    client.leave_root();
    // This takes longer than the timeout of the handshake.
    for _ in 0..40 {
        assert!(client.is_silent_for(ms(100)));
    }
    client.expect_nothing();
}

#[test]
fn closed_connection_is_ended_if_client_does_not() {
    let test = TestServer::with(|builder| builder.close_timeout(ms(300)));
    let mut client = test.roomless_client();
    client.send(b"garbage");
    client.expect_close(1002);
    // The client neither answers the close frame nor closes its socket.
    test.wait_for_drain();
    drop(client);
}
