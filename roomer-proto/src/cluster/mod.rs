//! Frames between the nodes of a cluster.
//!
//! Nodes that share rooms communicate through a broker with at-most-once delivery. A **frame** is
//! one broker message. There are two kinds:
//!
//! * A *control frame* stands alone: heartbeats and requests for retransmission, for example.
//! * A *stream frame* has a sequence number. Everything that one node reports to another (joins,
//!   leaves and messages) forms one stream of numbered frames: the receiver applies each frame once
//!   and in order, or detects which ones are missing.
//!
//! | subject | carries | subscribed by |
//! |---|---|---|
//! | `<prefix>.all` | heartbeats | every node |
//! | `<prefix>.n.<node>` | streams to this node and requests to it | this node |
//!
//! A frame consists of a [`Head`] and a body of [`Item`]s. Decoding borrows from the frame,
//! validates every length before using it, and neither panics nor allocates. Items of unknown kinds
//! are skipped, so later versions can add kinds.

mod beat;
mod cursor;
mod ends;
mod error;
mod head;
mod item;
mod items;
mod list;
mod node;
mod order;
mod peer_command;
mod position;
mod tunnel;
mod user_command;

pub use beat::Beat;
pub use ends::{StreamEnd, StreamEnds};
pub use error::FrameError;
pub use head::{FrameKind, HEAD_MAX, Head, VERSION};
pub use item::Item;
pub use items::Items;
pub use list::{Ids, Names};
pub use node::{NodeId, NodeTag, ParseNodeIdError, ParsePrefixError, Subject, Subjects};
pub use order::{Nodes, OrderItem};
pub use peer_command::PeerCommand;
pub use position::{FrameRange, Lost, StreamPosition};
pub use tunnel::{TUNNEL_DATA, TUNNEL_WINDOW, TunnelItem, TunnelRequest};
pub use user_command::UserCommand;
