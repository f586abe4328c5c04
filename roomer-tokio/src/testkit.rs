//! Test *your* handlers: the real server, scripted clients and a hostile network, without a socket.
//!
//! It is the feature `testkit`, for `[dev-dependencies]`; `#[tokio::test(start_paused = true)]` needs
//! tokio's feature `test-util`.
//!
//! Everything of [`roomer_testkit`] is here; its page has the tutorial. A [`World`] of it is a
//! plain test on one thread, with no runtime: all that happens happens in an order that the seed
//! decides. Handlers that need tokio (its timers, `spawn_blocking`, `tokio::spawn`, sockets, and so
//! sqlx and reqwest) need a [`TokioWorld`] instead, inside `#[tokio::test(start_paused = true)]`:
//!
//! ```
//! use std::time::Duration;
//! use roomer_tokio::Server;
//! use roomer_tokio::testkit::TokioWorld;
//! use tokio::task::spawn_blocking;
//! use tokio::time::sleep;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let builder = Server::builder()
//!     .on_async("hash", |conn, message| async move {
//!         let sum = spawn_blocking(move || message.payload.iter().map(|b| u32::from(*b)).sum());
//!         let sum: u32 = sum.await?;
//!         conn.send_to_room("root", "sum", sum.to_string().as_bytes());
//!         Ok(())
//!     })
//!     .on_async("remind", |conn, message| async move {
//!         sleep(Duration::from_secs(600)).await;
//!         conn.send_to_room("root", "reminder", &message.payload);
//!         Ok(())
//!     });
//! let mut world = TokioWorld::new(1, builder);
//! let (ann, bob) = (world.connect(), world.connect());
//! world.settle().await;
//!
//! // Work on other threads is waited for, in real time.
//! ann.send("root", "hash", "abc");
//! world.settle().await;
//! assert_eq!(bob.texts("root", "sum"), ["294"]);
//!
//! // Timers are not: tokio's clock stands still, and goes on together with the world's.
//! ann.send("root", "remind", "tea");
//! world.settle().await;
//! assert!(bob.texts("root", "reminder").is_empty());
//! world.advance(Duration::from_secs(600)).await;
//! assert_eq!(bob.texts("root", "reminder"), ["tea"]);
//! # }
//! ```
//!
//! # What is waited for
//!
//! [`settle`](TokioWorld::settle) ends when no connection has anything to do and no handler, rule or
//! hook of yours is under way. One that still waits is given a second of real time in which nothing
//! happens ([`set_patience`](TokioWorld::set_patience)): whatever it waits for then is taken to be
//! virtual time, or another client. Such a wait costs the test that second once. Tasks that you
//! have spawned get their turns, but are not waited for. For them, and for work that takes longer,
//! wait for what is to come of it: [`until`](TokioWorld::until).
//!
//! [`advance`](TokioWorld::advance) moves both clocks, from one timer to the next, settling each
//! time. As everywhere with tokio's paused clock, a timeout round real I/O that takes longer than
//! the patience fires early, because time goes on while nothing else does.
//!
//! A panic of a handler, a rule or a hook fails the test, and what waits is printed when a test
//! fails, as in every [`World`].
//!
//! [`run`] and [`find`] take a plain function. Here, a loop does: the message of a failure has the
//! seed.
//!
//! ```
//! # use roomer_tokio::{Server, testkit::TokioWorld};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! for seed in 0..10 {
//!     let mut world = TokioWorld::new(seed, Server::builder());
//!     let ann = world.connect();
//!     world.settle().await;
//!     world.check(ann.is_open(), || "she is not in".into());
//! }
//! # }
//! ```

mod world;

pub use roomer_testkit::*;
pub use world::TokioWorld;
