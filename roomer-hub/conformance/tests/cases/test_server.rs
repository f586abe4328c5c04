//! A server that runs for one test, and its clients.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use roomer_engine::{Builder, Server};

use super::Harness;
use crate::Adapter;
use roomer_conformance::client::{Client, TIMEOUT};
pub(crate) use roomer_conformance::client::{expect_nothing, join_all};

/// A server that is running. When the test ends, it must stop, and no connection may be left.
pub(crate) struct TestServer {
    pub(crate) server: Server,
    pub(crate) addr: SocketAddr,
    adapter: Option<Adapter>,
}

impl TestServer {
    /// Starts a server with the default options, except that it practically never sends a ping.
    pub(crate) fn start() -> TestServer {
        TestServer::with(|builder| builder)
    }

    /// Starts a server with the rules of the original in Go.
    pub(crate) fn compat() -> TestServer {
        TestServer::with(Builder::compat)
    }

    /// Starts a server whose options `choose` sets.
    pub(crate) fn with(choose: impl FnOnce(Builder) -> Builder) -> TestServer {
        // Disable pings: on a busy machine a test may take a minute, and a ping would arrive
        // between the frames that it expects. Tests of pings set their own interval.
        let builder = Server::builder().pong_timeout(TIMEOUT * 100);
        let server = choose(builder).build().expect("valid options");
        let adapter = Adapter::start(server.clone());
        TestServer { server, addr: adapter.addr(), adapter: Some(adapter) }
    }

    /// Connects a client, which is then a member of `root`.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Connects a client that leaves `root`, so that it receives no notices about the clients
    /// there.
    pub(crate) fn roomless_client(&self) -> Client {
        let mut client = self.client();
        client.leave_root();
        client
    }

    pub(crate) fn roomless_clients<const N: usize>(&self) -> [Client; N] {
        std::array::from_fn(|_| self.roomless_client())
    }

    /// Connects clients that are members of one room only, and consumes the notices in it.
    pub(crate) fn clients_in<const N: usize>(&self, room: &str) -> [Client; N] {
        let mut members = self.roomless_clients();
        join_all(room, &mut members);
        members
    }

    /// Waits until the engine has no more sockets.
    pub(crate) fn wait_for_drain(&self) {
        block_on(self.server.drained());
        assert_eq!(self.server.stats().sockets, 0);
    }

    /// Waits until the engine has at most this many sockets. Until then, calls `poke` repeatedly;
    /// at the end, calls it once more.
    pub(crate) fn wait_for_sockets(&self, sockets: usize, mut poke: impl FnMut()) {
        let deadline = Instant::now() + TIMEOUT;
        while self.server.stats().sockets > sockets {
            assert!(Instant::now() < deadline, "still open: {:?}", self.server.stats());
            poke();
        }
        poke();
    }

    /// Stops serving. Returns after the adapter has returned. The adapter must do so within
    /// [`TIMEOUT`]. If the stop must not depend on one of the server's timeouts, the test sets that
    /// timeout much higher.
    pub(crate) fn stop(&mut self) {
        let adapter = self.adapter.take().expect("it runs");
        let (sender, stopped) = mpsc::channel();
        thread::spawn(move || {
            adapter.stop();
            let _ = sender.send(());
        });
        stopped.recv_timeout(TIMEOUT).expect("the server stops");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        if self.adapter.is_some() {
            self.stop();
        }
        let stats = self.server.stats();
        assert_eq!(
            (stats.connections, stats.rooms, stats.sockets),
            (0, 0, 0),
            "a connection or a room remains"
        );
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future that is woken by another thread, for [`TIMEOUT`] at most.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        let left = deadline.checked_duration_since(Instant::now()).expect("it ends in time");
        thread::park_timeout(left);
    }
}
