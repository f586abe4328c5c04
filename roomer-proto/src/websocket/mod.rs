//! WebSocket frames over memory (RFC 6455), for a server and for a client.
//!
//! A [`Session`] turns the bytes of one connection into whole messages and control frames; the
//! functions here encode the frames that a server sends; a client masks them. Both work without a socket.
//! [`tungstenite`] reads and writes the frame headers. The rules of a connection (fragments, limits,
//! close codes, text) are implemented here, so that a message that lies whole in the read buffer is
//! never copied and an idle connection owns no buffer.
//!
//! ```
//! use roomer_proto::websocket::{Event, Kind, Limits, Session};
//!
//! // "hi" as a masked binary frame, arriving in two reads.
//! let mut wire = *b"\x82\x82\x01\x02\x03\x04\x69\x6b";
//! let (first, second) = wire.split_at_mut(5);
//! let mut session = Session::new();
//! let limits = Limits::default();
//!
//! assert!(session.feed(&limits, first).next().is_none());
//! let mut feed = session.feed(&limits, second);
//! let Some(Ok(event)) = feed.next() else { panic!("a whole message is there") };
//! assert_eq!(event, Event::Message { kind: Kind::Binary, data: b"hi" });
//! ```

#[cfg(feature = "deflate")]
pub mod deflate;
mod encode;
mod frame;
mod mask;
mod message;
mod session;
mod unfinished;
mod violation;

pub use crate::close::code;
#[cfg(all(feature = "client", feature = "deflate"))]
pub(crate) use encode::masked_compressed_frame;
#[cfg(feature = "client")]
pub(crate) use encode::masked_frame;
pub use encode::{
    CONTROL_MAX, close_frame, message_frame, packet_frame, packet_frame_head, ping_frame,
    pong_frame,
};
pub use message::{Kind, Limits};
pub use session::{Event, Feed, Session};
pub use violation::{Violation, valid_close_code};
