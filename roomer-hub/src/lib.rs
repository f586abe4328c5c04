//! Rooms as a pure state machine.
//!
//! # What this crate knows, and what it must not know
//!
//! The [`Hub`] knows connections, rooms, members, rules and limits. It has one door:
//! [`Hub::handle`] takes something that happened ([`Input`]: a connection opened, a packet came
//! in, a connection is gone, a handler asks for something) and gives back what is to be done
//! ([`Action`]: send, broadcast, call a handler, close). It must not know sockets, clocks,
//! threads, runtimes, randomness or the order of a hash table: time, ids and the hash key come in
//! as arguments, and the same inputs always give the same actions.
//!
//! ```
//! use std::time::Duration;
//! use roomer_hub::{Action, Config, ConnId, HashKey, Hub, Input};
//! use roomer_proto::PacketRef;
//!
//! let mut hub = Hub::new(Config::default(), HashKey([0; 16]));
//! let now = Duration::ZERO;
//!
//! // Two connections open; each lands in `root`.
//! let mut open = |random| {
//!     let id = ConnId::from_random_bytes(random);
//!     let mut actions = hub.handle(now, Input::Open { id });
//!     match actions.next() {
//!         Some(Action::Opened { conn }) => conn,
//!         other => panic!("{other:?}"),
//!     }
//! };
//! let (ann, bob) = (open([1; 16]), open([2; 16]));
//!
//! // Ann says something in root: everybody but she herself is to get it.
//! let hello = PacketRef { room: "root", event: "chat", payload: b"hi", ..PacketRef::default() };
//! for action in hub.handle(now, Input::Packet { conn: ann, packet: hello }) {
//!     let Action::Broadcast { members, except, packet, .. } = action else { unreachable!() };
//!     let receivers: Vec<_> = members.iter().filter(|&to| Some(to) != except).collect();
//!     assert_eq!(receivers, [bob]);
//!     assert_eq!(packet.src, "01010101-0101-4101-8101-010101010101"); // the hub's word
//! }
//! ```
//!
//! # What it promises
//!
//! * Joining and being told so are one step: the snapshot in a `join_ack` agrees with every
//!   notice after it, and nothing of a room follows its `leave_ack`.
//! * No message to a non-member, no member without a connection, no room without a member.
//! * Keys are generational: a stale one does nothing, whatever it is used for.
//! * Joining and leaving cost the same in a room of two and of ten thousand; a broadcast lends its
//!   member list and allocates nothing.
//!
//! [`contract`] is the whole of it, with a test of each promise.

mod action;
mod audit;
mod command;
mod config;
#[doc = include_str!("../guide/contract.md")]
pub mod contract {}
mod hash;
mod hub;
mod input;
mod keys;
mod limits;
mod membership;
mod packet;
mod rate;
mod room;
mod snapshot;
mod tables;

pub use action::{Action, Actions, Permission};
pub use config::{Config, Presence};
pub use hash::HashKey;
pub use hub::{Hub, RegisterError};
pub use input::{Command, Input};
pub use keys::{ConnKey, HandlerKey, RoomKey};
pub use limits::RejectedPackets;
pub use rate::Rate;
pub use room::Members;
pub use roomer_proto::{ConnId, ParseConnIdError};
pub use snapshot::Snapshot;
pub use tables::Tables;
