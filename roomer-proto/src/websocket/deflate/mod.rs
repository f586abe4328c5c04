//! permessage-deflate (RFC 7692), with each message compressed independently.
//!
//! Neither side keeps a compression context between messages (*no context takeover*, sections 7.1.1.1
//! and 7.1.1.2). A server can therefore send one compressed frame to all receivers, and connections do
//! not need their own compressors. The cost is that a message cannot refer to similar earlier ones.
//!
//! | step | item |
//! |---|---|
//! | the client's offer, the server's answer | [`Agreement`], [`OFFER`] |
//! | a message is compressed | [`Deflater`] |
//! | a decoder admits compressed messages | [`Decoder::accept_compressed`](super::Decoder::accept_compressed) |
//! | the message is inflated, up to a limit | [`Inflater`] |
//!
//! ```
//! use roomer_proto::websocket::deflate::{Agreement, Deflater, Inflater};
//! use roomer_proto::websocket::{Event, Kind, Limits, Decoder};
//!
//! let agreed = Agreement::accept([&b"permessage-deflate; client_max_window_bits"[..]]).unwrap();
//! assert_eq!(
//!     agreed.to_string(),
//!     "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
//! );
//!
//! let mut frame = Vec::new();
//! Deflater::new().message_frame(Kind::Binary, &[7; 1000], &mut frame);
//! assert!(frame.len() < 30);
//!
//! let mut client = Decoder::client();
//! client.accept_compressed();
//! let limits = Limits::default();
//! let mut feed = client.feed(&limits, &mut frame);
//! let Some(Ok(Event::Compressed { kind, data })) = feed.next() else { panic!("it is whole") };
//! let message = Inflater::new().inflate(kind, data, limits.max_message)?;
//! assert_eq!(message, [7; 1000]);
//! # Ok::<(), roomer_proto::websocket::Violation>(())
//! ```

mod codec;
mod header;
mod negotiation;

pub use codec::{Deflater, Inflater};
pub use negotiation::{Agreement, OFFER, WrongAnswer};
