//! Tests that many clients that each hold as much memory as allowed stay within the memory budget.

use std::io::Write;

use super::super::process::Process;
use super::ALLOCATOR_ALLOWANCE;
use roomer_conformance::client::Client;
use roomer_conformance::wire::{self, BINARY, FIN};

/// The memory budget, in KiB.
const BUDGET: usize = 8 * 1024;
/// The number of clients that hold memory.
const HOLDERS: usize = 60;
/// The number of bytes that each of them would hold without the budget.
const EACH: usize = 900_000;

/// Memory in KiB besides the budget: messages that are queued in one poll, spare capacity of
/// buffers, and pages that the allocator keeps. Without the budget, the clients would hold 52 MiB.
const BESIDE: usize = 16 * 1024;

/// After at most this many rounds, the memory must stop growing. An allocator may keep freed
/// memory, for example the largest size of one arena per thread, but only a leak grows in every
/// round. The comparison of rounds is therefore valid for any allocator.
const ROUNDS: usize = 5;

/// Repeats a round in which many clients hold as much memory as each may, while two healthy clients
/// still exchange messages. The memory that the allocator keeps after one round must suffice for
/// the next round.
fn within_budget(hold: impl Fn(&mut Process, &mut Client, &mut [Client])) {
    let options = "quiet=1 message=1000000 write=60000 close=500";
    let mut process = Process::start(&format!("{options} budget={}", BUDGET * 1024));
    round(&mut process, &hold);
    let mut levels = vec![process.level()];
    loop {
        round(&mut process, &hold);
        match process.returns_to(levels[levels.len() - 1], ALLOCATOR_ALLOWANCE / 2) {
            Ok(()) => break,
            Err(level) => levels.push(level),
        }
        assert!(levels.len() < ROUNDS, "memory grows with each round: {levels:?}");
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
fn stalled_readers_of_distinct_messages_stay_within_budget() {
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
fn unfinished_messages_stay_within_budget() {
    within_budget(|process, _, clients| {
        let seen = process.numbers().bytes_in;
        for client in clients {
            client.send(&wire::header(FIN | BINARY, EACH as u64 + 1));
            // The server may close the connection, in which case the write fails.
            let _ = client.stream.write_all(&[7; EACH]);
        }
        // Wait until the server has read every byte that these clients have sent on connections
        // that are still open. The pair of healthy clients does not count.
        process.until(|numbers| numbers.bytes_in - seen >= (numbers.connections - 2) * EACH);
    });
}
