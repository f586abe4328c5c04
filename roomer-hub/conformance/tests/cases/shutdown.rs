//! Tests the shutdown of a server.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::alone::alone;
use super::test_server::TestServer;
use roomer_conformance::client::{Client, Received, TIMEOUT};
use roomer_conformance::http::{HttpRequest, dial};
use roomer_conformance::wire;

/// Reads until the server closes the connection with 1001, and answers the close frame.
fn dismissed(client: &mut Client) {
    loop {
        match client.receive() {
            Received::Packet(packet) => assert_eq!(packet.event, "member_left"),
            Received::Close(code, reason) => {
                assert_eq!(code, Some(1001), "{reason}");
                // The server waits for this answer, but not longer than the close timeout.
                let _ = client.stream.write_all(&wire::close(1001, ""));
                return client.expect_end();
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn stop_closes_all_clients_with_1001_and_returns() {
    let mut test = TestServer::start();
    let mut clients: [Client; 12] = test.clients_in("lobby");
    thread::scope(|scope| {
        scope.spawn(|| test.stop());
        clients.iter_mut().for_each(dismissed);
    });
    let stats = test.server.stats();
    assert_eq!((stats.connections, stats.rooms, stats.sockets), (0, 0, 0));
}

#[test]
fn stop_without_connections_returns() {
    let mut test = TestServer::start();
    test.stop();
}

#[test]
fn no_client_is_accepted_after_stop() {
    // Until a process that another test starts has executed its program, it has a copy of the
    // listening socket, which keeps the port open.
    alone("no_client_is_accepted_after_stop", || {
        let mut test = TestServer::start();
        test.client().close();
        test.stop();
        assert!(TcpStream::connect(test.addr).is_err(), "the port is closed");
    });
}

#[test]
fn queued_messages_are_delivered_before_close() {
    let mut test = TestServer::start();
    let [mut a, mut b] = test.clients_in("lobby");
    for n in 0..1000u32 {
        a.send_to_room("lobby", "n", &n.to_be_bytes());
    }
    // The server has read everything that was sent, but the receiver has not read any message yet.
    a.expect_nothing();
    thread::scope(|scope| {
        scope.spawn(|| test.stop());
        dismissed(&mut a);
        for n in 0..1000u32 {
            b.expect("lobby", "n", "", &a.id, &n.to_be_bytes());
        }
        dismissed(&mut b);
    });
}

#[test]
fn unfinished_handshakes_do_not_delay_stop() {
    let mut test = TestServer::with(|builder| builder.handshake_timeout(TIMEOUT * 10));
    let request = HttpRequest::upgrade(test.addr).bytes();
    for cut in [0, 1, request.len() / 2, request.len() - 1] {
        let mut late = dial(test.addr);
        late.write_all(&request[..cut]).unwrap();
        // A client that connected later has been served, so the server has accepted `late` as well.
        test.client().close();
        test.stop();
        let mut answer = Vec::new();
        // Whatever the response is, the connection must have ended without an upgrade.
        let _ = late.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 101"), "{}", answer.escape_ascii());
        test = TestServer::with(|builder| builder.handshake_timeout(TIMEOUT * 10));
    }
}

#[test]
fn clients_connecting_during_stop_are_closed() {
    for _ in 0..50 {
        let mut test = TestServer::with(|builder| builder.close_timeout(TIMEOUT * 2));
        let (addr, request) = (test.addr, HttpRequest::upgrade(test.addr).bytes());
        let come = || {
            // Connect until the port is closed. Clients that are accepted must be closed, and the
            // requests of the others rejected.
            while let Ok(mut stream) = TcpStream::connect(addr) {
                stream.set_read_timeout(Some(TIMEOUT)).unwrap();
                let _ = stream.write_all(&request);
                match stream.read_to_end(&mut Vec::new()) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        panic!("the connection is not closed")
                    }
                    _ => {}
                }
            }
        };
        thread::scope(|scope| {
            (0..3).for_each(|_| drop(scope.spawn(come)));
            scope.spawn(|| test.stop());
        });
    }
}

#[test]
fn unresponsive_client_does_not_delay_stop() {
    let mut test = TestServer::with(|builder| builder.close_timeout(Duration::from_millis(300)));
    let [mut a, b] = test.clients_in("lobby");
    let id = b.id.clone();
    for _ in 0..20 {
        a.send_to_client(&id, "lobby", "large", &wire::filler(50_000));
    }
    a.expect_nothing();
    test.stop();
    drop((a, b));
}
