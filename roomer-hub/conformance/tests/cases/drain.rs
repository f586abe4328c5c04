//! The end of serving, a few at a time. How many when is tested in virtual time; here, that an
//! adapter goes on meanwhile, and comes to an end.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use roomer_engine::DrainReport;

use super::site::{Site, block_on};
use roomer_conformance::client::{Client, PATIENCE, Seen};
use roomer_conformance::http::{Answer, Ask, dial};

/// What became of the connections, once that is over.
fn told(site: &Site) -> (usize, usize) {
    let DrainReport { closed, cut, .. } = block_on(site.server.drain());
    (closed, cut)
}

/// Reads on to the close frame.
fn dismissed(client: &mut Client) -> Option<u16> {
    loop {
        match client.next() {
            Seen::Packet(packet) => assert_eq!(packet.event, "member_left"),
            Seen::Close(code, _) => return code,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_is_in_talks_on_newcomers_hear_503_and_a_shutdown_ends_it() {
    let mut site = Site::with(|builder| {
        // The last is due after more than all patience.
        builder.drain(PATIENCE * 2, 1).health("/live", "/ready").page("/", "text/plain", "page")
    });
    let mut clients: Vec<Client> = (0..40).map(|_| site.loner()).collect();
    let addr = site.addr;
    let server = site.server.clone();
    thread::scope(|scope| {
        scope.spawn(|| site.stop());
        assert_eq!(dismissed(&mut clients[0]), Some(1001));
        // The port is open, and says what it does.
        let status = |target| Ask::plain(addr).target(target).refused(addr).status;
        assert_eq!(Ask::upgrade(addr).refused(addr).status, 503);
        assert_eq!((status("/live"), status("/ready"), status("/")), (200, 503, 200));
        let id = clients[39].id.clone();
        clients[38].tell(&id, "lobby", "hello", b"still here");
        let own = clients[38].id.clone();
        clients[39].expect("lobby", "hello", &id, &own, b"still here");
        server.shutdown();
        for client in &mut clients[1..] {
            assert_eq!(dismissed(client), Some(1001));
        }
        drop(clients);
    });
    assert_eq!(told(&site), (40, 0));
}

#[test]
fn at_the_deadline_the_rest_is_cut() {
    let mut site = Site::with(|builder| {
        builder.close_timeout(PATIENCE * 10).drain(Duration::from_millis(700), 1)
    });
    // Nobody answers a close frame, and nobody else ends the wait for it.
    let mut clients: [Client; 4] = site.loners();
    let start = Instant::now();
    site.stop();
    assert!((Duration::from_millis(700)..PATIENCE).contains(&start.elapsed()));
    assert_eq!(told(&site), (0, 4));
    for client in &mut clients {
        assert_eq!(dismissed(client), Some(1001), "there was room for it");
        assert!(matches!(client.next(), Seen::End | Seen::Reset));
    }
}

#[test]
fn it_is_over_when_the_last_has_gone_by_itself() {
    let mut site = Site::with(|builder| builder.drain(PATIENCE * 2, 1));
    let mut clients: Vec<Client> = (0..40).map(|_| site.loner()).collect();
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| site.stop());
        assert_eq!(dismissed(&mut clients[0]), Some(1001));
        drop(clients);
    });
    assert!(start.elapsed() < PATIENCE);
    assert_eq!(told(&site), (40, 0));
}

#[test]
fn a_handshake_under_way_hears_503_if_it_asks_while_the_server_drains() {
    let mut site = Site::with(|builder| builder.drain(PATIENCE * 2, 1));
    let mut clients: Vec<Client> = (0..40).map(|_| site.loner()).collect();
    let request = Ask::upgrade(site.addr).bytes();
    let (mut late, mut silent) = (dial(site.addr), dial(site.addr));
    late.write_all(&request[..40]).unwrap();
    let server = site.server.clone();
    thread::scope(|scope| {
        scope.spawn(|| site.stop());
        assert_eq!(dismissed(&mut clients[0]), Some(1001));
        late.write_all(&request[40..]).unwrap();
        assert_eq!(Answer::read(&mut late, false).status, 503);
        server.shutdown();
        drop((clients, late));
        // One that never asks does not hold up the end.
        let _ = silent.read_to_end(&mut Vec::new());
    });
    assert_eq!(told(&site), (40, 0));
}
