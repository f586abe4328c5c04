//! Who is let in and how it ends, in virtual time; every settled moment is audited.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use roomer_engine::{Builder, DrainReport, Server, Writer};
use roomer_hub::{ConnId, Presence};
use roomer_testkit::{Client, Clock, Faults, Tasks, World, frames, run, socket};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Begins a drain; what it returns, once it has.
fn drain(world: &mut World) -> (usize, Rc<Cell<Option<DrainReport>>>) {
    let (server, told) = (world.server().clone(), Rc::new(Cell::new(None)));
    let tell = told.clone();
    let task = world.spawn(async move { tell.set(Some(server.drain().await)) });
    (task, told)
}

fn world(builder: Builder, clients: usize) -> (World, Vec<Client>) {
    let mut world = World::with_faults(7, Faults::none(), builder);
    let clients = (0..clients).map(|_| {
        let client = world.connect();
        world.settle();
        client
    });
    let clients = clients.collect();
    (world, clients)
}

fn open(clients: &[Client]) -> Vec<bool> {
    clients.iter().map(Client::is_open).collect()
}

fn count(drained: Option<DrainReport>) -> Option<(usize, usize)> {
    drained.map(|drained| (drained.closed, drained.cut))
}

/// A request that a framework has read.
fn request() -> http::Request<()> {
    http::Request::get("/ws")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(())
        .unwrap()
}

#[test]
fn a_drain_closes_so_many_a_second_the_first_place_first() {
    let (mut world, clients) = world(Server::builder().drain(ms(60_000), 2), 4);
    world.advance(ms(10_000));
    let (_, told) = drain(&mut world);
    let mut seen = Vec::new();
    for _ in 0..4 {
        world.settle();
        seen.push(open(&clients));
        world.advance(ms(500));
    }
    let (yes, no) = (true, false);
    assert_eq!(seen, [[no, yes, yes, yes], [no, no, yes, yes], [no, no, no, yes], [no; 4]]);
    assert_eq!(count(told.get()), Some((4, 0)));
    assert!(clients.iter().all(|client| client.closed().unwrap().code == Some(1001)));
}

#[test]
fn a_pace_without_bound_closes_all_at_once() {
    let builder = Server::builder().presence("root", Presence::Off);
    let (mut world, clients) = world(builder, 300);
    let (_, told) = drain(&mut world);
    world.settle();
    assert!(clients.iter().all(|client| client.closed().unwrap().code == Some(1001)));
    assert_eq!((world.now(), count(told.get())), (ms(0), Some((300, 0))));
}

#[test]
fn what_is_left_at_the_deadline_is_cut() {
    let builder = Server::builder().drain(ms(2_000), 1).close_timeout(ms(60_000));
    let (mut world, clients) = world(builder, 5);
    clients[0].stall(0);
    let (_, told) = drain(&mut world);
    world.advance(ms(1_999));
    assert_eq!((told.get(), open(&clients)), (None, vec![true, false, true, true, true]));
    world.advance(ms(1));
    // Two had been told to go, of which one did; the others hear of it and have no time left.
    assert_eq!(count(told.get()), Some((1, 4)));
    assert_eq!(world.server().stats().sockets, 0);
    assert_eq!(clients[4].closed().unwrap().code, Some(1001));
}

#[test]
fn newcomers_are_refused_and_who_is_in_talks_on() {
    let (mut world, clients) = world(Server::builder().drain(ms(60_000), 1), 3);
    let (_, told) = drain(&mut world);
    world.settle();
    assert!(world.server().is_live() && !world.server().is_ready());
    let late = world.connect();
    clients[1].send("root", "chat", "still here");
    world.settle();
    assert_eq!(late.status(), Some(503));
    assert_eq!(clients[2].texts("root", "chat"), ["still here"]);
    world.advance(ms(3_000));
    assert_eq!(count(told.get()), Some((3, 0)));
    assert!(!world.server().is_live());
    let later = world.connect();
    world.settle();
    assert_eq!(later.status(), Some(503), "also once it is over");
}

#[test]
fn who_leaves_by_itself_was_closed_in_time_and_the_drain_is_over_with_the_last() {
    let (mut world, clients) = world(Server::builder().drain(ms(60_000), 1), 3);
    // One that never gets further than this is no connection to wait for.
    world.connect_raw(b"GET /ws".to_vec());
    let (_, told) = drain(&mut world);
    world.settle();
    clients[1].close(1000, "");
    clients[2].reset();
    world.settle();
    assert_eq!((world.now(), count(told.get())), (ms(0), Some((3, 0))));
}

