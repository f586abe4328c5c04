//! A test kit that runs your handlers in the real server, with scripted clients.
//!
//! It injects network faults, but uses no sockets.
//!
//! Enable the `testkit` feature in `[dev-dependencies]`; `#[tokio::test(start_paused = true)]` needs
//! tokio's feature `test-util`.
//!
//! This module re-exports [`roomer_testkit`], whose page contains the tutorial. Its [`World`] runs on
//! one thread without a runtime, in an order that depends only on the seed. Handlers that need tokio
//! (timers, `spawn_blocking`, `tokio::spawn`, sockets, and therefore sqlx and reqwest) need a
//! [`TokioWorld`] instead, within `#[tokio::test(start_paused = true)]`:
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
//! // `settle` waits for work on other threads, in real time.
//! ann.send("root", "hash", "abc");
//! world.settle().await;
//! assert_eq!(bob.texts("root", "sum"), ["294"]);
//!
//! // It does not wait for timers: tokio's clock is paused and advances with the world's clock.
//! ann.send("root", "remind", "tea");
//! world.settle().await;
//! assert!(bob.texts("root", "reminder").is_empty());
//! world.advance(Duration::from_secs(600)).await;
//! assert_eq!(bob.texts("root", "reminder"), ["tea"]);
//! # }
//! ```
//!
//! # When `settle` returns
//!
//! [`settle`](TokioWorld::settle) returns when no connection has work and no handler, rule or hook
//! is running. If one of these is still pending, `settle` waits until there was no event for a
//! second of real time ([`set_patience`](TokioWorld::set_patience)). It then assumes that the
//! handler waits for virtual time or for another client. Each such wait delays the test by that
//! second only once. Tasks that you have spawned are polled, but `settle` does not wait for them.
//! To wait for such tasks, or for work that takes longer, use [`until`](TokioWorld::until) with a
//! condition on the result.
//!
//! [`advance`](TokioWorld::advance) moves both clocks from one timer to the next, and settles after
//! each step. As always with tokio's paused clock, time advances while nothing else happens, so a
//! timeout around real I/O that takes longer than the patience fires early.
//!
//! As in every [`World`], a panic in a handler, rule or hook fails the test, and a failing test
//! prints the pending calls.
//!
//! [`run`] and [`find`] take a synchronous function. With a `TokioWorld`, use a loop instead: the
//! failure message contains the seed.
//!
//! ```
//! # use roomer_tokio::{Server, testkit::TokioWorld};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! for seed in 0..10 {
//!     let mut world = TokioWorld::new(seed, Server::builder());
//!     let ann = world.connect();
//!     world.settle().await;
//!     world.check(ann.is_open(), || "ann is not connected".into());
//! }
//! # }
//! ```

mod world;

pub use roomer_testkit::*;
pub use world::TokioWorld;
