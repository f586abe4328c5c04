//! Fuzzes the whole server with arbitrary bytes at the start of a connection.

use std::time::Duration;

use roomer_engine::Server;
use roomer_testkit::{Clock, Tasks, frames, socket};

/// The sum of the server's default timeouts for the handshake and for closing.
const WAIT: Duration = Duration::from_secs(10 + 5);

/// Checks, for arbitrary bytes, that the server does one of two things: it sends a well-formed HTTP
/// response and ends the connection within a limited time, or it upgrades the connection and then
/// sends only WebSocket frames. The result must not depend on how the bytes are split into chunks.
///
/// The low four bits of the first byte are the number of chunk sizes that follow. Each size is
/// stored minus one, and they are used in a cycle. All other bytes are the client's input.
pub fn handshake(data: &[u8]) {
    let Some((count, rest)) = data.split_first() else {
        return;
    };
    let (sizes, wire) = rest.split_at(rest.len().min(usize::from(count & 0x0f)));
    let sizes: Vec<usize> = sizes.iter().map(|size| usize::from(*size) + 1).collect();

    let is_upgraded = run(wire, &[wire.len().max(1)]);
    assert_eq!(run(wire, &[1]), is_upgraded, "byte by byte");
    if !sizes.is_empty() {
        assert_eq!(run(wire, &sizes), is_upgraded, "in chunks of {sizes:?}");
    }
}

/// Returns true if the server has upgraded the connection.
fn run(wire: &[u8], sizes: &[usize]) -> bool {
    let clock = Clock::new(0);
    let builder = Server::builder().page("/", "text/plain", "hello").environment(clock.clone());
    let server = builder.build().expect("valid options");
    let mut tasks = Tasks::new();
    let (driver, sleeper) = (server.clone(), clock.clone());
    tasks.spawn(async move { driver.run_timers(|wait| sleeper.sleep(wait)).await });
    let (socket, peer) = socket();
    let task = tasks.spawn(server.connect(socket, None));
    let mut rest = wire;
    for size in sizes.iter().cycle() {
        while tasks.poll_nth_woken(0).is_some() {}
        if rest.is_empty() {
            break;
        }
        let (chunk, behind) = rest.split_at(rest.len().min(*size));
        peer.deliver(chunk);
        rest = behind;
    }
    let mut response = Vec::new();
    peer.take(usize::MAX, &mut response);
    let is_upgraded = response.starts_with(b"HTTP/1.1 101 ");
    if is_upgraded {
        check_upgrade(&response);
        // The client sends no more bytes.
        peer.end_stream(Ok(()));
    }
    let end = clock.now() + WAIT;
    while let Some(due) = clock.next_deadline().filter(|due| *due <= end) {
        clock.advance_to(due);
        while tasks.poll_nth_woken(0).is_some() {}
    }
    while tasks.poll_nth_woken(0).is_some() {}
    assert!(tasks.is_done(task), "the connection does not end");
    assert_eq!(server.stats().sockets, 0);
    if !is_upgraded {
        peer.take(usize::MAX, &mut response);
        let shown = response.escape_ascii();
        match frames::read_response(&response).expect("an HTTP response") {
            Some((status, size)) => {
                assert!(size == response.len() && matches!(status, 200 | 400..=499), "{shown}");
            }
            // The response to a HEAD request contains the length of the body, but not the body.
            None => {
                let is_head = wire.trim_ascii_start().starts_with(b"HEAD ");
                assert!(is_head && response.ends_with(b"\r\n\r\n"), "{shown}");
            }
        }
    }
    is_upgraded
}

/// Checks that only complete frames follow the response.
fn check_upgrade(response: &[u8]) {
    let (status, size) =
        frames::read_response(response).expect("a response").expect("a complete one");
    let head = &response[..size];
    let key = head.windows(24).position(|window| window == b"\r\nSec-WebSocket-Accept: ");
    let key = key.map(|at| &head[at + 24..]).expect("an accept value");
    assert_eq!((status, key.len(), &key[28..]), (101, 32, &b"\r\n\r\n"[..]));
    let mut rest = &response[size..];
    while !rest.is_empty() {
        let (_, size) = frames::read(rest).expect("a frame").expect("a complete one");
        rest = &rest[size..];
    }
}