#[test]
fn a_drain_that_is_dropped_leaves_a_server_that_the_next_one_drains_on() {
    let (mut world, clients) = world(Server::builder().drain(ms(10_000), 1), 4);
    let (task, told) = drain(&mut world);
    world.advance(ms(1_500));
    world.abort(task);
    assert_eq!(open(&clients), [false, false, true, true]);
    world.advance(ms(1_500));
    assert_eq!(open(&clients), [false, false, true, true], "nobody drains");
    assert_eq!(world.connect().status(), None);
    world.settle();
    assert_eq!(world.clients()[4].status(), Some(503), "but nobody comes in");
    let (_, again) = drain(&mut world);
    world.advance(ms(500));
    assert_eq!(open(&clients), [false; 4]);
    assert_eq!((told.get(), count(again.get())), (None, Some((4, 0))));
}

#[test]
fn two_drains_are_one() {
    let (mut world, clients) = world(Server::builder().drain(ms(60_000), 1), 3);
    let (_, one) = drain(&mut world);
    world.advance(ms(500));
    let (_, two) = drain(&mut world);
    world.advance(ms(600));
    assert_eq!(open(&clients), [false, false, true]);
    world.advance(ms(1_000));
    assert_eq!((count(one.get()), count(two.get())), (Some((3, 0)), Some((3, 0))));
}

#[test]
fn a_shutdown_ends_a_drain() {
    let (mut world, clients) = world(Server::builder().drain(ms(60_000), 1), 3);
    let (_, told) = drain(&mut world);
    world.settle();
    world.server().shutdown();
    world.settle();
    assert_eq!((open(&clients), count(told.get())), (vec![false; 3], Some((3, 0))));
}

#[test]
fn a_drain_holds_under_any_faults() {
    run(0..60, |seed| {
        let builder = Server::builder().drain(ms(3_000), 3).max_handshakes(4).max_connections(8);
        let mut world = World::with_faults(seed, Faults::harsh().subset(seed), builder);
        let begin = seed as usize % 20;
        let mut told = None;
        for number in 0..20 {
            if number == begin {
                told = Some(drain(&mut world).1);
            }
            let client = world.connect();
            client.send("root", "chat", "hello");
            world.advance(ms(20 * (seed % 3)));
        }
        world.advance(ms(4_000));
        let drained = told.unwrap().get().expect("it is over a second after its deadline");
        assert!(drained.closed + drained.cut <= 8 + 20, "{drained:?}");
        world.advance(ms(20_000));
        assert_eq!(world.server().stats().sockets, 0);
    });
}

#[test]
fn what_not_even_a_cut_ends_is_told_as_cut() {
    let (clock, mut tasks) = (Clock::new(1), Tasks::new());
    let builder = Server::builder().environment(clock.clone()).drain(ms(1_000), usize::MAX);
    let server = builder.build().unwrap();
    let (keeper, sleeper) = (server.clone(), clock.clone());
    tasks.spawn(async move { keeper.run_timers(|wait| sleeper.sleep(wait)).await });
    // A framework that keeps what it was given.
    let upgrade = server.upgrade(request(), None).unwrap();
    let (drained, told) = (server.clone(), Rc::new(Cell::new(None)));
    let tell = told.clone();
    tasks.spawn(async move { tell.set(Some(drained.drain().await)) });
    while told.get().is_none() {
        if tasks.poll_nth_woken(0).is_none() {
            clock.advance_to(clock.next_deadline().expect("somebody waits for the drain to end"));
        }
    }
    assert_eq!(count(told.get()), Some((0, 1)));
    drop(upgrade);
    assert_eq!(server.stats().sockets, 0);
}

#[test]
fn only_one_keeps_time_and_another_once_it_is_gone() {
    let server = Server::builder().build().unwrap();
    let begin = || server.run_timers_on_demand(|_| std::future::pending::<()>());
    let first = begin();
    assert!(first.is_some() && begin().is_none());
    drop(first);
    assert!(begin().is_some());
}

