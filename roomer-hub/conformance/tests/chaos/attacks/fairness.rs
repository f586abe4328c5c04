//! Tests how one client affects others: bursts, noise, frequent joins, large rooms.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::super::peer::ReceiveBuffer;
use super::super::process::Process;
use super::{ALLOCATOR_ALLOWANCE, Crowd};
use roomer_conformance::wire;

/// The number of members of the large room.
const MEMBERS: usize = 2000;
/// The maximum number of messages to the large room that are in flight.
const IN_FLIGHT: usize = 5;

/// The number of rounds in the quiet room. In each round, two messages are sent.
const ROUNDS: usize = 20;
/// The number of messages that may be delivered to the large room before each round in the quiet
/// room.
const SHARE: usize = 8;

/// Checks that every reader receives all messages, although the sender sends as fast as the server
/// reads.
fn completely_and_in_order(
    options: &str,
    receive_buffer: ReceiveBuffer,
    bursts: &[(usize, u32, usize)],
) {
    let mut process = Process::start_busy(options);
    for &(readers, count, size) in bursts {
        let mut sender = process.client();
        sender.join("lobby");
        let mut crowd = Crowd::of(receive_buffer, &process, readers, "lobby");
        let message = |n: u32| {
            let payload = [&n.to_be_bytes()[..], &vec![7; size]].concat();
            wire::to_room("lobby", "n", &payload)
        };
        let burst = (0..count).map(message).collect::<Vec<_>>().concat();
        let mut writer = sender.stream.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&burst).unwrap());
            let (mut next, mut done) = (vec![0; readers], 0);
            crowd.until(|reader, _, view| {
                if view.event == b"n" {
                    assert!(view.payload.starts_with(&u32::to_be_bytes(next[reader])));
                    next[reader] += 1;
                    done += usize::from(next[reader] == count);
                }
                done == readers
            });
        });
        drop((sender, crowd));
        let numbers = process.until(|numbers| numbers.sockets == 0);
        assert!(numbers.closes.is_empty(), "{numbers:?}");
    }
    process.stop();
}

#[test]
fn bursts_arrive_in_order() {
    let bursts = [(1, 5000, 0), (29, 2000, 0)];
    completely_and_in_order("quiet=1", ReceiveBuffer::Default, &bursts);
}

/// If the server did not pause reading from the sender, a reader's queue would exceed the backlog.
#[test]
fn more_than_backlog_arrives_in_order() {
    // With this backlog, a reader whose thread does not run for a second still uses less than half
    // of it.
    let options = "quiet=1 backlog=67108864";
    completely_and_in_order(options, ReceiveBuffer::Small, &[(1, 700, 100_000)]);
}

#[test]
fn flooding_and_flapping_clients_disconnect_no_other() {
    // On a busy machine, the two clients may read slowly. Their speed is not under test, so use a
    // larger backlog.
    let mut process = Process::start_busy("quiet=1 backlog=8388608");
    let mut crowd = Crowd::gather(&process, 20, "lobby");
    let before = process.level();
    let [mut noisy, flapping] = [(); 2].map(|()| process.client());
    noisy.join("lobby");
    let flap = [wire::to_room("lobby", "join", b""), wire::to_room("lobby", "leave", b"")].concat();
    // Check only the notices about these two clients: the members of the crowd may not have read
    // all notices about each other.
    let ids = [noisy.id.clone(), flapping.id.clone()];
    let ids = ids.each_ref().map(String::as_bytes);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut writer = noisy.stream.try_clone().unwrap();
        scope.spawn(move || {
            let noise = wire::to_room("lobby", "noise", &[7; 100]).repeat(100);
            (0..60).for_each(|_| writer.write_all(&noise).unwrap());
            writer.write_all(&wire::to_room("lobby", "end", b"")).unwrap();
        });
        // Both attackers read everything that they receive, so they affect others only through the
        // packets that they send.
        for mut client in [noisy.stream.try_clone().unwrap(), flapping.stream.try_clone().unwrap()]
        {
            scope.spawn(move || std::io::copy(&mut client, &mut std::io::sink()));
        }
        let mut writer = flapping.stream.try_clone().unwrap();
        scope.spawn(move || {
            let flaps = flap.repeat(50);
            (0..20).for_each(|_| writer.write_all(&flaps).unwrap());
        });
        let (mut noise, mut flaps, mut ends) = (0, 0, 0);
        crowd.until(|_, _, view| {
            match view.event {
                b"noise" => noise += 1,
                b"new_member" | b"member_left" if ids.contains(&view.payload) => flaps += 1,
                _ => ends += usize::from(view.event == b"end"),
            }
            // Each of the 20 members must receive a notice that the noisy client has joined, and
            // two notices for each of the flapping client's thousand joins.
            ends == 20 && flaps == 20 * 2000 + 20
        });
        assert_eq!(noise, 20 * 6000);
        is_over.store(true, Ordering::Relaxed);
        noisy.shutdown_write();
        flapping.shutdown_write();
    });
    let numbers = process.until(|numbers| numbers.sockets == 20);
    assert!(numbers.closes.is_empty(), "{numbers:?}");
    drop(crowd);
    process.recovers(before, ALLOCATOR_ALLOWANCE);
    process.stop();
}

#[test]
fn flooded_large_room_does_not_starve_another() {
    let mut process = Process::start_busy("quiet=1");
    drop(Crowd::gather(&process, MEMBERS, "crowd"));
    process.until(|numbers| numbers.sockets == 0);
    let before = process.level();
    let mut crowd = Crowd::gather(&process, MEMBERS, "crowd");
    let [mut a, mut b] = [(); 2].map(|()| process.client());
    a.join("quiet");
    b.join("quiet");
    a.expect_new_member("quiet", &b.id);
    let is_over = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                a.send_to_room("quiet", "hello", b"a");
                b.expect("quiet", "hello", "", &a.id, b"a");
                b.send_to_room("quiet", "hello", b"b");
                a.expect("quiet", "hello", "", &b.id, b"b");
            }
            is_over.store(true, Ordering::Relaxed);
        });
        // Keep messages to the large room in flight until all rounds are over.
        let (mut sent, mut heard) = (0, 0);
        while !is_over.load(Ordering::Relaxed) || heard < sent * (MEMBERS - 1) {
            if !is_over.load(Ordering::Relaxed)
                && sent * (MEMBERS - 1) < heard + IN_FLIGHT * MEMBERS
            {
                let speaker = sent * 7 % MEMBERS;
                crowd.peers[speaker].send(&wire::to_room("crowd", "flood", &[1; 100]));
                sent += 1;
            }
            crowd.turn(|_, _, view| {
                heard += usize::from(view.event == b"flood");
                false
            });
        }
        sent
    });
    eprintln!("{ROUNDS} rounds in a quiet room beside {sent} messages to {MEMBERS}");
    assert!(sent < ROUNDS * SHARE, "{sent} messages to {MEMBERS} came before {ROUNDS} rounds");
    drop(crowd);
    drop([a, b]);
    process.recovers(before, ALLOCATOR_ALLOWANCE);
    process.stop();
}
