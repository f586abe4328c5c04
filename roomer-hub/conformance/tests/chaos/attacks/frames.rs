//! Tests messages that are announced and begun, but never completed.

use std::io::Write;
use std::time::{Duration, Instant};

use super::super::process::Process;
use super::ALLOCATOR_ALLOWANCE;
use roomer_conformance::client::{Client, TIMEOUT};
use roomer_conformance::wire::{self, BINARY, CONTINUATION, FIN, PING};

/// The number of clients that announce a message of 16 MiB.
const CLIENTS: usize = 500;

/// The number of bytes of the message that each client sends.
const SENT: usize = 200;

#[test]
fn memory_follows_received_not_announced_bytes() {
    let mut process = Process::start("quiet=1");
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| process.client()).collect();
    let mut first = process.client();
    first.expect_nothing();
    let before = process.level();
    let seen = process.numbers().bytes_in;
    for client in &mut clients {
        client.send(&wire::header(FIN | BINARY, 16_777_216));
        client.send(&[0; SENT]);
    }
    process.until(|numbers| numbers.bytes_in >= seen + CLIENTS * (14 + SENT));
    let grown = process.level().memory.saturating_sub(before.memory);
    // The payload received is 100 KB. If buffers grow only with received bytes, any allocator needs
    // little memory; if they had the announced size, it would be 8 GB.
    assert!(grown < 3 * 1024, "{grown} KiB for {CLIENTS} announced messages of 16 MiB");
    eprintln!("{grown} KiB for {CLIENTS} announced messages of 16 MiB");
    first.expect_nothing();
    clients.into_iter().for_each(Client::reset);
    process.until(|numbers| numbers.connections == 1);
    first.close();
    process.recovers(before, ALLOCATOR_ALLOWANCE / 6);
    process.stop();
}

#[test]
fn empty_fragments_count_towards_limit() {
    let mut process = Process::start("quiet=1 close=500");
    let mut witness = process.client();
    let before = process.level();
    for payload in [&b""[..], b"x"] {
        let mut endless = process.client();
        endless.send(&wire::frame(BINARY, b""));
        let more = wire::frame(CONTINUATION, payload).repeat(1000);
        // When the server closes the connection, the write fails.
        let deadline = Instant::now() + TIMEOUT;
        while endless.stream.write_all(&more).is_ok() {
            assert!(Instant::now() < deadline, "the connection is not closed");
        }
        drop(endless);
    }
    let numbers = process.until(|numbers| numbers.sockets == 1);
    assert_eq!(numbers.closes.values().sum::<usize>(), 2, "{numbers:?}");
    witness.expect_nothing();
    witness.close();
    process.recovers(before, ALLOCATOR_ALLOWANCE / 6);
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
    // The answers would be 40 MB of pongs, so the server must close the connection or stop reading.
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
    process.recovers(before, ALLOCATOR_ALLOWANCE / 4);
    process.stop();
}