#[test]
fn time_is_kept_for_as_long_as_there_is_somebody() {
    let clock = Clock::new(0);
    let builder = Server::builder().ping_interval(ms(100)).environment(clock.clone());
    let server = builder.build().unwrap();
    let mut tasks = Tasks::new();
    for _ in 0..2 {
        let (reader, writer, peer) = socket();
        tasks.spawn(server.upgrade(request(), None).unwrap().connect(reader, writer, b""));
        let sleeper = clock.clone();
        let time = server.run_timers_on_demand(move |wait| sleeper.sleep(wait));
        let keeper = tasks.spawn(time.expect("nobody does yet"));
        while tasks.poll_nth_woken(0).is_some() {}
        peer.take(usize::MAX, &mut Vec::new());
        clock.advance_to(clock.now() + ms(100));
        while tasks.poll_nth_woken(0).is_some() {}
        let mut heard = Vec::new();
        peer.take(usize::MAX, &mut heard);
        assert_eq!((heard, tasks.is_done(keeper)), (vec![0x89, 0], false), "a ping");
        peer.end_stream(Ok(()));
        while tasks.poll_nth_woken(0).is_some() {}
        assert_eq!((server.stats().sockets, tasks.is_done(keeper)), (0, true));
    }
}

#[test]
fn debug_output_names_a_connection() {
    let told = Arc::new(Mutex::new(String::new()));
    let tell = told.clone();
    let builder = Server::builder().on("tell", move |conn, _| {
        *tell.lock().unwrap() = format!("{conn:?}");
        Ok(())
    });
    let (mut world, clients) = world(builder, 1);
    clients[0].send("root", "tell", "");
    world.settle();
    assert!(told.lock().unwrap().contains(&clients[0].id()));
    let (reader, writer, _peer) = socket();
    let connection = world.server().connect(reader, writer, "10.0.0.7:80".parse().ok());
    assert_eq!(format!("{connection:?}"), "Connection { peer: Some(10.0.0.7:80), .. }");
}

/// A socket that takes nothing and does not say so.
struct Shut;

