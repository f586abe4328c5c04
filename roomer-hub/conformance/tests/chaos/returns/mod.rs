//! Clients that return: a soak test of sessions through a proxy that loses connections.
//!
//! - [`soak`]: clients with sessions that send messages, requests and answers, and the facts that
//!   all of them have to know.
//! - [`proxy`]: loses connections at any byte.
//! - [`session`]: the client's side of a session, over one socket after the other.
//! - [`client`]: an honest client with a session, whose packets are checked as those of plain clients.
//! - [`requests`]: the requests of a client, and those that it has to answer.
//!
//! `ROOMER_CHAOS_CLIENTS` sets the number of clients (default 40), `ROOMER_CHAOS_SECONDS` the duration
//! (default 3), `ROOMER_CHAOS_SEED` the choices (default 1).

mod client;
mod proxy;
mod requests;
mod session;
mod soak;
