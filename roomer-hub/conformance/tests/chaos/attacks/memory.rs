//! Many who each hold what one may hold: together they stay within the budget.

use std::io::Write;

use super::super::process::Process;
use super::GRANT;
use roomer_conformance::client::Client;
use roomer_conformance::wire::{self, BINARY, FIN};

/// The budget, in KiB, and what those who hold would hold together without it.
const BUDGET: usize = 8 * 1024;
const HOLDERS: usize = 60;
const EACH: usize = 900_000;

/// Memory beyond the budget, in KiB: what one turn queues, buffers that have grown in advance, and
/// what the allocator keeps.
const BESIDE: usize = 16 * 1024;

/// After so many rounds memory must have stopped growing: the allocator may keep an arena for each
/// thread, as large as it once was. What is leaked grows with each round.
const ROUNDS: usize = 5;

/// Again and again: so many hold as much as each may; a healthy pair is there as before. What one
/// round leaves with the allocator must do for the next.
fn within_budget(hold: impl Fn(&mut Process, &mut Client, &mut [Client])) {
    let options = "quiet=1 message=1000000 write=60000 close=500";
    let mut process = Process::start(&format!("{options} budget={}", BUDGET * 1024));
    round(&mut process, &hold);
    let mut levels = vec![process.level()];
    loop {
        round(&mut process, &hold);
        match process.comes_back(levels[levels.len() - 1], GRANT / 2) {
            Ok(()) => break,
            Err(level) => levels.push(level),
        }
        assert!(levels.len() < ROUNDS, "it grows with each round: {levels:?}");
    }
    process.stop();
}

fn round(process: &mut Process, hold: impl Fn(&mut Process, &mut Client, &mut [Client])) {
    let closed = process.numbers().closes.get(&1013).copied().unwrap_or(0);
    let [mut a, mut b] = [(); 2].map(|()| process.client());
    a.join("lobby");
    b.join("lobby");
    a.expect_new_member("lobby", &b.id);
    let mut holders: Vec<_> = (0..HOLDERS).map(|_| process.client()).collect();
    let before = process.level();
    process.forget_peak();
    hold(process, &mut a, &mut holders);
    let grown = process.peak().saturating_sub(before.memory);
    let numbers = process.numbers();
    eprintln!("{grown} KiB for {HOLDERS} times {EACH} bytes; closed {:?}", numbers.closes);
    assert!(grown < BUDGET + BESIDE, "{grown} KiB");
    let closed = numbers.closes.get(&1013).copied().unwrap_or(0) - closed;
    assert!(closed > 0 && closed < HOLDERS, "{closed} of {HOLDERS} are closed");
    a.send_to_room("lobby", "hello", b"a");
    b.expect("lobby", "hello", "", &a.id, b"a");
    a.expect_nothing();
    holders.into_iter().for_each(Client::reset);
    drop([a, b]);
    process.until(|numbers| numbers.sockets == 0);
}

#[test]
fn stuck_readers_of_messages_of_their_own_stay_within_the_budget() {
    const SIZE: usize = 9_000;
    within_budget(|_, sender, stuck| {
        for _ in 0..EACH / SIZE {
            for one in &*stuck {
                sender.send_to_client(&one.id, "", "flood", &[7; SIZE]);
            }
        }
        sender.expect_nothing();
    });
}

#[test]
fn unfinished_messages_stay_within_the_budget() {
    within_budget(|process, _, liars| {
        let seen = process.numbers().bytes_in;
        for liar in liars {
            liar.send(&wire::header(FIN | BINARY, EACH as u64 + 1));
            // It may be closed meanwhile, and cut.
            let _ = liar.stream.write_all(&[7; EACH]);
        }
        // All that is still open, but for the pair, has been read to the last byte.
        process.until(|numbers| numbers.bytes_in - seen >= (numbers.connections - 2) * EACH);
    });
}
