//! The end of serving, a few at a time. How many when is tested in virtual time; here, that an
//! adapter goes on meanwhile, and comes to an end.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use roomer_engine::DrainReport;

use super::test_server::{TestServer, block_on};
use roomer_conformance::client::{Client, Received, TIMEOUT};
use roomer_conformance::http::{HttpRequest, HttpResponse, dial};

/// What became of the connections, once that is over.
fn told(test: &TestServer) -> (usize, usize) {
    let DrainReport { closed, cut, .. } = block_on(test.server.drain());
    (closed, cut)
}

/// Reads on to the close frame.
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
fn who_is_in_talks_on_newcomers_hear_503_and_a_shutdown_ends_it() {
    let mut test = TestServer::with(|builder| {
        // The last is due after more than all patience.
        builder.drain(TIMEOUT * 2, 1).health("/live", "/ready").page("/", "text/plain", "page")
    });
    let mut clients: Vec<Client> = (0..40).map(|_| test.roomless_client()).collect();
    let addr = test.addr;
    let server = test.server.clone();
    thread::scope(|scope| {
        scope.spawn(|| test.stop());
        assert_eq!(dismissed(&mut clients[0]), Some(1001));
        // The port is open, and says what it does.
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
    assert_eq!(told(&test), (40, 0));
}

#[test]
fn at_the_deadline_the_rest_is_cut() {
    let mut test = TestServer::with(|builder| {
        builder.close_timeout(TIMEOUT * 10).drain(Duration::from_millis(700), 1)
    });
    // Nobody answers a close frame, and nobody else ends the wait for it.
    let mut clients: [Client; 4] = test.roomless_clients();
    let start = Instant::now();
    test.stop();
    assert!((Duration::from_millis(700)..TIMEOUT).contains(&start.elapsed()));
    assert_eq!(told(&test), (0, 4));
    for client in &mut clients {
        assert_eq!(dismissed(client), Some(1001), "there was room for it");
        assert!(matches!(client.receive(), Received::End | Received::Reset));
    }
}

#[test]
fn it_is_over_when_the_last_has_gone_by_itself() {
    let mut test = TestServer::with(|builder| builder.drain(TIMEOUT * 2, 1));
    let mut clients: Vec<Client> = (0..40).map(|_| test.roomless_client()).collect();
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| test.stop());
        assert_eq!(dismissed(&mut clients[0]), Some(1001));
        drop(clients);
    });
    assert!(start.elapsed() < TIMEOUT);
    assert_eq!(told(&test), (40, 0));
}

#[test]
fn a_handshake_under_way_hears_503_if_it_asks_while_the_server_drains() {
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
        // One that never asks does not hold up the end.
        let _ = silent.read_to_end(&mut Vec::new());
    });
    assert_eq!(told(&test), (40, 0));
}
