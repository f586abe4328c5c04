//! Ends: the process's, by SIGTERM, and those of clients that are dead and do not say so.

use std::io::Write;
use std::time::Instant;

use rustix::process::Signal;

use super::super::process::Process;
use super::{Crowd, GRANT};
use roomer_conformance::client::{Client, Received, TIMEOUT};
use roomer_conformance::http::{HttpRequest, dial};
use roomer_conformance::wire;

/// Reads until the close frame and returns how many last words came before it.
fn hear_out(client: &mut Client, code: u16) -> usize {
    let mut words = 0;
    loop {
        match client.receive() {
            Received::Packet(packet) => words += usize::from(packet.event == "last"),
            Received::Close(seen, reason) => {
                assert_eq!(seen, Some(code), "{reason}");
                break words;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn sigterm_closes_everybody_with_1001_after_what_they_are_owed_and_ends_well() {
    let mut process = Process::start("quiet=1 close=2500");
    let mut clients: Vec<Client> = (0..100).map(|_| process.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.join("lobby").len(), n + 1);
    }
    // One that is stuck, and one in the middle of its handshake, must not hold it up for ever.
    let mut stuck = process.client();
    stuck.send(&wire::header(wire::FIN | wire::BINARY, 100));
    let mut half = dial(process.addr);
    half.write_all(&HttpRequest::upgrade(process.addr).bytes()[..50]).unwrap();
    let (first, others) = clients.split_first_mut().unwrap();
    (0..50).for_each(|_| first.send_to_room("lobby", "last", b"words"));
    // One that has not read yet what it was told: more than sockets hold, less than it may be owed.
    let mut late = process.client();
    (0..60).for_each(|_| first.send_to_client(&late.id, "", "last", &[7; 10_000]));
    // It is said once its own next message is through, and that comes after the others' notices.
    let id = first.id.clone();
    first.send_to_client(&id, "", "fence", b"");
    while first.expect_packet().event != "fence" {}
    process.signal(Signal::TERM);
    others.iter_mut().for_each(|other| assert_eq!(hear_out(other, 1001), 50));
    assert_eq!(hear_out(&mut late, 1001), 60);
    hear_out(first, 1001);
    hear_out(&mut stuck, 1001);
    drop((clients, late));
    let status = process.ended();
    assert!(status.success(), "{status}");
}

#[test]
fn peers_that_are_dead_and_do_not_say_so_are_gone_within_the_pong_wait() {
    let mut process = Process::start("quiet=1 ping=500 pong=2500 close=500");
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
    // Their sockets are given up, too, though they never answer.
    let start = Instant::now();
    while process.numbers().sockets > 5 {
        assert!(start.elapsed() < TIMEOUT, "they are held on to");
        healthy.turn(|_, _, _| false);
    }
    let numbers = process.numbers();
    assert_eq!(numbers.closes.get(&1013), Some(&dead.len()), "{numbers:?}");
    drop((healthy, dead));
    process.recovers(before, GRANT / 4);
    process.stop();
}
