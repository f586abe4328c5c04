//! The hostile mouth: what every byte string must keep to, as plain functions.
//!
//! cargo-fuzz calls them with bytes of its own making, `tests/corpus.rs` with the committed corpus.
//! From the project's root:
//!
//! ```text
//! cargo install --locked cargo-fuzz
//! cargo fuzz run -s none decode -- -max_total_time=60 -max_len=4096 -dict=fuzz/roomer.dict
//! ```
//!
//! `-s none` is for the stable toolchain. What a run adds to `corpus/` is ignored by git; keep a
//! finding by giving it a name that ends in `.bin`. The seeds are made by
//! `cargo run --example seeds`.
#![forbid(unsafe_code)]

mod decode;
mod handshake;
mod model;
mod plan;
mod session;
mod snapshot;

pub use decode::decode;
pub use handshake::handshake;
pub use plan::plan;
pub use session::session;
pub use snapshot::snapshot;
