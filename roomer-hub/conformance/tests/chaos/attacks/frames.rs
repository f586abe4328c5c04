//! Messages that are announced, begun and never ended.

use std::io::Write;
use std::time::{Duration, Instant};

use super::super::process::Process;
use super::GRANT;
use roomer_conformance::client::{Client, TIMEOUT};
use roomer_conformance::wire::{self, BINARY, CONTINUATION, FIN, PING};

/// How many make promises.
const LIARS: usize = 500;

/// Bytes of a promise that are kept.
const KEPT: usize = 200;

#[test]
fn memory_follows_what_arrived_and_not_what_was_announced() {
    let mut process = Process::start("quiet=1");
    let mut liars: Vec<Client> = (0..LIARS).map(|_| process.client()).collect();
    let mut first = process.client();
    first.expect_nothing();
    let before = process.level();
    let seen = process.numbers().bytes_in;
    for liar in &mut liars {
        liar.send(&wire::header(FIN | BINARY, 16_777_216));
        liar.send(&[0; KEPT]);
    }
    process.until(|numbers| numbers.bytes_in >= seen + LIARS * (14 + KEPT));
    let grown = process.level().memory.saturating_sub(before.memory);
    assert!(grown < 3 * 1024, "{grown} KiB for {LIARS} promises of 16 MiB");
    eprintln!("{grown} KiB for {LIARS} promises of 16 MiB");
    first.expect_nothing();
    liars.into_iter().for_each(Client::reset);
    process.until(|numbers| numbers.connections == 1);
    first.close();
    process.recovers(before, GRANT / 6);
    process.stop();
}

#[test]
fn fragments_are_counted_and_empty_ones_too() {
    let mut process = Process::start("quiet=1 close=500");
    let mut witness = process.client();
    let before = process.level();
    for payload in [&b""[..], b"x"] {
        let mut endless = process.client();
        endless.send(&wire::frame(BINARY, b""));
        let more = wire::frame(CONTINUATION, payload).repeat(1000);
        // It is closed in the midst of it.
        let start = Instant::now();
        while endless.stream.write_all(&more).is_ok() {
            assert!(start.elapsed() < TIMEOUT, "it may go on for ever");
        }
        drop(endless);
    }
    let numbers = process.until(|numbers| numbers.sockets == 1);
    assert_eq!(numbers.closes.values().sum::<usize>(), 2, "{numbers:?}");
    witness.expect_nothing();
    witness.close();
    process.recovers(before, GRANT / 6);
    process.stop();
}

#[test]
fn unread_pongs_are_bounded() {
    let mut process = Process::start("quiet=1 message=65536");
    let mut witness = process.client();
    let before = process.level();
    process.forget_peak();
    let pings = wire::frame(FIN | PING, &wire::filler(125)).repeat(1000);
    let mut flood = process.client();
    flood.stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    // 40 MB of pongs, unless it is closed in the midst of it, or not read any more.
    for _ in 0..300 {
        if flood.stream.write_all(&pings).is_err() {
            break;
        }
    }
    witness.expect_nothing();
    let grown = process.peak().saturating_sub(before.memory);
    assert!(grown < 4 * 1024, "{grown} KiB for unread pongs");
    flood.reset();
    process.until(|numbers| numbers.sockets == 1);
    witness.close();
    process.recovers(before, GRANT / 4);
    process.stop();
}
