//! Tests of the start and the end of connections: sockets, transports, upgrades and timers.
//!
//! They run in virtual time, with an audit whenever the server is idle.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use roomer_engine::{Builder, DrainReport, Server, Transport};
use roomer_hub::ConnId;
use roomer_testkit::socket::Socket;
use roomer_testkit::{Client, Clock, Faults, Tasks, World, frames, socket};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
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

/// Returns an upgrade request parsed by a framework.
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
fn leaked_upgrade_is_reported_as_aborted() {
    let (clock, mut tasks) = (Clock::new(1), Tasks::new());
    let builder = Server::builder().environment(clock.clone()).drain(ms(1_000), usize::MAX);
    let server = builder.build().unwrap();
    let (driver, sleeper) = (server.clone(), clock.clone());
    tasks.spawn(async move { driver.run_timers(|wait| sleeper.sleep(wait)).await });
    // The framework keeps the upgrade without connecting it.
    let upgrade = server.upgrade(request(), None).unwrap();
    let (drained, result) = (server.clone(), Rc::new(Cell::new(None)));
    let shared = result.clone();
    tasks.spawn(async move { shared.set(Some(drained.drain().await)) });
    while result.get().is_none() {
        if tasks.poll_nth_woken(0).is_none() {
            clock.advance_to(clock.next_deadline().expect("the drain has a timer"));
        }
    }
    let report: DrainReport = result.get().unwrap();
    assert_eq!((report.closed, report.aborted), (0, 1));
    drop(upgrade);
    assert_eq!(server.stats().sockets, 0);
}

#[test]
fn dropped_timer_driver_is_replaced() {
    let server = Server::builder().build().unwrap();
    let begin = || server.run_timers_on_demand(|_| std::future::pending::<()>());
    let first = begin();
    assert!(first.is_some() && begin().is_none());
    drop(first);
    assert!(begin().is_some());
}

#[test]
fn timers_run_on_demand_while_there_are_connections() {
    let clock = Clock::new(0);
    let builder = Server::builder().ping_interval(ms(100)).environment(clock.clone());
    let server = builder.build().unwrap();
    let mut tasks = Tasks::new();
    for _ in 0..2 {
        let (socket, peer) = socket();
        tasks.spawn(server.upgrade(request(), None).unwrap().connect(socket, b""));
        let sleeper = clock.clone();
        let timers = server.run_timers_on_demand(move |wait| sleeper.sleep(wait));
        let driver = tasks.spawn(timers.expect("no other driver"));
        while tasks.poll_nth_woken(0).is_some() {}
        peer.take(usize::MAX, &mut Vec::new());
        clock.advance_to(clock.now() + ms(100));
        while tasks.poll_nth_woken(0).is_some() {}
        let mut received = Vec::new();
        peer.take(usize::MAX, &mut received);
        assert_eq!((received, tasks.is_done(driver)), (vec![0x89, 0], false), "a ping");
        peer.end_stream(Ok(()));
        while tasks.poll_nth_woken(0).is_some() {}
        assert_eq!((server.stats().sockets, tasks.is_done(driver)), (0, true));
    }
}

#[test]
fn debug_output_contains_id_or_peer() {
    let result = Arc::new(Mutex::new(String::new()));
    let shared = result.clone();
    let builder = Server::builder().on("describe", move |conn, _| {
        *shared.lock().unwrap() = format!("{conn:?}");
        Ok(())
    });
    let (mut world, clients) = world(builder, 1);
    clients[0].send("root", "describe", "");
    world.settle();
    assert!(result.lock().unwrap().contains(&clients[0].id()));
    let (socket, _peer) = socket();
    let connection = world.server().connect(socket, "10.0.0.7:80".parse().ok());
    assert_eq!(format!("{connection:?}"), "Connection { peer: Some(10.0.0.7:80), .. }");
}

/// A socket that accepts no bytes but reports that it is writable.
struct Shut(Socket);

impl Transport for Shut {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, buf)
    }

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
fn writable_socket_accepting_nothing_is_lost() {
    let mut world = World::with_faults(1, Faults::none(), Server::builder());
    let (socket, peer) = socket();
    peer.deliver(&frames::request("/ws", ""));
    let connection = world.server().connect(Shut(socket), None);
    world.spawn(connection);
    world.settle();
    assert_eq!(world.server().stats().sockets, 0);
}

/// A socket behind a transport that is still writing after the shutdown.
struct Buffered {
    socket: Socket,
    buffer: Arc<Buffer>,
}

/// A flag that is true once all bytes are written, and the waiting task's waker.
#[derive(Default)]
struct Buffer(Mutex<(bool, Option<Waker>)>);

