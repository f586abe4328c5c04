//! Tests a shutdown by SIGTERM, and clients that disappear without closing their connections.

use std::io::Write;
use std::time::Instant;

use rustix::process::Signal;

use super::super::process::Process;
use super::{ALLOCATOR_ALLOWANCE, Crowd};
use roomer_conformance::client::{Client, Received, TIMEOUT};
use roomer_conformance::http::{HttpRequest, dial};
use roomer_conformance::wire;

/// Reads until a close frame arrives. Returns the number of `last` messages before that.
fn count_until_close(client: &mut Client, code: u16) -> usize {
    let mut count = 0;
    loop {
        match client.receive() {
            Received::Packet(packet) => count += usize::from(packet.event == "last"),
            Received::Close(seen, reason) => {
                assert_eq!(seen, Some(code), "{reason}");
                break count;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn sigterm_closes_with_1001_after_queued_messages() {
    let mut process = Process::start("quiet=1 close=6000");
    let mut clients: Vec<Client> = (0..100).map(|_| process.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.join("lobby").len(), n + 1);
    }
    // Neither a client that does not read nor an incomplete handshake may delay the end beyond the
    // close timeout.
    let mut stuck = process.client();
    stuck.send(&wire::header(wire::FIN | wire::BINARY, 100));
    let mut half = dial(process.addr);
    half.write_all(&HttpRequest::upgrade(process.addr).bytes()[..50]).unwrap();
    let (first, others) = clients.split_first_mut().unwrap();
    (0..50).for_each(|_| first.send_to_room("lobby", "last", b"message"));
    // This client leaves messages unread: more than sockets buffer, but less than the backlog.
    let mut late = process.client();
    (0..60).for_each(|_| first.send_to_client(&late.id, "", "last", &[7; 10_000]));
    // When the next message that this client sends to itself arrives, the server has handled all
    // earlier messages.
    let id = first.id.clone();
    first.send_to_client(&id, "", "fence", b"");
    while first.expect_packet().event != "fence" {}
    process.signal(Signal::TERM);
    // This client must read before the close timeout. What the others receive fits into their
    // sockets.
    assert_eq!(count_until_close(&mut late, 1001), 60);
    others.iter_mut().for_each(|other| assert_eq!(count_until_close(other, 1001), 50));
    count_until_close(first, 1001);
    count_until_close(&mut stuck, 1001);
    drop((clients, late));
    let status = process.ended();
    assert!(status.success(), "{status}");
}

#[test]
fn dead_peers_are_closed_after_pong_timeout() {
    // The healthy clients answer no pings while the others connect.
    let mut process = Process::start("quiet=1 ping=500 pong=6000 close=500");
    let mut healthy = Crowd::gather(&process, 5, "lobby");
    let before = process.level();
    let dead: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = process.client();
            client.send_to_room("lobby", "join", b"");
            client
        })
        .collect();
    let (mut came, mut left) = (0, 0);
    healthy.until(|index, _, view| {
        if index == 0 {
            came += usize::from(view.event == b"new_member");
            left += usize::from(view.event == b"member_left");
        }
        left == dead.len()
    });
    assert_eq!(came, dead.len());
    // The server must also close the sockets of clients that have disappeared, although they never
    // answer.
    let deadline = Instant::now() + TIMEOUT;
    while process.numbers().sockets > 5 {
        assert!(Instant::now() < deadline, "their sockets stay open");
        healthy.turn(|_, _, _| false);
    }
    let numbers = process.numbers();
    assert_eq!(numbers.closes.get(&1013), Some(&dead.len()), "{numbers:?}");
    drop((healthy, dead));
    process.recovers(before, ALLOCATOR_ALLOWANCE / 4);
    process.stop();
}
