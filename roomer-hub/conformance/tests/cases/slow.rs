//! Tests that clients that read slowly or not at all are closed, without effects on other clients.

use std::io::Write;
use std::net::TcpStream;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use roomer_engine::ConnId;
use socket2::{Domain, Socket, Type};

use super::test_server::{TestServer, join_all};
use roomer_conformance::client::{Client, Received, TIMEOUT};
use roomer_conformance::http::HttpRequest;
use roomer_conformance::wire::{self, PacketView};

const SIZE: usize = 2000;

/// Connects a client with a small receive buffer.
pub(crate) fn narrow(test: &TestServer) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.connect(&test.addr.into()).unwrap();
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut client = Client::upgrade(stream, &HttpRequest::upgrade(test.addr));
    client.leave("root");
    client
}

static FILLER: LazyLock<Vec<u8>> = LazyLock::new(|| wire::filler(SIZE));

fn numbered(n: u32) -> Vec<u8> {
    [&n.to_be_bytes(), &FILLER[..]].concat()
}

/// Returns true if a message has this number. It is so cheap that it does not slow down a fast
/// reader.
fn is_numbered(payload: &[u8], n: u32) -> bool {
    payload.split_at(4) == (&n.to_be_bytes(), &FILLER[..])
}

/// The maximum number of messages by which the sender may be ahead of a fast reader.
const MAX_AHEAD: usize = 16;

/// Floods a room that has one stuck reader and several fast ones. Returns the number of messages
/// that the stuck reader, when it finally reads, receives before its close frame.
fn flood(test: &TestServer, readers: usize, count: u32) -> u32 {
    let mut members = vec![narrow(test), test.roomless_client()];
    members.extend((0..readers).map(|_| test.roomless_client()));
    join_all("lobby", &mut members);
    let [stuck, sender, readers @ ..] = &mut members[..] else { unreachable!() };
    let (from, gone) = (sender.id.clone(), stuck.id.clone());
    let mut writer = sender.stream.try_clone().unwrap();
    let (notify, left) = mpsc::channel();
    // The sender waits for the fast readers, which a busy machine may not run for a while.
    let (ahead, read): (Vec<_>, Vec<_>) =
        readers.iter().map(|_| mpsc::sync_channel(MAX_AHEAD)).unzip();
    thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..count {
                ahead.iter().for_each(|reader| _ = reader.send(()));
                writer.write_all(&wire::to_room("lobby", "flood", &numbered(n))).unwrap();
            }
        });
        for (reader, read) in readers.iter_mut().zip(read) {
            let (from, gone, notify) = (&from, &gone, notify.clone());
            scope.spawn(move || {
                let (mut n, mut notices) = (0, 0);
                while n < count || notices < 1 {
                    let PacketView { event, src, payload, .. } = reader.expect_view();
                    if event == b"member_left" {
                        assert_eq!(payload, gone.as_bytes());
                        notices += 1;
                        notify.send(()).unwrap();
                    } else {
                        assert!(src == from.as_bytes() && is_numbered(payload, n), "not {n}");
                        read.recv().unwrap();
                        n += 1;
                    }
                }
                assert_eq!(notices, 1);
                reader.expect_nothing();
            });
        }
        // By now the server has closed the stuck reader. When it reads again, it receives the first
        // of the messages without gaps, and then the reason for the close.
        left.recv_timeout(TIMEOUT).expect("the stuck reader is closed");
        let mut n = 0;
        let got = loop {
            match stuck.receive() {
                Received::Packet(packet) => {
                    assert!(is_numbered(&packet.payload, n), "not {n}: {packet:?}");
                    n += 1;
                }
                Received::Close(code, reason) => {
                    assert_eq!(code, Some(1013), "{reason}");
                    break n;
                }
                other => panic!("after {n}: {other:?}"),
            }
        };
        stuck.expect_end();
        sender.expect_member_left("lobby", &gone);
        sender.expect_nothing();
        got
    })
}

