//! Tests the client of `roomer_proto` against the real server, in virtual time.

mod history;
mod life;
mod plans;
mod recalls;
mod requests;
mod rooms;
mod sessions;
