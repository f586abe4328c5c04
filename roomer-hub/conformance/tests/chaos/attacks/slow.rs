//! Readers that do not read.

use std::io::Write;
use std::thread;

use super::super::process::Process;
use super::{Crowd, GRANT};
use roomer_conformance::client::Client;
use roomer_conformance::wire;

/// What the room is flooded with, in bytes, and one message's.
const FLOOD: usize = 24 << 20;
const SIZE: usize = 4000;

/// So many readers are stuck in a flooded room; the others lose nothing. Returns by how much the
/// server's memory has grown at the most, in KiB.
fn flood(process: &mut Process, stuck: usize) -> usize {
    let stuck: Vec<Client> = (0..stuck)
        .map(|_| {
            let mut client = process.client();
            // Its own notices are what it takes no notice of first.
            client.send_to_room("lobby", "join", b"");
            client
        })
        .collect();
    process.until(|numbers| numbers.memberships == 2 * stuck.len());
    let mut sender = process.client();
    sender.join("lobby");
    let mut crowd = Crowd::gather(process, 4, "lobby");
    let before = process.level();
    process.forget_peak();
    let mut writer = sender.stream.try_clone().unwrap();
    let count = (FLOOD / SIZE) as u32;
    thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..count {
                let payload = [&n.to_be_bytes()[..], &[7; SIZE]].concat();
                writer.write_all(&wire::to_room("lobby", "flood", &payload)).unwrap();
            }
        });
        let (mut next, mut done, mut left) = ([0; 4], 0, 0);
        crowd.until(|reader, _, view| {
            if view.event == b"flood" {
                assert!(view.payload.starts_with(&u32::to_be_bytes(next[reader])), "of {reader}");
                next[reader] += 1;
                done += usize::from(next[reader] == count);
            }
            left += usize::from(view.event == b"member_left");
            done == 4 && left == 4 * stuck.len()
        });
    });
    let numbers = process.numbers();
    assert_eq!(numbers.closes.get(&1013), Some(&stuck.len()), "{numbers:?}");
    let grown = process.peak().saturating_sub(before.memory);
    stuck.into_iter().for_each(Client::reset);
    drop((sender, crowd));
    process.until(|numbers| numbers.sockets == 0);
    grown
}

#[test]
fn one_stuck_reader_costs_its_limit_and_the_others_lose_nothing() {
    let mut process = Process::start("quiet=1");
    let before = process.level();
    let grown = flood(&mut process, 1);
    // Its backlog, and what the others are behind by.
    assert!(grown < 10 * 1024, "{grown} KiB");
    eprintln!("{grown} KiB for one stuck reader");
    process.recovers(before, GRANT);
    process.stop();
}

#[test]
fn a_thousand_stuck_readers_cost_little_more_than_one() {
    // A busy machine may let the good ones wait while a thousand are closed: that is not to be
    // taken for slowness.
    let mut process = Process::start("quiet=1 backlog=8388608");
    let before = process.level();
    let grown = flood(&mut process, 1000);
    eprintln!("{grown} KiB for a thousand stuck readers");
    assert!(grown < 64 * 1024, "{grown} KiB");
    // A first storm: the allocator keeps some of what it has had.
    process.recovers(before, 2 * GRANT);
    process.stop();
}
