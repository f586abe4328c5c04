//! Tests of slow readers: which senders are paused for them, how long, and when they are closed.
//!
//! They run in virtual time, with an audit whenever the server is idle.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomer_engine::{Builder, Conn, Server};
use roomer_hub::{ConnId, Presence};
use roomer_testkit::{Client, Clock, Faults, Tasks, World, frames, socket};

const KIB: usize = 1024;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Connects clients that share a room without presence.
fn room<const N: usize>(builder: Builder) -> (World, [Client; N]) {
    let builder = builder.presence("*", Presence::Off);
    let mut world = World::with_faults(3, Faults::none(), builder);
    let members = std::array::from_fn(|_| world.connect());
    world.settle();
    members.iter().for_each(|member: &Client| member.join("room"));
    world.settle();
    (world, members)
}

fn id(client: &Client) -> ConnId {
    ConnId::parse(&client.id()).unwrap()
}

fn bytes_in(world: &World) -> usize {
    world.server().stats().bytes_in as usize
}

/// Sends 2.4 MB from one client to another that has stopped reading. Also returns the number of
/// bytes that the server had received before the messages were sent.
fn flood(max_backlog: usize) -> (World, Client, usize) {
    let builder = Server::builder().max_backlog(max_backlog).max_message(1024 * KIB);
    let (world, [reader, sender]) = room(builder);
    reader.stall(0);
    let before = bytes_in(&world);
    (0..40).for_each(|_| sender.send("room", "x", [7; 60_000]));
    (world, reader, before)
}

#[test]
fn sender_to_slow_reader_is_paused() {
    let (mut world, reader, before) = flood(64 * KIB);
    world.settle();
    let read = bytes_in(&world) - before;
    assert!((64 * KIB..=512 * KIB).contains(&read), "{read} bytes were read");
    assert!(reader.is_open());
    reader.resume();
    world.advance(ms(1_000));
    assert_eq!(reader.texts("room", "x").len(), 40);
}

#[test]
fn large_flush_by_any_task_pauses_sender() {
    // Each poll writes to two connections, and only the last poll observes the end of the flush.
    let builder = Server::builder().max_backlog(64 * KIB).max_message(1024 * KIB);
    let (mut world, members) = room::<6>(builder.flush_sizes(2, 1));
    let [stuck, .., sender] = &members;
    stuck.stall(0);
    let before = bytes_in(&world);
    (0..40).for_each(|_| sender.send("room", "x", [7; 60_000]));
    world.settle();
    let read = bytes_in(&world) - before;
    assert!(read <= 1024 * KIB, "{read} bytes were read");
}

#[test]
fn sender_in_another_room_is_not_paused() {
    let builder = Server::builder().max_backlog(64 * KIB).max_message(1024 * KIB);
    let (mut world, [stuck, sender, listener]) = room(builder);
    sender.join("elsewhere");
    listener.join("elsewhere");
    world.settle();
    stuck.stall(0);
    for _ in 0..3 {
        world.server().broadcast("room", "x", [7; 60_000]);
    }
    (0..40).for_each(|_| sender.send("elsewhere", "x", [7; 60_000]));
    world.settle();
    assert_eq!(listener.texts("elsewhere", "x").len(), 40, "without a pause");
}

#[test]
fn stalled_reader_does_not_pause_senders() {
    let builder = Server::builder().max_backlog(64 * KIB).max_message(1024 * KIB);
    let (mut world, [stuck, sender, listener]) = room(builder);
    stuck.stall(0);
    for _ in 0..3 {
        world.server().broadcast("room", "x", [7; 60_000]);
    }
    let send = |world: &mut World| {
        let before = listener.texts("room", "chat").len();
        for _ in 0..2 {
            sender.send("room", "chat", "");
            world.settle();
        }
        listener.texts("room", "chat").len() - before
    };
    assert_eq!(send(&mut world), 1, "the sender is paused");
    world.advance(ms(100));
    assert_eq!(send(&mut world), 2);
    assert!(world.server().stats().closes.is_empty(), "the reader is not closed yet");
}

