//! Deterministic tests for *your* handlers: the real server, scripted clients, a faulty network.
//!
//! They run in virtual time on one thread, without sockets and without sleeps.
//!
//! A [`World`] contains a [`Server`](roomer_engine::Server), built by the same
//! [`Builder`](roomer_engine::Builder) as in production, with the same handlers and hooks. Its
//! [`Client`]s use real WebSocket frames over in-memory sockets. Time advances only when the test
//! advances it; sixty seconds take microseconds.
//!
//! ```
//! use std::time::Duration;
//! # mod roomer_tokio { pub use {roomer_engine::*, roomer_testkit as testkit}; }
//! use roomer_tokio::Server;
//! use roomer_tokio::testkit::World;
//!
//! let builder = Server::builder().on("add", |conn, message| {
//!     conn.send_to_room(message.room, "added", message.payload);
//!     Ok(())
//! });
//! let mut world = World::new(1, builder);
//! let (ann, bob) = (world.connect(), world.connect());
//! ann.join("lobby");
//! bob.join("lobby");
//! world.settle();
//! assert_eq!(ann.members("lobby").unwrap().len(), 2);
//!
//! ann.send("lobby", "add", "milk");
//! world.settle();
//! assert_eq!(bob.texts("lobby", "added"), ["milk"]);
//!
//! // Bob's machine loses its network. The server notices when a ping is not answered.
//! bob.unplug();
//! world.advance(Duration::from_secs(50));
//! assert_eq!(ann.members("lobby").unwrap().len(), 2);
//! world.advance(Duration::from_secs(60));
//! assert_eq!(ann.members("lobby").unwrap(), [ann.id()]);
//! ```
//!
//! # What is random, and what is checked
//!
//! Wherever several things can happen next, the seed determines the order: which bytes arrive
//! first, how they are split, and which connection is polled. With [`Faults`], the network also
//! loses connections, stalls, and fills its buffers. The same seed produces the same run.
//!
//! A world always checks each client's view of each room against roomer's contract (first a
//! `join_ack`, and then only packets that are consistent with it), each frame against RFC 6455, and
//! the server's tables and queues against each other. Your test asserts the rest.
//!
//! # A tutorial: a lost update
//!
//! The server keeps a counter. To increment it, a client requests the number, adds one, and stores
//! the result.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
//! # mod roomer_tokio { pub use {roomer_engine::*, roomer_testkit as testkit}; }
//! use roomer_tokio::{Builder, Server};
//! use roomer_tokio::testkit::{World, find};
//!
//! fn counter(count: &Arc<AtomicU64>) -> Builder {
//!     let (get, set) = (count.clone(), count.clone());
//!     Server::builder()
//!         .on("get", move |conn, _| {
//!             let count = get.load(Relaxed).to_string();
//!             conn.send_to_client(conn.id().as_str(), "count", count.as_bytes());
//!             Ok(())
//!         })
//!         .on("set", move |_, message| {
//!             set.store(std::str::from_utf8(message.payload)?.parse()?, Relaxed);
//!             Ok(())
//!         })
//! }
//!
//! // The scenario: two clients increment the counter at the same time. `on` registers a client's
//! // reaction to an event.
//! fn both_count(seed: u64) {
//!     let count = Arc::new(AtomicU64::new(0));
//!     let mut world = World::new(seed, counter(&count));
//!     for client in [world.connect(), world.connect()] {
//!         client.on("count", |client, packet| {
//!             let count: u64 = std::str::from_utf8(&packet.payload).unwrap().parse().unwrap();
//!             client.send("root", "set", (count + 1).to_string());
//!         });
//!         client.send("root", "get", "");
//!     }
//!     world.settle();
//!     assert_eq!(count.load(Relaxed), 2, "an update is lost");
//! }
//!
//! // The bug shows only in some orders; a test with a single order could miss it.
//! let failure = find(0..100, both_count).expect("the bug is found");
//! assert!(failure.message.contains("an update is lost"));
//!
//! // The seed reproduces the failure.
//! assert_eq!(find(failure.seed..failure.seed + 1, both_count), Some(failure));
//! ```
//!
//! In your own test, call [`run`]`(0..1000, both_count)`. It stops at the first seed that fails and
//! reports it; `ROOMER_SEED=17 cargo test` runs that seed alone, for example with more logging. The
//! fix is to increment on the server, with one message:
//!
//! ```
//! # use std::sync::Arc;
//! # use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
//! # use roomer_engine::{Builder, Server};
//! # use roomer_testkit::{World, run};
//! fn counter(count: &Arc<AtomicU64>) -> Builder {
//!     let count = count.clone();
//!     Server::builder().on("add", move |_, _| {
//!         count.fetch_add(1, Relaxed);
//!         Ok(())
//!     })
//! }
//!
//! run(0..100, |seed| {
//!     let count = Arc::new(AtomicU64::new(0));
//!     let mut world = World::new(seed, counter(&count));
//!     for client in [world.connect(), world.connect()] {
//!         client.send("root", "add", "");
//!     }
//!     world.settle();
//!     assert_eq!(count.load(Relaxed), 2, "an update is lost");
//! });
//! ```
//!
//! # Panics, errors and waiting handlers
//!
//! The server catches a panic in a handler, a rule or a hook, and closes only that connection. In a
//! world, the panic fails the test, with its message and the seed. A test about a panic calls
//! [`World::allow_panics`] and inspects [`World::panics`]. Errors that handlers return are in
//! [`World::errors`], and are printed if the test fails.
//!
//! ```
//! # mod roomer_tokio { pub use {roomer_engine::*, roomer_testkit as testkit}; }
//! use roomer_tokio::Server;
//! use roomer_tokio::testkit::{World, find};
//!
//! let sell = |seed| {
//!     let mut world = World::new(seed, Server::builder().on("sell", |_, message| {
//!         let stock = [7, 3];
//!         let number: usize = message.text()?.parse()?;
//!         assert!(stock[number] > 0);
//!         Ok(())
//!     }));
//!     let ann = world.connect();
//!     ann.send("root", "sell", "two");
//!     world.settle();
//!     assert_eq!(world.errors()[0].message, "invalid digit found in string");
//!     ann.send("root", "sell", "2");
//!     world.settle();
//! };
//! let message = find(0..1, sell).expect("it panics").message;
//! assert!(message.contains("`sell`, for client 0, panicked: index out of bounds"));
//! ```
//!
//! A handler may wait for an action by another client, or by the test between two steps;
//! [`World::waiting`] lists the waiting handlers. The seed cannot determine the order of events
//! *outside* a world, and no runtime runs inside it. A handler that waits for tokio, for another
//! thread (as smol's `unblock` and timers do), or for something that can never happen therefore
//! fails the test, which names the handler. For tokio, use `TokioWorld` from
//! `roomer_tokio::testkit` inside `#[tokio::test(start_paused = true)]`. For other runtimes, test
//! such handlers over a real socket, or replace what they wait for with a channel that the test
//! answers.
//!
//! # Handshakes and credentials
//!
//! [`World::connect`] adds a client without credentials. [`World::connect_with`] takes a
//! [`Handshake`]: path, query, headers, the client's address, and the request extensions that your
//! framework's middleware would set, such as claims.
//!
//! ```
//! # mod roomer_tokio { pub use {roomer_engine::*, roomer_testkit as testkit}; }
//! use roomer_tokio::{Claims, Server};
//! use roomer_tokio::testkit::{Handshake, World};
//!
//! #[derive(Clone)]
//! struct Staff;
//!
//! let is_staff = |conn: &roomer_tokio::Conn| conn.extension::<Staff>().is_some();
//! let builder = Server::builder().may_join(move |conn, room| room != "staff" || is_staff(conn));
//! let mut world = World::new(1, builder);
//! let ann = Claims::new().user("ann").with(Staff);
//! let ann = world.connect_with(Handshake::new().extension(ann));
//! let bob = world.connect_with(Handshake::new().query("token", "guess"));
//! ann.join("staff");
//! bob.join("staff");
//! world.settle();
//! assert_eq!(ann.members("staff").unwrap(), [ann.id()]);
//! assert_eq!(bob.members("staff"), None);
//! ```
//!
//! # Network faults
//!
//! A test proves more if it passes under every fault, and not only on a perfect network. Run a
//! scenario under [`Faults::harsh`] for a while, then [`heal`](World::heal) the world and assert on
//! the resulting state. [`Faults::subset`] enables different faults for each seed. Over many seeds,
//! this finds more bugs than enabling all faults at the same time.
//!
//! ```
//! use std::time::Duration;
//! # mod roomer_tokio { pub use {roomer_engine::*, roomer_testkit as testkit}; }
//! use roomer_tokio::Server;
//! use roomer_tokio::testkit::{Faults, World, run};
//!
//! run(0..20, |seed| {
//!     let faults = Faults::harsh().subset(seed);
//!     let mut world = World::with_faults(seed, faults, Server::builder());
//!     for _ in 0..5 {
//!         let client = world.connect();
//!         client.join("lobby");
//!         client.send("lobby", "chat", "hello");
//!     }
//!     world.advance(Duration::from_secs(30));
//!     world.heal();
//!
//!     // Each open client's list contains exactly the open clients.
//!     let open: Vec<_> = world.clients().iter().filter(|client| client.is_open()).collect();
//!     for client in &open {
//!         assert_eq!(client.members("root").unwrap().len(), open.len());
//!     }
//! });
//! ```
//!
//! # Building blocks
//!
//! A world is built from public parts: a [`Clock`], which is the engine's
//! [`Environment`](roomer_engine::Environment); a [`socket()`], which is its transport; [`Tasks`],
//! which poll its futures; and [`frames`], a second implementation of WebSocket framing. You can
//! build your own simulator on them, like roomer's (`roomer-hub/simulator`).

mod application;
mod client;
mod clock;
mod faults;
pub mod frames;
mod handshake;
mod history;
mod members;
mod network;
mod receive;
mod requests;
mod rng;
mod seeds;
mod session;
pub mod socket;
mod tasks;
mod view;
mod world;

pub use client::{Client, Closed};
pub use clock::{Clock, Sleep};
pub use faults::Faults;
pub use handshake::Handshake;
pub use rng::Rng;
pub use roomer_engine::{HandlerFailure, HandlerMonitor, PendingHandler};
pub use seeds::{Failure, SEED_VARIABLE, find, run};
pub use socket::socket;
pub use tasks::Tasks;
pub use world::World;

#[cfg(test)]
mod tests;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
