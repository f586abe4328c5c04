//! Rooms as a pure state machine.
//!
//! The [`Hub`] manages connections, rooms, members, rules and limits. [`Hub::handle`] is its single
//! entry point. It takes an [`Input`] (a connection opened or ended, a packet arrived, a handler
//! issued a command) and returns the resulting [`Action`]s (send, broadcast, call a handler,
//! close). The driver, which owns the sockets, carries them out. To read the source, start at `hub.rs`.
//!
//! The crate does not depend on sockets, clocks, threads, runtimes, randomness or hash table order.
//! The time, ids and the hash key are arguments, so the same inputs always produce the same actions.
//!
//! ```
//! use std::time::Duration;
//! use roomer_hub::{Action, Config, ConnId, HashKey, Hub, Input};
//! use roomer_proto::PacketRef;
//!
//! let mut hub = Hub::new(Config::default(), HashKey([0; 16]));
//! let now = Duration::ZERO;
//!
//! // Two connections open; each joins `root`.
//! let mut open = |random| {
//!     let id = ConnId::from_random_bytes(random);
//!     let mut actions = hub.handle(now, Input::Open { id, extended: false });
//!     match actions.next() {
//!         Some(Action::Opened { conn }) => conn,
//!         other => panic!("{other:?}"),
//!     }
//! };
//! let (ann, bob) = (open([1; 16]), open([2; 16]));
//!
//! // Ann sends a message to root; all members except Ann receive it.
//! let hello = PacketRef { room: "root", event: "chat", payload: b"hi", ..PacketRef::default() };
//! for action in hub.handle(now, Input::Packet { conn: ann, packet: hello }) {
//!     let Action::Broadcast { members, except, packet, .. } = action else { unreachable!() };
//!     let receivers: Vec<_> = members.into_iter().filter(|&to| Some(to) != except).collect();
//!     assert_eq!(receivers, [bob]);
//!     assert_eq!(packet.src, "01010101-0101-4101-8101-010101010101"); // set by the hub
//! }
//! ```
//!
//! # Several nodes
//!
//! In a cluster, a room may have members on other nodes, which are called peers of this node. The
//! driver reports them ([`Input::PeerUp`], [`Input::GuestJoined`], [`Input::GuestCount`]), and the
//! hub stores them as guests: `join_ack` lists or counts them, members are notified of them, a
//! broadcast includes the peers to send it to, and a direct message to an unknown id is forwarded
//! to the peer whose tag matches the id ([`Action::Forward`]).
//!
//! # Guarantees
//!
//! * A join and its acknowledgement are atomic: the member list in a `join_ack` is consistent with
//!   all later notices, and no message to a room follows its `leave_ack`.
//! * Messages to a room are never delivered to connections that are not members. Every member has a
//!   connection, and every room has a member, a guest or a count from another node.
//! * Keys are generational, so using a stale key has no effect.
//! * Joining and leaving cost the same in a room of two members as in one of ten thousand. A
//!   broadcast borrows the member list and allocates nothing.
//!
//! [`contract`] lists all guarantees, each with a test.

mod action;
mod audit;
mod away;
pub mod cluster;
mod config;
mod errors;
mod exchange;
mod execute_command;
mod guest_tables;
mod guests;
// The scenarios on this page need the complete server, so roomer-conformance runs them.
#[cfg_attr(not(doctest), doc = include_str!("../guide/contract.md"))]
pub mod contract {}
mod hash;
mod history;
mod hub;
mod input;
mod key_map;
mod keys;
mod limits;
mod member_entries;
mod member_info;
mod member_list;
mod membership;
mod ordered;
mod packet;
mod permission;
mod rate;
mod record;
mod requests;
mod room;
mod room_guests;
mod seats;
mod slots;
mod tables;

pub use action::{Action, Actions};
pub use config::{Config, History, Order, Presence, RoomPattern};
pub use hash::HashKey;
pub use hub::{Hub, RegisterError};
pub use input::{Answer, Command, Input};
pub use key_map::KeyMap;
pub use keys::{ConnKey, HandlerKey, PeerKey, RoomKey, TableKey};
pub use limits::{RejectedPackets, RejectedPeerInputs};
pub use member_list::{Run, Snapshot};
pub use permission::Permission;
pub use rate::Rate;
pub use room::{Audience, Members, MembersIter};
pub use room_guests::Peers;
pub use roomer_proto::extended::{Info, InvalidInfo, Profile};
pub use roomer_proto::{ConnId, ParseConnIdError};
pub use tables::Tables;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