/// Returns a client that has stopped reading, with a high-water mark of 1,000 bytes, and with
/// `bytes` bytes queued. Above 125 bytes of payload, a frame's length field is two bytes longer.
fn queued(bytes: usize, max_message: usize) -> (World, Client, usize) {
    let builder = Server::builder().max_backlog(1_000).max_message(max_message);
    let (mut world, [reader]) = room(builder);
    reader.stall(0);
    let queued_bytes = |world: &World| world.server().stats().queued_bytes;
    send_message(&mut world, &reader, 0);
    let around = queued_bytes(&world);
    // Send several messages, since the newest one is not counted.
    let (piece, rest) = ((bytes - around) / 4, (bytes - around) % 4);
    for piece in [piece, piece, piece, piece + rest] {
        send_message(&mut world, &reader, piece - around - 2);
    }
    assert_eq!(queued_bytes(&world), bytes);
    (world, reader, around)
}

fn send_message(world: &mut World, reader: &Client, payload: usize) {
    assert!(world.server().send(id(reader), "x", vec![7; payload]));
    world.settle();
}

/// Returns the number of connections closed as too slow.
fn closed_as_slow(world: &World) -> u64 {
    world.server().stats().closes.get(&1013).copied().unwrap_or_default()
}

#[test]
fn hard_limit_may_be_exceeded_by_one_message() {
    // The hard limit is four times the high-water mark.
    let (mut world, reader, around) = queued(4_000, 100);
    send_message(&mut world, &reader, 0);
    assert_eq!((world.server().stats().queued_bytes, closed_as_slow(&world)), (4_000 + around, 0));
    send_message(&mut world, &reader, 0);
    assert_eq!(closed_as_slow(&world), 1);
}

#[test]
fn stalled_reader_is_closed_sooner_in_flood() {
    for (bytes, limit) in [(3_000, 1_000), (3_001, 50)] {
        let (mut world, _, _) = queued(bytes, 10_000);
        world.advance(ms(limit - 1));
        assert_eq!(closed_as_slow(&world), 0, "{bytes} queued, too early");
        world.advance(ms(1));
        assert_eq!(closed_as_slow(&world), 1, "{bytes} queued, too late");
    }
}

#[test]
fn sender_is_not_paused_for_stopped_reader() {
    let (mut world, _, before) = flood(200 * KIB);
    world.advance(ms(49));
    assert!(bytes_in(&world) - before <= 1024 * KIB);
    world.advance(ms(1));
    assert!(bytes_in(&world) - before > 40 * 60_000, "its sender is still paused");
    assert_eq!(world.server().stats().closes.get(&1013), Some(&1));
}

/// Returns a client with two and a half times its high-water mark queued, which reads `bytes` bytes
/// every half second.
fn trickle(bytes: usize) -> (World, Client) {
    let (mut world, [reader]) = room(Server::builder().max_backlog(64 * KIB));
    // The client has already read many bytes, which must not count as progress.
    world.server().broadcast("room", "before", [7; 64 * KIB]);
    world.settle();
    reader.stall(0);
    for _ in 0..5 {
        world.server().broadcast("room", "x", [7; 32 * KIB]);
    }
    for _ in 0..7 {
        world.advance(ms(500));
        reader.stall(bytes);
    }
    world.advance(ms(499));
    assert!(world.server().stats().closes.is_empty(), "before the four seconds are over");
    for _ in 0..10 {
        reader.stall(bytes);
        world.advance(ms(500));
    }
    (world, reader)
}

#[test]
fn reader_below_minimum_rate_is_closed() {
    let (world, reader) = trickle(3_000);
    assert_eq!(world.server().stats().closes.get(&1013), Some(&1));
    reader.resume();
}

#[test]
fn reader_above_minimum_rate_stays_open() {
    let (mut world, reader) = trickle(5_000);
    assert!(world.server().stats().closes.is_empty());
    reader.resume();
    world.settle();
    assert_eq!(reader.texts("room", "x").len(), 5);
}

