//! What one does to the others: bursts, noise, flapping, a crowd.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::super::peer::Width;
use super::super::process::Process;
use super::{Crowd, GRANT};
use roomer_conformance::wire;

/// Members of the crowd, and messages to it that are under way at any time.
const MEMBERS: usize = 2000;
const AFLOAT: usize = 5;

/// Rounds of two messages in a quiet room beside it, and how many messages to the crowd may have
/// their turn before one such round.
const ROUNDS: usize = 20;
const SHARE: usize = 8;

/// Each gets everything, though it is sent as fast as the server takes it.
fn whole_and_in_order(width: Width, bursts: &[(usize, u32, usize)]) {
    let mut process = Process::start("quiet=1");
    for &(readers, count, size) in bursts {
        let mut sender = process.client();
        sender.join("lobby");
        let mut crowd = Crowd::of(width, &process, readers, "lobby");
        let message = |n: u32| {
            let payload = [&n.to_be_bytes()[..], &vec![7; size]].concat();
            wire::to_room("lobby", "n", &payload)
        };
        let burst: Vec<u8> = (0..count).flat_map(message).collect();
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
fn bursts_arrive_whole_and_in_order() {
    whole_and_in_order(Width::Usual, &[(1, 5000, 0), (29, 2000, 0)]);
}

/// Whoever sends has to wait, or a reader would come to be owed more than it may be.
#[test]
fn more_than_a_reader_may_be_owed_arrives_whole_and_in_order() {
    whole_and_in_order(Width::Narrow, &[(1, 300, 100_000)]);
}

#[test]
fn a_noisy_and_a_flapping_client_get_nobody_else_disconnected() {
    // Whether these two read fast enough on a busy machine is not the subject.
    let mut process = Process::start("quiet=1 backlog=8388608");
    let mut crowd = Crowd::gather(&process, 20, "lobby");
    let before = process.level();
    let [mut noisy, flapping] = [(); 2].map(|()| process.client());
    noisy.join("lobby");
    let flap = [wire::to_room("lobby", "join", b""), wire::to_room("lobby", "leave", b"")].concat();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut writer = noisy.stream.try_clone().unwrap();
        scope.spawn(move || {
            let noise = wire::to_room("lobby", "noise", &[7; 100]).repeat(100);
            (0..60).for_each(|_| writer.write_all(&noise).unwrap());
            writer.write_all(&wire::to_room("lobby", "end", b"")).unwrap();
        });
        // They read what they get, so that only what they say may cost others anything.
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
                b"new_member" | b"member_left" => flaps += 1,
                _ => ends += usize::from(view.event == b"end"),
            }
            // The noisy one came after them; the flapping one came and went a thousand times.
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
    process.recovers(before, GRANT);
    process.stop();
}

#[test]
fn a_crowd_that_is_flooded_does_not_stop_another_room() {
    let mut process = Process::start("quiet=1");
    drop(Crowd::gather(&process, MEMBERS, "crowd"));
    process.until(|numbers| numbers.sockets == 0);
    let before = process.level();
    let mut crowd = Crowd::gather(&process, MEMBERS, "crowd");
    let [mut a, mut b] = [(); 2].map(|()| process.client());
    a.join("quiet");
    b.join("quiet");
    a.expect_new_member("quiet", &b.id);
    let is_over = AtomicBool::new(false);
    let said = thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                a.send_to_room("quiet", "hello", b"a");
                b.expect("quiet", "hello", "", &a.id, b"a");
                b.send_to_room("quiet", "hello", b"b");
                a.expect("quiet", "hello", "", &b.id, b"b");
            }
            is_over.store(true, Ordering::Relaxed);
        });
        // There is always more to be written to the crowd, for as long as it takes.
        let (mut said, mut heard) = (0, 0);
        while !is_over.load(Ordering::Relaxed) || heard < said * (MEMBERS - 1) {
            if !is_over.load(Ordering::Relaxed) && said * (MEMBERS - 1) < heard + AFLOAT * MEMBERS {
                let speaker = said * 7 % MEMBERS;
                crowd.peers[speaker].send(&wire::to_room("crowd", "flood", &[1; 100]));
                said += 1;
            }
            crowd.turn(|_, _, view| {
                heard += usize::from(view.event == b"flood");
                false
            });
        }
        said
    });
    eprintln!("{ROUNDS} rounds in a quiet room beside {said} messages to {MEMBERS}");
    assert!(said < ROUNDS * SHARE, "{said} messages to {MEMBERS} came before {ROUNDS} rounds");
    drop(crowd);
    drop([a, b]);
    process.recovers(before, GRANT);
    process.stop();
}
