//! Frames between the nodes of a cluster.
//!
//! Nodes that share rooms talk over a broker with at-most-once delivery. A **frame** is one message of
//! the broker. There are two kinds:
//!
//! * A *control frame* stands alone: beats, requests to send something again.
//! * A *stream frame* has a number. All that one node reports to another, joins, leaves and messages,
//!   is one stream of numbered frames, so that the receiver applies each frame once and in order, or
//!   knows which one is missing.
//!
//! | subject | carries | subscribed by |
//! |---|---|---|
//! | `<prefix>.all` | beats | every node |
//! | `<prefix>.n.<node>` | streams to this node and requests to it | this node |
//!
//! A frame is a [`Head`] and a body of [`Item`]s. Decoding borrows from the frame, checks every length
//! before it is used, never panics and never allocates. Items of an unknown kind are skipped, so that
//! a later version can add kinds.

mod beat;
mod command;
mod cursor;
mod ends;
mod error;
mod head;
mod item;
mod items;
mod list;
mod node;
mod order;
mod position;
mod user;

pub use beat::Beat;
pub use command::PeerCommand;
pub use ends::{StreamEnd, StreamEnds};
pub use error::FrameError;
pub use head::{FrameKind, HEAD_MAX, Head, VERSION};
pub use item::Item;
pub use items::Items;
pub use list::{Ids, Names};
pub use node::{NodeId, ParseNodeIdError, ParsePrefixError, Subject, Subjects, Tag};
pub use order::{Nodes, OrderItem};
pub use position::{Demand, Lost, Resume};
pub use user::UserCommand;
