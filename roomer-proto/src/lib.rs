//! The roomer wire protocol, and nothing else.
//!
//! One roomer **packet** is one WebSocket message: five fields, always all five, each behind a
//! 4-byte big-endian length: `room`, `event`, `dst`, `src`, `payload`. The first four are names
//! (UTF-8), the last is any bytes. The layout is that of the Go project `joncody/roomer`, byte for
//! byte.
//!
//! | this crate knows | it must not know |
//! |---|---|
//! | packets, names, the reserved events, why a packet is refused, [close codes](close) | sockets, clocks, runtimes |
//! | feature `json`: payloads by serde | |
//! | feature `websocket`: one connection's WebSocket frames over memory | who is in which room |
//!
//! Without features the crate is `no_std` (with `alloc`). It never allocates by a length that a
//! peer merely claims, and it never panics on what a peer sends.
//!
//! # Example
//!
//! ```
//! use roomer_proto::{DecodeError, Field, PacketRef};
//!
//! let hello = PacketRef {
//!     room: "lobby",
//!     event: "chat",
//!     dst: "",
//!     src: "",
//!     payload: b"hello",
//! };
//! let bytes = hello.to_bytes();
//! assert_eq!(&bytes[..9], b"\0\0\0\x05lobby");
//!
//! // Decoding borrows: nothing is copied.
//! assert_eq!(PacketRef::decode(&bytes)?, hello);
//!
//! // Errors name the field.
//! let cut = PacketRef::decode(&bytes[..bytes.len() - 1]).unwrap_err();
//! assert_eq!(cut, DecodeError::PastEnd { field: Field::Payload, claimed: 5, left: 4 });
//! # Ok::<(), DecodeError>(())
//! ```
//!
//! [`PacketRef`] borrows from a buffer and is what servers work with; [`Packet`] owns its fields by
//! sharing one reference-counted buffer, for whoever keeps a packet.
#![cfg_attr(not(any(test, feature = "websocket")), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

pub mod close;
mod error;
mod event;
mod id;
#[cfg(feature = "json")]
mod json;
mod packet;
#[cfg(feature = "websocket")]
pub mod websocket;

pub use error::{DecodeError, EncodeError, Field};
pub use event::{
    CLOSE, JOIN, JOIN_ACK, LEAVE, LEAVE_ACK, MEMBER_LEFT, NEW_MEMBER, OPEN, is_built_in,
    is_reserved,
};
pub use id::{ConnId, ParseConnIdError};
#[cfg(feature = "json")]
pub use json::{JsonError, json};
pub use packet::{MIN_PACKET, Packet, PacketRef, ROOT};