#[test]
fn slow_reader_accepts_messages_below_half_limit() {
    let kept: Arc<Mutex<Option<Conn>>> = Arc::default();
    let slot = kept.clone();
    let builder = Server::builder().max_backlog(64 * KIB).on("keep", move |conn, _| {
        *slot.lock().unwrap() = Some(conn.clone());
        Ok(())
    });
    let (mut world, [reader]) = room(builder);
    reader.send("room", "keep", "");
    world.settle();
    reader.stall(0);
    for _ in 0..4 {
        world.server().broadcast("room", "x", [7; 32 * KIB]);
    }
    let mut takes_after = |bytes| {
        reader.stall(bytes);
        world.settle();
        kept.lock().unwrap().as_ref().unwrap().send_raw(b"more")
    };
    assert!(!takes_after(0), "one and a half times the limit");
    assert!(!takes_after(40_000), "more than half the limit");
    assert!(takes_after(40_000));
}

#[test]
fn slowest_lists_largest_backlog_first() {
    let (mut world, [a, b, c, d]) = room(Server::builder());
    for (client, bytes) in [(&a, 100), (&b, 300), (&c, 200)] {
        client.stall(0);
        assert!(world.server().send(id(client), "x", vec![7; bytes]));
    }
    assert!(world.server().send(id(&d), "x", [7; 400]));
    world.settle();
    let names = |most| {
        let slowest = world.server().slowest(most);
        slowest.into_iter().map(|backlog| backlog.id).collect::<Vec<_>>()
    };
    assert_eq!(names(9), [id(&b), id(&c), id(&a)]);
    assert_eq!(names(2), [id(&b), id(&c)]);
}

#[test]
fn memory_shedding_aborts_closing_connections_first() {
    let builder = Server::builder()
        .max_backlog(256 * KIB)
        .max_message(64 * KIB)
        .memory_budget(1_200_000)
        .close_timeout(ms(60_000));
    let (mut world, [a, b, c, d, e, f, reader, witness]) = room(builder);
    let server = world.server().clone();
    reader.stall(0);
    for leaver in [&a, &b, &c, &d, &e, &f] {
        leaver.stall(0);
        (0..2).for_each(|_| assert!(server.send(id(leaver), "x", [7; 50_000])));
        assert!(server.disconnect(id(leaver), 4000, "go"));
    }
    world.settle();
    assert_eq!(server.stats().sockets, 8);
    (0..11).for_each(|_| assert!(server.send(id(&reader), "x", [7; 60_000])));
    world.settle();
    assert_eq!(server.stats().sockets, 2, "their memory is needed");
    assert_eq!(server.stats().closes.into_iter().collect::<Vec<_>>(), [(4000, 6)]);
    reader.resume();
    world.settle();
    assert_eq!(reader.texts("root", "x").len(), 11);
    assert!(witness.is_open());
}

#[test]
fn bytes_out_counts_bytes_accepted_by_sockets() {
    let (server, mut tasks) =
        (Server::builder().environment(Clock::new(1)).build().unwrap(), Tasks::new());
    let peers: Vec<_> = (0..3)
        .map(|_| {
            let (socket, peer) = socket();
            peer.deliver(&frames::request("/ws", ""));
            tasks.spawn(server.connect(socket, None));
            peer
        })
        .collect();
    while tasks.poll_nth_woken(0).is_some() {}
    let taken: u64 = peers.iter().map(|peer| peer.bytes_written()).sum();
    assert!(taken > 0);
    assert_eq!(server.stats().bytes_out, taken);
}

#[test]
fn discarding_close_finishes_started_message() {
    let builder = Server::builder().max_backlog(4 * KIB).presence("root", Presence::Off);
    let mut world = World::with_faults(3, Faults::none(), builder);
    let members: Vec<Client> = (0..300).map(|_| world.connect()).collect();
    world.settle();
    let (joiner, rest) = members.split_last().unwrap();
    rest.iter().for_each(|member| member.join("hall"));
    world.settle();
    joiner.stall(1_000);
    joiner.join("hall");
    world.settle();
    for _ in 0..8 {
        world.server().broadcast("hall", "x", [7; KIB]);
    }
    world.advance(ms(1_000));
    joiner.resume();
    world.settle();
    assert_eq!(joiner.members("hall").unwrap().len(), 300);
    assert_eq!(joiner.texts("hall", "x").len(), 0);
    assert_eq!(joiner.closed().unwrap().code, Some(1013));
}
