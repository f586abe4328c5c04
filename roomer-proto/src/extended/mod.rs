//! The extended protocol, version 2: sessions that outlive their sockets.
//!
//! A client asks for it by `roomer=2` in the query of its address. A server that speaks it sends
//! [`HELLO`] as its first packet; a client whose first packet is another one speaks the plain
//! protocol. The events of the extended protocol begin with [`PREFIX`], travel in ordinary packets
//! and never reach a plain client. The file `EXTENDED.md` beside this crate describes all of it.
//!
//! Pure: time, counts and random bytes come in as arguments.

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

/// The prefix of the events of the extended protocol. Clients do not send others with this prefix,
/// and no handler can be registered for one.
pub const PREFIX: &str = "roomer:";

/// Server to client, the first packet of a connection: the session and the server's limits
/// ([`Hello`]).
pub const HELLO: &str = "roomer:hello";
/// Both ways: the number of packets of the session that the sender of this one has received and
/// handled, in decimal ASCII. With `dst` = [`ACK_NOW`], the receiver answers at once.
pub const ACK: &str = "roomer:ack";
/// The `dst` of an [`ACK`] that asks for one in return.
pub const ACK_NOW: &str = "?";
/// Server to client: the login expires, and the client should send a [`TOKEN`]. The payload is JSON,
/// `{"in":MS}`: the milliseconds that are left.
pub const EXPIRING: &str = "roomer:expiring";
/// Client to server: the payload is a new token for a login that expires. Once for each
/// [`EXPIRING`].
pub const TOKEN: &str = "roomer:token";
/// Server to a member of a room that remembers: the `dst` is the number of a message, `#NUMBER`, that the
/// member has sent itself. Others get the message with that `dst`.
pub const NUMBER: &str = "roomer:number";
/// Server to a member: how the members of the room have changed ([`Members`]).
pub const MEMBERS: &str = "roomer:members";
/// Client to server: the client's new info ([`Info`]), if the application permits it.
pub const INFO: &str = "roomer:info";
/// Both ways: the answer to a request. Its `dst` is the asker's id and the request's tag
/// ([`split_tag`]).
pub const REPLY: &str = "roomer:reply";
/// Both ways: a request has failed, with a `dst` as in [`REPLY`]; from the server without `dst`: a
/// packet was refused. The payload is a [`Failure`].
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

/// Returns true if the receiver of a packet counts it: all packets of a session but those that are
/// about the session itself ([`HELLO`], [`ACK`]).
#[must_use]
pub fn is_counted(event: &str) -> bool {
    event != ACK && event != HELLO
}
