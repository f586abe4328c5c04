//! One test's own server, and clients of it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use roomer_engine::{Builder, Server};

use super::Harness;
use crate::Adapter;
use roomer_conformance::client::{Client, PATIENCE};

/// A running server. When a test is over, its server must stop and have nobody left.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) addr: SocketAddr,
    adapter: Option<Adapter>,
    _turn: Turn,
}

impl Site {
    /// With roomer's defaults.
    pub(crate) fn open() -> Site {
        Site::with(|builder| builder)
    }

    /// With the Go original's rules.
    pub(crate) fn compat() -> Site {
        Site::with(Builder::compat)
    }

    pub(crate) fn with(choose: impl FnOnce(Builder) -> Builder) -> Site {
        Site::start(choose, Turn::shared())
    }

    /// With no other test in this process meanwhile, for those that measure it.
    pub(crate) fn alone(choose: impl FnOnce(Builder) -> Builder) -> Site {
        Site::start(choose, Turn::alone())
    }

    fn start(choose: impl FnOnce(Builder) -> Builder, turn: Turn) -> Site {
        let server = choose(Server::builder()).build().expect("a sound choice of options");
        let adapter = Adapter::start(server.clone());
        Site { server, addr: adapter.addr(), adapter: Some(adapter), _turn: turn }
    }

    /// Somebody new, in root.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Somebody who has left root and so hears nothing of others who come and go.
    pub(crate) fn loner(&self) -> Client {
        let mut client = self.client();
        client.say("root", "leave", b"");
        loop {
            let packet = client.packet();
            assert_eq!(packet.room, "root");
            match &*packet.event {
                "new_member" | "member_left" => {}
                "leave_ack" => return client,
                _ => panic!("{packet:?}"),
            }
        }
    }

    pub(crate) fn loners<const N: usize>(&self) -> [Client; N] {
        std::array::from_fn(|_| self.loner())
    }

    /// Loners who are all in one room, with the notices about each other behind them.
    pub(crate) fn room<const N: usize>(&self, name: &str) -> [Client; N] {
        let mut members = self.loners();
        gather(name, &mut members);
        members
    }

    /// Waits until the engine has no socket left.
    pub(crate) fn drained(&self) {
        block_on(self.server.drained());
        assert_eq!(self.server.stats().sockets, 0);
    }

    /// Waits until the engine has no more than so many sockets, by asking it for something again
    /// and again, and once more when that is so.
    pub(crate) fn settled(&self, sockets: usize, mut ask: impl FnMut()) {
        let start = Instant::now();
        while self.server.stats().sockets > sockets {
            assert!(start.elapsed() < PATIENCE, "still there: {:?}", self.server.stats());
            ask();
        }
        ask();
    }

    /// Stops serving; returns when the adapter says that it is done.
    pub(crate) fn stop(&mut self) {
        self.adapter.take().expect("it runs").stop();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        if let Some(adapter) = self.adapter.take() {
            adapter.stop();
        }
        let stats = self.server.stats();
        assert_eq!((stats.connections, stats.rooms, stats.sockets), (0, 0, 0), "somebody is left");
    }
}

/// Has everybody join a room that is new, and hear of those who follow.
pub(crate) fn gather(name: &str, members: &mut [Client]) {
    for i in 0..members.len() {
        let snapshot = members[i].join(name);
        assert_eq!(snapshot.len(), i + 1);
        let id = members[i].id.clone();
        for earlier in &mut members[..i] {
            assert!(snapshot.contains(&earlier.id));
            earlier.expect_new_member(name, &id);
        }
    }
}

/// None of them has got anything that was not expected.
#[track_caller]
pub(crate) fn hear_nothing<const N: usize>(clients: [&mut Client; N]) {
    for client in clients {
        client.expect_nothing();
    }
}

/// A site's turn: many at once, or one alone. One that waits to be alone keeps nobody waiting, so
/// that a test may have several sites.
struct Turn {
    is_alone: bool,
}

static SITES: Mutex<usize> = Mutex::new(0);
static CHANGED: Condvar = Condvar::new();
const ALONE: usize = usize::MAX;

impl Turn {
    fn shared() -> Turn {
        let sites = SITES.lock().unwrap();
        *CHANGED.wait_while(sites, |sites| *sites == ALONE).unwrap() += 1;
        Turn { is_alone: false }
    }

    fn alone() -> Turn {
        let sites = SITES.lock().unwrap();
        *CHANGED.wait_while(sites, |sites| *sites > 0).unwrap() = ALONE;
        Turn { is_alone: true }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut sites = SITES.lock().unwrap();
        *sites = if self.is_alone { 0 } else { *sites - 1 };
        CHANGED.notify_all();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future that something else will wake, for a bounded time.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    let start = Instant::now();
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        let left = PATIENCE.checked_sub(start.elapsed()).expect("it ends in time");
        thread::park_timeout(left);
    }
}
