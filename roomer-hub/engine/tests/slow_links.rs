//! Tests of large messages over slow connections.
//!
//! Progress in either direction counts as activity, and only a stall causes a timeout. The tests
//! run in virtual time.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use roomer_engine::{Builder, HandlerError, Server, close};
use roomer_hub::ConnId;
use roomer_proto::PacketRef;
use roomer_proto::close::Close;
use roomer_testkit::{Client, Faults, World, frames};

const KIB: usize = 1024;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn pair(builder: Builder) -> (World, Client, Client) {
    let mut world = World::with_faults(5, Faults::none(), builder);
    let (ann, bob) = (world.connect(), world.connect());
    world.settle();
    ann.join("room");
    bob.join("room");
    world.settle();
    (world, ann, bob)
}

fn send(world: &World, to: &Client, bytes: usize) {
    let id = ConnId::parse(&to.id()).unwrap();
    assert!(world.server().send(id, "state", vec![7; bytes]));
}

/// Makes a client's socket accept `bytes` in every `period` until it has accepted `count` bytes.
fn trickle(world: &mut World, client: &Client, count: usize, bytes: usize, period: Duration) {
    for _ in 0..count.div_ceil(bytes) {
        client.stall(bytes);
        world.advance(period);
    }
}

fn assert_closed(world: &mut World, client: &Client, why: &Close) {
    client.resume();
    world.settle();
    let closed = client.closed().unwrap();
    assert_eq!((closed.code, &*closed.reason), (Some(why.code), why.reason.unwrap()));
}

#[test]
fn five_megabytes_arrive_at_1_mbit_per_second() {
    let (mut world, _, bob) = pair(Server::builder());
    // The ping due at 54 s is queued behind the large message, and so are some short messages.
    world.advance(ms(40_000));
    bob.stall(0);
    send(&world, &bob, 5_000 * KIB);
    for _ in 0..80 {
        send(&world, &bob, 100);
        trickle(&mut world, &bob, 64 * KIB, 64 * KIB, ms(524));
    }
    assert!(world.server().stats().closes.is_empty(), "{:?}", world.server().stats());
    bob.resume();
    world.settle();
    let received = bob.messages("root");
    assert_eq!((received.len(), received[0].payload.len()), (81, 5_000 * KIB));
}

#[test]
fn large_message_is_sent_at_64_kbit_per_second() {
    let (mut world, _, bob) = pair(Server::builder());
    bob.stall(0);
    send(&world, &bob, 2_000 * KIB);
    // Transmitting the message takes more than four minutes. Several pings are due during this
    // time, none of which is delivered before the message.
    trickle(&mut world, &bob, 2_010 * KIB, 64 * KIB, ms(8192));
    assert!(world.server().stats().closes.is_empty(), "{:?}", world.server().stats());
    bob.resume();
    world.settle();
    assert_eq!(bob.messages("root")[0].payload.len(), 2_000 * KIB);
}

#[test]
fn unread_large_message_hits_write_timeout() {
    let (mut world, ann, bob) = pair(Server::builder().write_timeout(ms(7_000)));
    bob.stall(0);
    send(&world, &bob, 5_000 * KIB);
    send(&world, &bob, 1);
    world.advance(ms(6_999));
    assert!(world.server().stats().closes.is_empty());
    world.advance(ms(1));
    assert_closed(&mut world, &bob, &close::TOO_SLOW);
    assert!(ann.is_open());
}

#[test]
fn socket_filled_by_own_message_is_watched_immediately() {
    let (mut world, ann, bob) = pair(Server::builder().write_timeout(ms(7_000)));
    ann.stall(0);
    ann.send_to(&ann.id(), "state", [7; 64]);
    world.settle();
    world.advance(ms(6_999));
    assert!(world.server().stats().closes.is_empty());
    world.advance(ms(1));
    assert_closed(&mut world, &ann, &close::TOO_SLOW);
    assert!(bob.is_open());
}

