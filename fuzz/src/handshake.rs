//! The HTTP request that a connection begins with.

use std::time::Duration;

use roomer_engine::Server;
use roomer_testkit::{Clock, Tasks, frames, socket};

/// How long a handshake and a close may take together, by the server's defaults.
const WAIT: Duration = Duration::from_secs(10 + 5);

/// Whatever a connection begins with, the real server answers with one well-formed HTTP response,
/// and has let go of the connection in bounded time; or it upgrades, and then speaks WebSocket.
/// Which of the two does not depend on how the bytes are cut.
///
/// The low four bits of the first byte say how many bytes of chunk sizes follow, each a size less
/// one, used over and over; the rest is what the client sends.
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

/// Whether the connection is upgraded.
fn run(wire: &[u8], sizes: &[usize]) -> bool {
    let clock = Clock::new(0);
    let builder = Server::builder().page("/", "text/plain", "hello").environment(clock.clone());
    let server = builder.build().expect("good options");
    let mut tasks = Tasks::new();
    let (keeper, sleeper) = (server.clone(), clock.clone());
    tasks.spawn(async move { keeper.run_timers(|wait| sleeper.sleep(wait)).await });
    let (reader, writer, peer) = socket();
    let task = tasks.spawn(server.connect(reader, writer, None));
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
    let mut answer = Vec::new();
    peer.take(usize::MAX, &mut answer);
    let is_upgraded = answer.starts_with(b"HTTP/1.1 101 ");
    if is_upgraded {
        check_upgrade(&answer);
        // Its client says no more.
        peer.end_stream(Ok(()));
    }
    let end = clock.now() + WAIT;
    while let Some(due) = clock.next_deadline().filter(|due| *due <= end) {
        clock.advance_to(due);
        while tasks.poll_nth_woken(0).is_some() {}
    }
    while tasks.poll_nth_woken(0).is_some() {}
    assert!(tasks.is_done(task), "the connection is never let go of");
    assert_eq!(server.stats().sockets, 0);
    if !is_upgraded {
        peer.take(usize::MAX, &mut answer);
        let shown = answer.escape_ascii();
        match frames::read_response(&answer).expect("an HTTP answer") {
            Some((status, size)) => {
                assert!(size == answer.len() && matches!(status, 200 | 400..=499), "{shown}");
            }
            // The answer to HEAD says how long the body would be, and has none.
            None => {
                let asks_head = wire.trim_ascii_start().starts_with(b"HEAD ");
                assert!(asks_head && answer.ends_with(b"\r\n\r\n"), "{shown}");
            }
        }
    }
    is_upgraded
}

/// An upgrade, and nothing but whole frames behind it.
fn check_upgrade(answer: &[u8]) {
    let (status, size) = frames::read_response(answer).expect("an answer").expect("a whole one");
    let head = &answer[..size];
    let key = head.windows(24).position(|window| window == b"\r\nSec-WebSocket-Accept: ");
    let key = key.map(|at| &head[at + 24..]).expect("a key's answer");
    assert_eq!((status, key.len(), &key[28..]), (101, 32, &b"\r\n\r\n"[..]));
    let mut rest = &answer[size..];
    while !rest.is_empty() {
        let (_, size) = frames::read(rest).expect("a frame").expect("a whole one");
        rest = &rest[size..];
    }
}
