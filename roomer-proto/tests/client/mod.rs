//! Tests the client without a network.

mod answers;
mod closing;
#[cfg(feature = "deflate")]
mod compression;
mod crossings;
mod external_websocket;
mod garbage;
mod handshake;
mod info;
mod leaving;
mod requests;
mod support;
mod waiting;
