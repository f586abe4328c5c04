//! Clients with sessions, and a proxy between them and the server that breaks their connections.
//!
//! - [`soak`]: clients with sessions that exchange messages, requests and answers. At the end, all
//!   of their views are checked.
//! - [`proxy`]: breaks connections at any byte.
//! - [`session`]: the client's side of a session, over successive sockets.
//! - [`client`]: an honest client with a session. Its packets are checked like those of plain
//!   clients.
//! - [`requests`]: the requests that a client has sent, and those that it must answer.
//!
//! `ROOMER_CHAOS_CLIENTS` sets the number of clients (default 40), `ROOMER_CHAOS_SECONDS` the
//! duration (default 3), `ROOMER_CHAOS_SEED` the seed (default 1).

mod client;
mod proxy;
mod requests;
mod session;
mod soak;
