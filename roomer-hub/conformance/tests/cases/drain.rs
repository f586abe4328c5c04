//! Tests that an adapter keeps serving during a drain, and ends after it.
//!
//! The rate of a drain is tested in virtual time.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use roomer_engine::DrainReport;

use super::test_server::{TestServer, block_on};
use roomer_conformance::client::{Client, Received, TIMEOUT};
use roomer_conformance::http::{HttpRequest, HttpResponse, dial};

/// Returns how many connections the drain closed cleanly and how many it cut off.
fn drain_counts(test: &TestServer) -> (usize, usize) {
    let DrainReport { closed, aborted, .. } = block_on(test.server.drain());
    (closed, aborted)
}

/// Reads until a close frame arrives. Returns the code in it.
fn dismissed(client: &mut Client) -> Option<u16> {
    loop {
        match client.receive() {
            Received::Packet(packet) => assert_eq!(packet.event, "member_left"),
            Received::Close(code, _) => return code,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn drain_serves_open_clients_and_rejects_new_with_503() {
    let mut test = TestServer::with(|builder| {
        // At this rate, closing the last connection would take longer than any test waits.
        builder.drain(TIMEOUT * 2, 1).health("/live", "/ready").page("/", "text/plain", "page")
    });
    let mut clients: Vec<Client> = (0..40).map(|_| test.roomless_client()).collect();
    let addr = test.addr;
    let server = test.server.clone();
    thread::scope(|scope| {
        scope.spawn(|| test.stop());
        assert_eq!(dismissed(&mut clients[0]), Some(1001));
        // During the drain, the port stays open, and requests are answered.
        let status = |target| HttpRequest::plain(addr).target(target).rejected(addr).status;
        assert_eq!(HttpRequest::upgrade(addr).rejected(addr).status, 503);
        assert_eq!((status("/live"), status("/ready"), status("/")), (200, 503, 200));
        let id = clients[39].id.clone();
        clients[38].send_to_client(&id, "lobby", "hello", b"still here");
        let own = clients[38].id.clone();
        clients[39].expect("lobby", "hello", &id, &own, b"still here");
        server.shutdown();
        for client in &mut clients[1..] {
            assert_eq!(dismissed(client), Some(1001));
        }
        drop(clients);
    });
    assert_eq!(drain_counts(&test), (40, 0));
}

#[test]
fn drain_deadline_aborts_remaining_clients() {
    let mut test = TestServer::with(|builder| {
        builder.close_timeout(TIMEOUT * 10).drain(Duration::from_millis(700), 1)
    });
    // None of the clients answers its close frame, so the drain ends only at its deadline.
    let mut clients: [Client; 4] = test.roomless_clients();
    test.stop();
    assert_eq!(drain_counts(&test), (0, 4));
    for client in &mut clients {
        assert_eq!(dismissed(client), Some(1001), "the socket had room for it");
        assert!(matches!(client.receive(), Received::End | Received::Reset));
    }
}

#[test]
fn drain_ends_with_last_client() {
    let mut test = TestServer::with(|builder| builder.drain(TIMEOUT * 2, 1));
    let mut clients: Vec<Client> = (0..40).map(|_| test.roomless_client()).collect();
    thread::scope(|scope| {
        scope.spawn(|| test.stop());
        assert_eq!(dismissed(&mut clients[0]), Some(1001));
        drop(clients);
    });
    assert_eq!(drain_counts(&test), (40, 0));
}

#[test]
fn handshake_completed_during_drain_gets_503() {
    let mut test = TestServer::with(|builder| builder.drain(TIMEOUT * 2, 1));
    let mut clients: Vec<Client> = (0..40).map(|_| test.roomless_client()).collect();
    let request = HttpRequest::upgrade(test.addr).bytes();
    let (mut late, mut silent) = (dial(test.addr), dial(test.addr));
    late.write_all(&request[..40]).unwrap();
    let server = test.server.clone();
    thread::scope(|scope| {
        scope.spawn(|| test.stop());
        assert_eq!(dismissed(&mut clients[0]), Some(1001));
        late.write_all(&request[40..]).unwrap();
        assert_eq!(HttpResponse::read(&mut late, false).status, 503);
        server.shutdown();
        drop((clients, late));
        // A client that never sends a request must not delay the end of the drain.
        let _ = silent.read_to_end(&mut Vec::new());
    });
    assert_eq!(drain_counts(&test), (40, 0));
}
