//! Tests connections that never complete a handshake.

use std::io::{Read, Write};

use super::super::process::Process;
use super::ALLOCATOR_ALLOWANCE;
use roomer_conformance::http::{HttpRequest, dial};
use roomer_conformance::wire::filler;

/// The number of requests that are rejected, one after another.
const REJECTED: usize = 1500;

/// The number of incomplete handshakes at the same time.
const WAITING: usize = 300;

#[test]
fn rejected_handshakes_leave_no_state() {
    let mut process = Process::start("");
    let addr = process.addr;
    let ask = HttpRequest::upgrade(addr);
    let requests = [
        ask.clone().method("POST").bytes(),
        ask.clone().without("Sec-WebSocket-Key").bytes(),
        ask.clone().add("Origin", "https://evil.example").bytes(),
        ask.clone().target("/elsewhere").bytes(),
        ask.add("X-Long", &"x".repeat(20_000)).bytes(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n".to_vec(),
    ];
    let send = |count| {
        for request in requests.iter().cycle().take(count) {
            let mut stream = dial(addr);
            // The server may respond and close the connection before it has read the whole request.
            let _ = stream.write_all(request);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            assert!(answer.starts_with(b"HTTP/1.1 4"), "{}", answer.escape_ascii());
        }
    };
    send(100);
    process.until(|numbers| numbers.sockets == 0);
    let (before, cpu) = (process.level(), process.cpu());
    send(REJECTED);
    let spent = (process.cpu() - cpu) / REJECTED as u32;
    process.recovers(before, ALLOCATOR_ALLOWANCE / 6);
    eprintln!("{spent:?} of CPU for a rejected handshake (debug build)");
    process.stop();
}

#[test]
fn endless_handshakes_time_out() {
    let mut process = Process::start("handshake=1500 close=500");
    drop(process.client());
    process.until(|numbers| numbers.sockets == 0);
    let before = process.level();
    let request = HttpRequest::upgrade(process.addr).bytes();
    let waiting: Vec<_> = (0..WAITING)
        .map(|n| {
            let mut stream = dial(process.addr);
            // On a busy machine, the server may have closed the connection already.
            let _ = stream.write_all(&request[..n % request.len()]);
            stream
        })
        .collect();
    // The clients do not close their connections, so the server must.
    for mut stream in waiting {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", answer.escape_ascii());
    }
    process.until(|numbers| numbers.sockets == 0);
    process.recovers(before, ALLOCATOR_ALLOWANCE / 6);
    process.stop();
}

#[test]
fn garbage_instead_of_handshake_leaves_no_state() {
    let mut process = Process::start("handshake=1500 close=500");
    let addr = process.addr;
    let send = |count| {
        for n in 0..count {
            let mut stream = dial(addr);
            let _ = stream.write_all(&filler(1 + n * 37 % 3000));
        }
    };
    send(50);
    process.until(|numbers| numbers.sockets == 0);
    let before = process.level();
    send(500);
    process.recovers(before, ALLOCATOR_ALLOWANCE / 6);
    process.stop();
}
