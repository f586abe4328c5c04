//! The events that the protocol itself uses.

/// Client to server: join `room`.
pub const JOIN: &str = "join";
/// Client to server: leave `room`.
pub const LEAVE: &str = "leave";
/// Server to the joiner: the room's members as a JSON array of ids, the joiner's included.
pub const JOIN_ACK: &str = "join_ack";
/// Server to the leaver: it is out. Also the answer to a join that was refused.
pub const LEAVE_ACK: &str = "leave_ack";
/// Server to the other members: the payload's id came in.
pub const NEW_MEMBER: &str = "new_member";
/// Server to the other members: the payload's id is gone.
pub const MEMBER_LEFT: &str = "member_left";
/// Inside the JavaScript client only: a room opened.
pub const OPEN: &str = "open";
/// Inside the JavaScript client only: a room closed.
pub const CLOSE: &str = "close";

/// Whether `event` is one of the six that only a server (or the client library itself) may
/// originate: `join_ack`, `leave_ack`, `new_member`, `member_left`, `open`, `close`.
///
/// The Go original forwards them, so that any client can forge another's membership; roomer
/// never does.
///
/// ```
/// assert!(roomer_proto::is_reserved("join_ack"));
/// assert!(!roomer_proto::is_reserved("JOIN_ACK")); // names are compared exactly
/// assert!(!roomer_proto::is_reserved("join")); // a client's own request
/// ```
#[must_use]
pub fn is_reserved(event: &str) -> bool {
    matches!(event, JOIN_ACK | LEAVE_ACK | NEW_MEMBER | MEMBER_LEFT | OPEN | CLOSE)
}

/// Whether `event` means something to the protocol: the reserved six, `join` and `leave`. These
/// are the eight names that the JavaScript client refuses to send as ordinary events, and for
/// which no handler can be registered.
#[must_use]
pub fn is_built_in(event: &str) -> bool {
    is_reserved(event) || matches!(event, JOIN | LEAVE)
}