#[test]
fn stalled_reader_is_closed_with_1013() {
    let test = TestServer::with(|builder| builder.close_timeout(TIMEOUT));
    let got = flood(&test, 2, 3000);
    assert!(got < 3000, "more was queued for it than permitted");
}

#[test]
fn stalled_reader_in_large_room_is_closed() {
    let test = TestServer::with(|builder| builder.close_timeout(TIMEOUT));
    assert!(flood(&test, 12, 2000) < 2000);
}

#[test]
fn write_timeout_closes_stalled_reader_with_small_queue() {
    let test = TestServer::with(|builder| {
        builder
            .max_backlog(64 * 1024 * 1024)
            // Use a long timeout, so that the other readers are not closed if a busy machine does
            // not run them for a while.
            .write_timeout(Duration::from_secs(5))
            .close_timeout(TIMEOUT)
    });
    assert!(flood(&test, 2, 1500) < 1500);
}

#[test]
fn stalled_receiver_of_direct_messages_is_closed() {
    let test = TestServer::with(|builder| builder.max_backlog(64 * 1024));
    let mut sender = test.roomless_client();
    let mut stuck = narrow(&test);
    let mut witness = test.roomless_client();
    let id = stuck.id.clone();
    stuck.join("lobby");
    witness.join("lobby");
    let flood = wire::to_client(&id, "lobby", "flood", &wire::filler(SIZE));
    let mut writer = sender.stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..3000 {
                writer.write_all(&flood).unwrap();
            }
        });
        witness.expect_member_left("lobby", &id);
    });
    sender.expect_nothing();
    witness.expect_nothing();
}

#[test]
fn unread_pongs_to_one_client_are_bounded() {
    let test = TestServer::with(|builder| builder.max_backlog(64 * 1024));
    let mut witness = test.roomless_client();
    let mut stuck = narrow(&test);
    let pings = wire::frame(wire::FIN | wire::PING, &wire::filler(125)).repeat(1000);
    for _ in 0..100 {
        // The server may close the connection while the client is still sending pings.
        if stuck.stream.write_all(&pings).is_err() {
            break;
        }
    }
    witness.expect_nothing();
    stuck.reset();
    test.wait_for_sockets(1, || witness.expect_nothing());
}

/// Starts a server that closes clients after two seconds of silence.
fn impatient() -> TestServer {
    TestServer::with(|builder| {
        builder.ping_interval(Duration::from_secs(1)).pong_timeout(Duration::from_secs(2))
    })
}

/// The maximum number of trials of one test.
const MAX_TRIALS: usize = 10;

/// Runs a trial until it succeeds. A failed trial is repeated only if it also returns true: the
/// machine was then so busy that the server was right to close the client.
fn repeat_if_slow(trial: impl Fn() -> (thread::Result<()>, bool)) {
    for number in 1.. {
        match trial() {
            (Ok(()), _) => return,
            (Err(_), true) if number < MAX_TRIALS => {
                eprintln!("repeated, since the machine was slow")
            }
            (Err(failure), _) => panic::resume_unwind(failure),
        }
    }
}

/// Runs a trial with a client that the server may close if its thread does not run for a second. The
/// pauses are those of another thread, since the client also waits for the server.
fn unless_paused(trial: fn()) {
    repeat_if_slow(|| {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut longest = Duration::ZERO;
                while !is_over.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    thread::sleep(Duration::from_millis(5));
                    longest = longest.max(start.elapsed());
                }
                longest
            });
            let result = panic::catch_unwind(trial);
            is_over.store(true, Ordering::Relaxed);
            (result, watch.join().unwrap() >= Duration::from_secs(1))
        })
    });
}

/// For several pong timeouts, the client cannot send any bytes, not even pongs. The only sign of
/// life is that its socket accepts bytes.
#[test]
fn large_message_over_slow_link_survives_pong_timeout() {
    unless_paused(large_message_survives);
}