#[test]
fn large_backlog_beside_large_message_closes_client() {
    let (mut world, _, bob) = pair(Server::builder().max_backlog(64 * KIB));
    bob.stall(0);
    send(&world, &bob, 1_000 * KIB);
    for _ in 0..5 {
        send(&world, &bob, 30 * KIB);
    }
    trickle(&mut world, &bob, 3_000, 1_000, ms(900));
    assert!(world.server().stats().closes.is_empty());
    trickle(&mut world, &bob, 2_000, 1_000, ms(900));
    assert_closed(&mut world, &bob, &close::TOO_SLOW);
}

#[test]
fn slow_incoming_message_prevents_timeout() {
    let (mut world, ann, bob) =
        pair(Server::builder().ping_interval(ms(500)).pong_timeout(ms(1_000)));
    let bytes = wire(1_250 * KIB);
    // The client does not read, so it does not even receive the pings. Its pongs would be queued
    // behind the message.
    ann.stall(usize::MAX);
    for piece in bytes.chunks(12 * KIB) {
        ann.send_bytes(piece);
        world.advance(ms(100));
    }
    assert!(world.server().stats().closes.is_empty(), "{:?}", world.server().stats());
    assert_eq!(bob.messages("room")[0].payload.len(), 1_250 * KIB);
}

#[test]
fn half_message_times_out() {
    let (mut world, ann, _) =
        pair(Server::builder().ping_interval(ms(500)).pong_timeout(ms(1_000)));
    ann.stall(usize::MAX);
    let mut bytes = Vec::new();
    frames::write(
        frames::first_byte::FINAL | frames::first_byte::BINARY,
        &[7; 1000],
        [1; 4],
        &mut bytes,
    );
    ann.send_bytes(&bytes[..500]);
    world.advance(ms(999));
    assert!(world.server().stats().closes.is_empty());
    world.advance(ms(1));
    assert_closed(&mut world, &ann, &close::SILENT);
}

/// The system accepts pings to a dead peer as long as its buffer has space.
#[test]
fn bytes_accepted_by_writable_socket_do_not_prevent_timeout() {
    let (mut world, ann, _) =
        pair(Server::builder().ping_interval(ms(100)).pong_timeout(ms(1_000)));
    ann.stall(usize::MAX);
    world.advance(ms(999));
    assert!(world.server().stats().closes.is_empty());
    world.advance(ms(1));
    assert_closed(&mut world, &ann, &close::SILENT);
}

/// Returns a message to the room, as bytes.
fn wire(payload: usize) -> Vec<u8> {
    let (room, event, payload) = ("room", "file", &vec![7; payload][..]);
    let message = PacketRef { room, event, payload, ..PacketRef::default() }.to_bytes();
    let mut bytes = Vec::new();
    frames::write(
        frames::first_byte::FINAL | frames::first_byte::BINARY,
        &message,
        [1; 4],
        &mut bytes,
    );
    bytes
}

#[test]
fn stalled_incoming_message_times_out() {
    let (mut world, ann, _) = pair(Server::builder());
    ann.send_bytes(&wire(4_000 * KIB)[..3_000 * KIB]);
    world.advance(ms(29_999));
    assert!(world.server().stats().closes.is_empty());
    assert!(world.server().stats().held_bytes >= 3_000 * KIB);
    world.advance(ms(1));
    assert_closed(&mut world, &ann, &close::UNFINISHED);
    assert_eq!(world.server().stats().held_bytes, 0);
}

#[test]
fn single_bytes_do_not_extend_message_timeout() {
    let (mut world, ann, _) = pair(Server::builder());
    let bytes = wire(4_000 * KIB);
    ann.send_bytes(&bytes[..3_000 * KIB]);
    for byte in bytes.into_iter().take(29) {
        world.advance(ms(1_000));
        ann.send_bytes(&[byte]);
    }
    world.settle();
    assert!(world.server().stats().closes.is_empty());
    world.advance(ms(1_000));
    assert_closed(&mut world, &ann, &close::UNFINISHED);
}

