//! A soak test of sessions, whose clients connect through a proxy that breaks connections.
//!
//! - [`soak`]: clients with sessions that exchange messages, requests and answers, and the final
//!   checks of all their views.
//! - [`proxy`]: breaks connections at any byte.
//! - [`session`]: the client's side of a session, over successive sockets.
//! - [`client`]: an honest client with a session, whose packets are checked as those of plain clients.
//! - [`requests`]: the requests that a client has sent, and those that it must answer.
//!
//! `ROOMER_CHAOS_CLIENTS` sets the number of clients (default 40), `ROOMER_CHAOS_SECONDS` the
//! duration (default 3), `ROOMER_CHAOS_SEED` the seed (default 1).

mod client;
mod proxy;
mod requests;
mod session;
mod soak;
