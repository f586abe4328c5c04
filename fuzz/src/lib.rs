//! The fuzz targets as plain functions. Each checks properties that must hold for any input.
//!
//! cargo-fuzz calls these functions with bytes that it generates, and `tests/corpus.rs` with the
//! committed corpus. From the root of the project:
//!
//! ```text
//! cargo install --locked cargo-fuzz
//! cargo fuzz run -s none decode -- -seed=1 -runs=1000000 -max_len=4096 -dict=fuzz/roomer.dict
//! ```
//!
//! `-s none` disables sanitizers, so that the stable toolchain can be used. With `-seed` and
//! `-runs`, a run can be repeated as long as the corpus is the same; `-max_total_time=60` runs for
//! a minute instead. Git ignores the files that a run adds to `corpus/`. To keep a finding, give it
//! a name that ends in `.bin`. `cargo run --example seeds` generates the seeds.
#![forbid(unsafe_code)]

mod client;
mod decode;
mod frame;
mod handshake;
mod model;
mod nats;
mod plan;
mod resp;
mod snapshot;
mod websocket;

pub use client::client;
pub use decode::decode;
pub use frame::frame;
pub use handshake::handshake;
pub use nats::nats;
pub use plan::plan;
pub use resp::resp;
pub use snapshot::snapshot;
pub use websocket::websocket;