#[test]
fn pings_and_empty_fragments_do_not_extend_message_timeout() {
    let (mut world, ann, _) = pair(Server::builder().message_timeout(ms(5_000)));
    ann.send_frame(frames::first_byte::CONTINUATION | frames::first_byte::BINARY, b"begun");
    for _ in 0..4 {
        world.advance(ms(1_000));
        ann.ping(b"still here");
        ann.send_frame(frames::first_byte::CONTINUATION, b"");
    }
    world.settle();
    assert!(world.server().stats().closes.is_empty());
    world.advance(ms(1_000));
    assert_closed(&mut world, &ann, &close::UNFINISHED);
}

#[test]
fn large_message_is_received_at_64_kbit_per_second() {
    let (mut world, ann, bob) = pair(Server::builder());
    ann.stall(usize::MAX);
    for piece in wire(1_000 * KIB).chunks(8_000) {
        ann.send_bytes(piece);
        world.advance(ms(1_000));
    }
    assert!(world.server().stats().closes.is_empty(), "{:?}", world.server().stats());
    assert_eq!(bob.messages("room")[0].payload.len(), 1_000 * KIB);
}

/// Each read ends within a message, but never within the same message for long.
#[test]
fn reads_ending_inside_messages_do_not_time_out() {
    let (mut world, ann, bob) = pair(Server::builder().message_timeout(ms(5_000)));
    // Keep the client from reading, since its pongs would be sent in between.
    ann.stall(usize::MAX);
    let stream = wire(60).repeat(100);
    ann.send_bytes(&stream[..50]);
    for piece in stream[50..].chunks(wire(60).len()) {
        world.advance(ms(1_000));
        ann.send_bytes(piece);
    }
    world.settle();
    assert!(world.server().stats().closes.is_empty());
    assert_eq!(bob.messages("room").len(), 100);
}

/// Little is read while a handler is pending, so that time does not count against the client.
#[test]
fn message_behind_pending_handler_does_not_time_out() {
    let gate = Arc::new(Mutex::new((false, None::<Waker>)));
    let handler = gate.clone();
    let builder = Server::builder().message_timeout(ms(5_000)).on_async("slow", move |_, _| {
        let gate = handler.clone();
        poll_fn(move |cx| {
            let mut gate = gate.lock().unwrap();
            gate.1 = Some(cx.waker().clone());
            if gate.0 { Poll::Ready(Ok::<_, HandlerError>(())) } else { Poll::Pending }
        })
    });
    let (mut world, ann, bob) = pair(builder);
    ann.send("room", "slow", b"");
    let bytes = wire(100);
    ann.send_bytes(&bytes[..50]);
    world.advance(ms(20_000));
    let waker = {
        let mut gate = gate.lock().unwrap();
        gate.0 = true;
        gate.1.take()
    };
    waker.unwrap().wake();
    world.advance(ms(4_000));
    assert!(world.server().stats().closes.is_empty());
    ann.send_bytes(&bytes[50..]);
    world.settle();
    assert_eq!(bob.messages("room").len(), 1);
}

#[test]
fn slow_connection_gets_queued_output_and_close_frame() {
    let (mut world, _, bob) = pair(Server::builder());
    bob.stall(0);
    send(&world, &bob, 1_000 * KIB);
    let id = ConnId::parse(&bob.id()).unwrap();
    assert!(world.server().disconnect(id, 4000, "enough"));
    // At one megabit per second, this takes 8 s in total, while the close timeout is 5 s without
    // progress.
    trickle(&mut world, &bob, 1_000 * KIB, 64 * KIB, ms(524));
    bob.resume();
    world.settle();
    assert_eq!(bob.messages("root")[0].payload.len(), 1_000 * KIB);
    assert_eq!(bob.closed().unwrap().code, Some(4000));
}

#[test]
fn close_of_slow_reader_is_bounded() {
    let (mut world, _, bob) = pair(Server::builder().close_timeout(ms(1_000)));
    bob.stall(0);
    send(&world, &bob, 1_000 * KIB);
    let id = ConnId::parse(&bob.id()).unwrap();
    assert!(world.server().disconnect(id, 4000, "enough"));
    trickle(&mut world, &bob, 23, 1, ms(500));
    assert_eq!(world.server().stats().sockets, 2);
    trickle(&mut world, &bob, 2, 1, ms(500));
    assert_eq!(world.server().stats().sockets, 1);
}