impl Writer for Shut {
    fn try_write(&self, _: &[u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn try_write_vectored(&self, _: &[io::IoSlice<'_>]) -> io::Result<usize> {
        Ok(0)
    }

    fn poll_writable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn shutdown(&self) {}
}

#[test]
fn a_socket_that_takes_nothing_though_it_could_is_lost() {
    let mut world = World::with_faults(1, Faults::none(), Server::builder());
    let (reader, _writer, peer) = socket();
    peer.deliver(&frames::request("/ws", ""));
    let connection = world.server().connect(reader, Shut, None);
    world.spawn(connection);
    world.settle();
    assert_eq!(world.server().stats().sockets, 0);
}

/// A socket behind a transport that writes on by itself.
struct Buffered {
    socket: socket::Writer,
    buffer: Arc<Buffer>,
}

/// Whether it is written, and who waits for that.
#[derive(Default)]
struct Buffer(Mutex<(bool, Option<Waker>)>);

impl Writer for Buffered {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.try_write(bytes)
    }

    fn try_write_vectored(&self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.socket.try_write_vectored(pieces)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_writable(cx)
    }

    fn shutdown(&self) {}

    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let (is_written, waker) = &mut *self.buffer.0.lock().unwrap();
        *waker = Some(cx.waker().clone());
        if *is_written { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[test]
fn who_has_gone_is_kept_until_its_transport_has_written_the_last_bytes() {
    for hangs_up in [false, true] {
        let mut world = World::with_faults(1, Faults::none(), Server::builder());
        let (reader, socket, peer) = socket();
        let buffer = Arc::new(Buffer::default());
        peer.deliver(&[frames::request("/ws", ""), close_frame()].concat());
        let writer = Buffered { socket, buffer: buffer.clone() };
        let connection = world.server().connect(reader, writer, None);
        world.spawn(connection);
        world.settle();
        if hangs_up {
            peer.end_stream(Ok(()));
            world.settle();
        }
        let stats = world.server().stats();
        assert_eq!((stats.closed_by_peer, stats.sockets), (1, 1), "it is dropped too early");
        let waker = {
            let (is_written, waker) = &mut *buffer.0.lock().unwrap();
            *is_written = true;
            waker.take()
        };
        waker.expect("the connection waits").wake();
        world.settle();
        assert_eq!(world.server().stats().sockets, 0);
    }
}

fn close_frame() -> Vec<u8> {
    let mut frame = Vec::new();
    frames::write(frames::first_byte::CLOSE, &1000_u16.to_be_bytes(), [1, 2, 3, 4], &mut frame);
    frame
}

#[test]
fn a_close_frame_is_looked_for_behind_a_short_message_and_not_behind_a_long_one() {
    for (message, sockets) in [(60 * 1024, 0), (80 * 1024, 1)] {
        let builder = Server::builder().close_timeout(ms(1_000));
        let mut world = World::with_faults(1, Faults::none(), builder);
        let (reader, writer, peer) = socket();
        peer.deliver(&frames::request("/ws", ""));
        let connection = world.server().connect(reader, writer, None);
        world.spawn(connection);
        world.settle();
        world.server().shutdown();
        world.settle();
        let mut frame = Vec::new();
        let binary = frames::first_byte::FINAL | frames::first_byte::BINARY;
        frames::write(binary, &vec![7; message], [1, 2, 3, 4], &mut frame);
        for piece in [&frame[..message], &frame[message..], &close_frame()] {
            peer.deliver(piece);
            world.settle();
        }
        assert_eq!(world.server().stats().sockets, sockets, "behind {message} bytes");
        world.advance(ms(1_000));
        assert_eq!(world.server().stats().sockets, 0);
    }
}

#[test]
fn ends_are_counted_by_whose_doing_they_were() {
    let (mut world, clients) = world(Server::builder(), 6);
    clients[0].close(1000, "bye");
    clients[1].reset();
    clients[2].half_close();
    let id = ConnId::parse(&clients[3].id()).unwrap();
    assert!(world.server().disconnect(id, 4000, "go"));
    clients[4].send_frame(0xff, b"no such frame");
    world.settle();
    let stats = world.server().stats();
    assert_eq!((stats.closed_by_peer, stats.lost, stats.connections), (1, 2, 1));
    assert_eq!(stats.closes.into_iter().collect::<Vec<_>>(), [(1002, 1), (4000, 1)]);
}

#[test]
fn a_crowd_from_one_address_passes_by_default() {
    let server = Server::builder().build().unwrap();
    let address: SocketAddr = "10.0.0.1:1".parse().unwrap();
    let come = |_| {
        let (reader, writer, peer) = socket();
        (server.connect(reader, writer, Some(address)), peer)
    };
    // So many at the same moment, beside some thousands who are in already.
    let upgrades: Vec<_> =
        (0..5_000).map(|_| server.upgrade(request(), Some(address)).unwrap()).collect();
    let silent: Vec<_> = (0..5_000).map(come).collect();
    let stats = server.stats();
    assert_eq!(
        (stats.handshakes, stats.sockets, stats.rejected_requests.len()),
        (5_000, 10_000, 0)
    );
    drop((upgrades, silent));
    assert_eq!(server.stats().sockets, 0);
}

#[test]
fn turning_away_costs_a_bounded_number_of_sockets_for_a_bounded_time() {
    let builder = Server::builder().max_handshakes(1).close_timeout(ms(60_000));
    let mut world = World::with_faults(1, Faults::none(), builder);
    let server = world.server().clone();
    let sockets: Vec<_> = (0..2_000)
        .map(|_| {
            let (reader, writer, peer) = socket();
            world.spawn(server.connect(reader, writer, None));
            peer
        })
        .collect();
    world.settle();
    let stats = server.stats();
    assert_eq!((stats.handshakes, stats.sockets), (1, 1 + 1024));
    assert_eq!(stats.rejected_requests.into_iter().collect::<Vec<_>>(), [(503, 1_999)]);
    let mut answer = Vec::new();
    sockets[1_999].take(usize::MAX, &mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", answer.escape_ascii());
    world.advance(ms(1_000));
    assert_eq!(server.stats().sockets, 1);
}

#[test]
fn an_ipv6_network_is_one_address_and_its_neighbour_another() {
    let builder = Server::builder().max_connections_per_address(1);
    let mut world = World::with_faults(1, Faults::none(), builder);
    let mut come = |address: &str| {
        let client = world.connect_from(address.parse().unwrap());
        world.settle();
        client.status()
    };
    assert_eq!(come("[2001:db8::1]:9"), Some(101));
    assert_eq!(come("[2001:db8::2]:9"), Some(429));
    assert_eq!(come("[2001:db8:0:1::1]:9"), Some(101));
    assert_eq!(come("10.0.0.1:9"), Some(101));
    assert_eq!(come("[::ffff:10.0.0.1]:9"), Some(429));
}
