//! Test *your* handlers: the real server, scripted clients and a hostile network, in virtual time
//! on one thread, with no socket, no sleep and no luck.
//!
//! A [`World`] has a [`Server`](roomer_engine::Server) in it, built by the same
//! [`Builder`](roomer_engine::Builder) as in production, with the same handlers and hooks. Its
//! [`Client`]s speak real WebSocket over sockets that are memory. Time goes on when you say so, and
//! sixty seconds take microseconds.
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
//! // Bob's machine loses its network. Nobody knows, until he has not answered a ping.
//! bob.vanish();
//! world.advance(Duration::from_secs(50));
//! assert_eq!(ann.members("lobby").unwrap().len(), 2);
//! world.advance(Duration::from_secs(60));
//! assert_eq!(ann.members("lobby").unwrap(), [ann.id()]);
//! ```
//!
//! # What it does to your code
//!
//! Whatever can happen in any order happens in an order that the seed decides: whose bytes arrive
//! first, in which pieces, which connection has its turn. Under [`Faults`] the network also loses
//! connections, stalls, and fills up. All of that is the same again for the same seed.
//!
//! It checks by itself, always: every client's view of every room against roomer's contract (a
//! `join_ack` first, then only what agrees with it), every frame against RFC 6455, the server's
//! tables and queues against each other. You assert the rest.
//!
//! # A tutorial: a lost update
//!
//! A counter, kept by the server. A client that wants to count asks for the number, adds one, and
//! stores it.
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
//! // The scenario: two clients count, at the same time. A client is a script: `on` says what it
//! // does when it hears something.
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
//! // Some orders are fine, and a test that knew only those would be green. Others are not.
//! let failure = find(0..100, both_count).expect("the bug is found");
//! assert!(failure.message.contains("an update is lost"));
//!
//! // The seed is all there is to know. It fails again, every time.
//! assert_eq!(find(failure.seed..failure.seed + 1, both_count), Some(failure));
//! ```
//!
//! In your own test, write [`run`]`(0..1000, both_count)`: it stops at the first seed that fails
//! and says which it was, and `ROOMER_SEED=17 cargo test` runs that one alone, with whatever
//! logging you add. The fix is to count where the number is kept, in one message:
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
//! # When your code panics, fails, or waits
//!
//! The server contains a panic of a handler, a rule or a hook, since it may cost one connection
//! only. A world does not: the test fails with what the panic said, and the seed. A test about a
//! panic allows it ([`World::allow_panics`]) and looks at [`World::panics`]. Errors that handlers
//! return are at [`World::errors`], and are printed when a test fails.
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
//! A handler may wait for what another client does, or for what the test does between two steps;
//! [`World::waiting`] tells which do. What is *outside* a world has no order that a seed decides,
//! and no runtime runs here: one that waits for tokio, for a thread (as smol's `unblock` and its
//! timers do), or for something that can never come, fails the test by name. For tokio there is
//! `TokioWorld` in `roomer_tokio::testkit`, inside `#[tokio::test(start_paused = true)]`. For other
//! runtimes, test such handlers over a real socket, or give them a stand-in that the test answers
//! for.
//!
//! # Who comes in, and with what
//!
//! [`World::connect`] is a client that says nothing of itself. [`World::connect_with`] takes a
//! [`Handshake`]: path, query, headers, the client's address, and what a middleware of your
//! framework would put into the request's extensions, such as claims.
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
//! # Losing connections
//!
//! What is true under every fault is worth more than what is true in fair weather. Let
//! [`Faults::harsh`] rage for a while, then [`calm`](World::calm) the world and assert on what is
//! left. [`Faults::some`] turns on others for each seed, which over many seeds finds more than all
//! of them at once.
//!
//! ```
//! use std::time::Duration;
//! # mod roomer_tokio { pub use {roomer_engine::*, roomer_testkit as testkit}; }
//! use roomer_tokio::Server;
//! use roomer_tokio::testkit::{Faults, World, run};
//!
//! run(0..20, |seed| {
//!     let faults = Faults::harsh().some(seed);
//!     let mut world = World::with_faults(seed, faults, Server::builder());
//!     for _ in 0..5 {
//!         let client = world.connect();
//!         client.join("lobby");
//!         client.send("lobby", "chat", "hello");
//!     }
//!     world.advance(Duration::from_secs(30));
//!     world.calm();
//!
//!     // Whoever is left knows exactly who is left.
//!     let open: Vec<_> = world.clients().iter().filter(|client| client.is_open()).collect();
//!     for client in &open {
//!         assert_eq!(client.members("root").unwrap().len(), open.len());
//!     }
//! });
//! ```
//!
//! # What it is made of
//!
//! A [`Clock`] that is the engine's [`Environment`](roomer_engine::Environment), a [`socket()`]
//! that is its transport, [`Tasks`] that poll its futures, and [`frames`] written independently of
//! roomer's own. They are public: roomer's simulator (`examples/sim.rs`) is built on them, and so
//! can yours be.

mod application;
mod client;
mod clock;
mod faults;
pub mod frames;
mod handshake;
mod hearing;
mod network;
mod rng;
pub mod socket;
mod tasks;
mod trials;
mod view;
mod world;

pub use client::{Client, Closed};
pub use clock::{Clock, Sleep};
pub use faults::Faults;
pub use handshake::Handshake;
pub use rng::Rng;
pub use roomer_engine::{HandlerFailure, HandlerMonitor, PendingHandler};
pub use socket::socket;
pub use tasks::Tasks;
pub use trials::{Failure, SEED, find, run};
pub use world::World;

#[cfg(test)]
mod tests;
