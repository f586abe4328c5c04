//! Tests attackers that do not read.

use std::io::Write;
use std::sync::mpsc;
use std::thread;

use super::super::process::Process;
use super::{ALLOCATOR_ALLOWANCE, Crowd};
use roomer_conformance::client::Client;
use roomer_conformance::wire;

/// The total size of the messages to the room, in bytes.
const FLOOD: usize = 24 << 20;
/// The size of each message, in bytes.
const SIZE: usize = 4000;

/// The number of groups of messages that the slowest of the other members may lag behind the sender.
/// They take up less than half of the backlog, so that this member does not count as a slow reader.
const AHEAD: u32 = 2;
/// The number of messages in a group.
const GROUP: u32 = 50;

/// Floods a room that has this many stuck readers. The other members must not lose any message.
/// Returns the growth of the server's peak memory, in KiB.
fn flood(process: &mut Process, stuck: usize) -> usize {
    let stuck: Vec<Client> = (0..stuck)
        .map(|_| {
            let mut client = process.client();
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
    let (permits, received) = mpsc::channel();
    thread::scope(|scope| {
        // Drop the permits at the end of the closure, so that the sender does not block if an
        // assertion fails.
        let permits = permits;
        scope.spawn(move || {
            for n in 0..count {
                // Without this limit on the sender, the other members would count as slow readers
                // on a busy machine.
                let is_ahead = n % GROUP == 0 && n >= AHEAD * GROUP;
                if is_ahead && received.recv().is_err() {
                    return;
                }
                let payload = [&n.to_be_bytes()[..], &[7; SIZE]].concat();
                writer.write_all(&wire::to_room("lobby", "flood", &payload)).unwrap();
            }
        });
        let (mut next, mut done, mut left, mut groups) = ([0; 4], 0, 0, 0);
        crowd.until(|reader, _, view| {
            if view.event == b"flood" {
                assert!(view.payload.starts_with(&u32::to_be_bytes(next[reader])), "of {reader}");
                next[reader] += 1;
                done += usize::from(next[reader] == count);
                if next.iter().all(|next| *next >= (groups + 1) * GROUP) {
                    groups += 1;
                    // The send fails once the sender has sent its last message and ended.
                    let _ = permits.send(());
                }
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
fn one_stalled_reader_costs_at_most_its_limit() {
    let mut process = Process::start_busy("quiet=1");
    let before = process.level();
    let grown = flood(&mut process, 1);
    // This memory contains the stuck reader's backlog, and the messages that the other members have
    // not read yet.
    assert!(grown < 10 * 1024, "{grown} KiB");
    eprintln!("{grown} KiB for one stuck reader");
    process.recovers(before, ALLOCATOR_ALLOWANCE);
    process.stop();
}

#[test]
fn thousand_stalled_readers_share_one_backlog() {
    // On a busy machine, healthy clients may be delayed while a thousand others are closed. They
    // must not be closed as slow readers.
    let mut process = Process::start_busy("quiet=1 backlog=8388608");
    let before = process.level();
    let grown = flood(&mut process, 1000);
    eprintln!("{grown} KiB for a thousand stuck readers");
    assert!(grown < 64 * 1024, "{grown} KiB");
    // Double the allowance: an allocator keeps more memory after the first load than later.
    process.recovers(before, 2 * ALLOCATOR_ALLOWANCE);
    process.stop();
}