fn large_message_survives() {
    let test = impatient();
    // Build the payload before the client connects. It may take a second, during which the client
    // would not answer pings.
    let payload = wire::filler(3_000_000);
    let mut reader = narrow(&test);
    let id = ConnId::parse(&reader.id).unwrap();
    assert!(test.server.send(id, "state", &payload));
    let (start, mut read) = (Instant::now(), 0);
    // Reading takes seven seconds, more than three times the pong timeout.
    while read < 2_800_000 {
        // Read as much as a link of 400 KB per second would have delivered by now, even if this
        // thread was not run for a while.
        while (read as u128) < start.elapsed().as_millis() * 400 {
            read += reader.read_some(16 * 1024);
        }
        thread::sleep(Duration::from_millis(40));
    }
    assert_eq!(test.server.stats().closes.len(), 0);
    let arrived = loop {
        match reader.receive() {
            Received::Packet(packet) => break packet.payload,
            Received::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(arrived == payload, "it came changed");
}

/// The client's pongs wait behind the large message that it sends.
#[test]
fn slow_incoming_message_prevents_pong_timeout() {
    unless_paused(incoming_message_survives);
}

fn incoming_message_survives() {
    let test = impatient();
    // Build the payload before the client connects: this thread also answers the server's pings,
    // and could not do so while it builds the payload.
    let payload = wire::filler(400_000);
    let mut sender = test.roomless_client();
    let id = sender.id.clone();
    let message = wire::to_client(&id, "r", "file", &payload);
    for piece in message.chunks(4_000) {
        sender.send(piece);
        thread::sleep(Duration::from_millis(65));
    }
    let arrived = loop {
        match sender.receive() {
            Received::Packet(packet) => break packet.payload,
            Received::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(arrived == payload, "it came changed");
}

/// If the server did not pause reading from the sender, the queue would exceed the backlog.
///
/// The sender is not paused for a reader whose socket has accepted nothing for 50 ms, which is then
/// closed. A full socket accepts bytes again when a third of its buffer is free, so the reader must
/// read that many bytes in this time.
#[test]
fn reader_with_full_socket_receives_all_messages() {
    repeat_if_slow(|| {
        let mut longest = Duration::ZERO;
        let trial = AssertUnwindSafe(|| all_messages_are_received(&mut longest));
        let result = panic::catch_unwind(trial);
        let failure = result.as_ref().err().and_then(|failure| failure.downcast_ref::<String>());
        // A missing or wrong message is never due to a slow reader.
        let is_closed = failure.is_some_and(|failure| failure.contains(CLOSED_AS_SLOW));
        (result, is_closed && longest >= Duration::from_millis(10))
    });
}

/// The client's panic message if it receives a close frame with code 1013 instead of a message.
const CLOSED_AS_SLOW: &str = r"opcode 8: \x03\xf5";

/// The number of messages after which the time for reading them is checked: a fifth of those that
/// must be read within 50 ms.
const CHECKED: u32 = 80;

/// Sets `longest` to the longest time that the reader needed for [`CHECKED`] messages.
fn all_messages_are_received(longest: &mut Duration) {
    let test = TestServer::with(|builder| builder.max_message(4096));
    let mut members = [test.roomless_client(), narrow(&test)];
    join_all("lobby", &mut members);
    let [mut sender, mut reader] = members;
    let mut writer = sender.stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..5000 {
                // If the reader was closed, the test has failed already.
                _ = writer.write_all(&wire::to_room("lobby", "flood", &numbered(n)));
            }
        });
        let mut last = Instant::now();
        for n in 0..5000 {
            // Also measure the time before a close frame.
            *longest = last.elapsed().max(*longest);
            assert!(is_numbered(reader.expect_view().payload, n), "not {n}");
            if n % CHECKED == 0 {
                last = Instant::now();
            }
        }
    });
    reader.expect_nothing();
    sender.expect_nothing();
}
