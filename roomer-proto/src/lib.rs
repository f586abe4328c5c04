//! The roomer wire protocol.
//!
//! A roomer **packet** is one WebSocket message. It consists of five fields, each prefixed by a 4-byte
//! big-endian length: `room`, `event`, `dst`, `src` and `payload`. The first four are UTF-8 names; the
//! payload is arbitrary bytes. The format is identical to that of the Go project `joncody/roomer`.
//!
//! | this crate contains | it does not depend on |
//! |---|---|
//! | packets, names, reserved events, decoding errors, [close codes](close), [the extended protocol](extended) | sockets, clocks, runtimes |
//! | feature `client`: a client for room servers, without I/O | sockets, clocks, runtimes |
//! | feature `cluster`: frames between cluster nodes | brokers, and what nodes do with frames |
//! | feature `deflate`: compressed messages (permessage-deflate) without I/O | rooms and their members |
//! | feature `json`: JSON payloads with serde | |
//! | feature `websocket`: one connection's WebSocket frames without I/O | rooms and their members |
//!
//! Without features, the crate is `no_std` (with `alloc`). It never allocates based on a length
//! that a peer has merely announced, and input from a peer cannot make it panic.
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
//! // Decoding borrows from the message and copies nothing.
//! assert_eq!(PacketRef::decode(&bytes)?, hello);
//!
//! // Errors name the field.
//! let cut = PacketRef::decode(&bytes[..bytes.len() - 1]).unwrap_err();
//! assert_eq!(cut, DecodeError::PastEnd { field: Field::Payload, claimed: 5, left: 4 });
//! # Ok::<(), DecodeError>(())
//! ```
//!
//! [`PacketRef`] borrows from a buffer, which suits servers. [`Packet`] shares a
//! reference-counted buffer, for code that stores packets.
#![cfg_attr(not(any(test, feature = "websocket")), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

#[cfg(feature = "client")]
pub mod client;
pub mod close;
#[cfg(feature = "cluster")]
pub mod cluster;
mod error;
mod event;
pub mod extended;
mod id;
#[cfg(feature = "json")]
mod json;
mod packet;
#[cfg(feature = "websocket")]
pub mod websocket;

pub use error::{DecodeError, EncodeError, Field};
pub use event::{
    CLOSE, COUNT_CHANGED, HISTORY_LOST, JOIN, JOIN_ACK, LEAVE, LEAVE_ACK, MEMBER_CHANGED,
    MEMBER_LEFT, NEW_MEMBER, OPEN, REOPEN, is_built_in, is_local, is_reserved,
};
pub use id::{ConnId, ParseConnIdError};
#[cfg(feature = "json")]
pub use json::{JsonError, json};
pub use packet::{MIN_PACKET, Packet, PacketRef, ROOT};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
