//! The extended protocol, version 2: sessions that survive the loss of a connection, and requests.
//!
//! A client requests it with `roomer=2` in the query of its address. A server that supports it
//! sends [`HELLO`] as its first packet; otherwise the client falls back to the plain protocol.
//! Extended protocol events start with [`PREFIX`], are sent in ordinary packets, and are never sent
//! to a plain client. `EXTENDED.md`, next to this crate, specifies the protocol.
//!
//! This module does no I/O: the time, counts and random bytes are arguments.

mod acks;
mod failure;
mod hello;
mod info;
mod json_text;
mod members;
mod position;
mod tag;
mod token;

pub use acks::{AckSchedule, parse_count};
pub use failure::{ErrorCode, Failure, read_failure};
pub use hello::{Hello, Limits};
pub use info::{Info, InvalidInfo};
pub use members::{Member, Members, Profile, write_member};
pub use position::{Position, Recall};
pub use tag::{Tag, TaggedId, split_tag};
pub use token::{SessionToken, TOKEN_LEN};

/// The version of the protocol, as in the query `roomer=2` and in `hello`.
pub const VERSION: u32 = 2;

/// The header with which a server marks its rejections of handshakes; its value is the status. Responses
/// of proxies lack it.
pub const REJECTION_HEADER: &str = "Roomer-Status";

/// The prefix of extended protocol events. Clients do not send other events with this prefix, and
/// handlers cannot be registered for them.
pub const PREFIX: &str = "roomer:";

/// Server to client, the first packet of a connection: the session and the server's limits
/// ([`Hello`]).
pub const HELLO: &str = "roomer:hello";
/// In both directions: the number of the session's packets that the sender of the acknowledgement
/// has received and handled, in decimal ASCII. If `dst` is [`ACK_NOW`], the receiver acknowledges
/// immediately.
pub const ACK: &str = "roomer:ack";
/// The `dst` of an [`ACK`] that requests an acknowledgement in return.
pub const ACK_NOW: &str = "?";
/// Server to client: the login is about to expire, and the client should send a [`TOKEN`]. The
/// payload is JSON, `{"in":MS}`, with the remaining time in milliseconds.
pub const EXPIRING: &str = "roomer:expiring";
/// Client to server: the payload is a new token for an expiring login. Permitted once for each
/// [`EXPIRING`].
pub const TOKEN: &str = "roomer:token";
/// Server to a member of a room with history: `dst` is the sequence number, `#NUMBER`, of a
/// message that this member sent itself. Other members receive the message with the same `dst`.
pub const NUMBER: &str = "roomer:number";
/// Server to a member: changes to the room's member list ([`Members`]).
pub const MEMBERS: &str = "roomer:members";
/// Client to server: the client's new info ([`Info`]), subject to the application's permission.
pub const INFO: &str = "roomer:info";
/// In both directions: the answer to a request. `dst` contains the requester's id and the request's
/// tag ([`split_tag`]).
pub const REPLY: &str = "roomer:reply";
/// In both directions: a request has failed, and `dst` is as in [`REPLY`]. From the server and
/// without `dst`: a packet was rejected. The payload is a [`Failure`].
pub const ERROR: &str = "roomer:error";

/// Returns true if an event belongs to the extended protocol.
///
/// ```
/// use roomer_proto::extended::is_extended;
/// assert!(is_extended("roomer:ack") && is_extended("roomer:anything"));
/// assert!(!is_extended("chat") && !is_extended("roomer"));
/// ```
#[must_use]
pub fn is_extended(event: &str) -> bool {
    event.starts_with(PREFIX)
}

/// Returns true if acknowledgements count packets with this event. They count all packets of a
/// session except [`HELLO`] and [`ACK`], which are about the session itself.
#[must_use]
pub fn is_counted(event: &str) -> bool {
    event != ACK && event != HELLO
}
