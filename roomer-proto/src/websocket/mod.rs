//! WebSocket framing (RFC 6455) without I/O, for servers and clients.
//!
//! A [`Decoder`] parses the bytes of one connection into complete messages and control frames. The
//! functions in this module encode frames, and mask client frames. Frame headers are parsed and
//! formatted by [`tungstenite`]. The rules for connections (fragments, limits, close codes, text)
//! are implemented here, so a message that is complete in the read buffer is never copied, and idle
//! connections own no buffers.
//!
//! ```
//! use roomer_proto::websocket::{Event, Kind, Limits, Decoder};
//!
//! // "hi" as a masked binary frame, arriving in two reads.
//! let mut wire = *b"\x82\x82\x01\x02\x03\x04\x69\x6b";
//! let (first, second) = wire.split_at_mut(5);
//! let mut decoder = Decoder::new();
//! let limits = Limits::default();
//!
//! assert!(decoder.feed(&limits, first).next().is_none());
//! let mut feed = decoder.feed(&limits, second);
//! let Some(Ok(event)) = feed.next() else { panic!("a whole message is there") };
//! assert_eq!(event, Event::Message { kind: Kind::Binary, data: b"hi" });
//! ```

mod decoder;
mod defer;
#[cfg(feature = "deflate")]
pub mod deflate;
mod encode;
mod frame;
mod mask;
mod message;
mod unfinished;
mod violation;

pub use crate::close::code;
pub use decoder::{Decoder, Event, Feed};
#[cfg(all(feature = "client", feature = "deflate"))]
pub(crate) use encode::masked_compressed_frame;
#[cfg(feature = "client")]
pub(crate) use encode::masked_frame;
pub use encode::{
    CONTROL_MAX, close_frame, message_frame, packet_frame, packet_frame_head, ping_frame,
    pong_frame,
};
pub use message::{Kind, Limits};
pub use violation::{Violation, valid_close_code};