impl Transport for Buffered {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.socket.poll_read(cx, buf)
    }

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
fn closed_connection_is_kept_until_transport_is_flushed() {
    for hangs_up in [false, true] {
        let mut world = World::with_faults(1, Faults::none(), Server::builder());
        let (socket, peer) = socket();
        let buffer = Arc::new(Buffer::default());
        peer.deliver(&[frames::request("/ws", ""), close_frame()].concat());
        let transport = Buffered { socket, buffer: buffer.clone() };
        let connection = world.server().connect(transport, None);
        world.spawn(connection);
        world.settle();
        if hangs_up {
            peer.end_stream(Ok(()));
            world.settle();
        }
        let stats = world.server().stats();
        assert_eq!(
            (stats.closed_by_peer, stats.sockets),
            (1, 1),
            "the connection is dropped too early"
        );
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
fn close_frame_is_found_behind_short_message_only() {
    for (message, sockets) in [(60 * 1024, 0), (80 * 1024, 1)] {
        let builder = Server::builder().close_timeout(ms(1_000));
        let mut world = World::with_faults(1, Faults::none(), builder);
        let (socket, peer) = socket();
        peer.deliver(&frames::request("/ws", ""));
        let connection = world.server().connect(socket, None);
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
fn disconnects_are_counted_by_cause() {
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
fn default_allows_5000_connections_per_address() {
    let server = Server::builder().build().unwrap();
    let address: SocketAddr = "10.0.0.1:1".parse().unwrap();
    let connect = |_| {
        let (socket, peer) = socket();
        (server.connect(socket, Some(address)), peer)
    };
    // All these upgrades exist at the same time, alongside thousands of open connections.
    let upgrades: Vec<_> =
        (0..5_000).map(|_| server.upgrade(request(), Some(address)).unwrap()).collect();
    let silent: Vec<_> = (0..5_000).map(connect).collect();
    let stats = server.stats();
    assert_eq!(
        (stats.handshakes, stats.sockets, stats.rejected_requests.len()),
        (5_000, 10_000, 0)
    );
    drop((upgrades, silent));
    assert_eq!(server.stats().sockets, 0);
}

#[test]
fn early_rejections_are_bounded_in_number_and_time() {
    let builder = Server::builder().max_handshakes(1).close_timeout(ms(60_000));
    let mut world = World::with_faults(1, Faults::none(), builder);
    let server = world.server().clone();
    let sockets: Vec<_> = (0..2_000)
        .map(|_| {
            let (socket, peer) = socket();
            world.spawn(server.connect(socket, None));
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
fn ipv6_network_counts_as_one_address() {
    let builder = Server::builder().max_connections_per_address(1);
    let mut world = World::with_faults(1, Faults::none(), builder);
    let mut connect = |address: &str| {
        let client = world.connect_from(address.parse().unwrap());
        world.settle();
        client.status()
    };
    assert_eq!(connect("[2001:db8::1]:9"), Some(101));
    assert_eq!(connect("[2001:db8::2]:9"), Some(429));
    assert_eq!(connect("[2001:db8:0:1::1]:9"), Some(101));
    assert_eq!(connect("10.0.0.1:9"), Some(101));
    assert_eq!(connect("[::ffff:10.0.0.1]:9"), Some(429));
}

#[test]
fn session_resumes_while_old_socket_is_counted() {
    let server = Server::builder().max_connections(1).build().unwrap();
    let mut tasks = Tasks::new();
    let with = |query: String| {
        let mut request = request();
        *request.uri_mut() = format!("/ws?roomer=2{query}").parse().unwrap();
        server.upgrade(request, None).map_err(|rejected| rejected.status())
    };
    let (first, old) = socket();
    tasks.spawn(with(String::new()).unwrap().connect(first, b""));
    while tasks.poll_nth_woken(0).is_some() {}
    let mut received = Vec::new();
    old.take(usize::MAX, &mut received);
    let hello = String::from_utf8_lossy(&received).into_owned();
    assert!(hello.contains(r#""resumed":false"#), "{hello}");
    let token = hello.split('"').skip_while(|part| *part != "session").nth(2).unwrap();
    // The first socket stays silent, like one whose network has failed.
    assert_eq!(with("&session=x&received=1".into()).unwrap_err(), 503);
    let (second, new) = socket();
    let upgrade = with(format!("&session={token}&received=1")).unwrap();
    tasks.spawn(upgrade.connect(second, b""));
    while tasks.poll_nth_woken(0).is_some() {}
    received.clear();
    new.take(usize::MAX, &mut received);
    let hello = String::from_utf8_lossy(&received);
    assert!(hello.contains(r#""resumed":true"#), "{hello}");
    let stats = server.stats();
    assert_eq!((stats.opened, stats.connections, stats.sockets), (1, 1, 1));
    new.end_stream(Ok(()));
    while tasks.poll_nth_woken(0).is_some() {}
    assert_eq!((server.stats().sockets, server.stats().sessions.detached), (0, 1));
}
