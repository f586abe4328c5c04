//! The events of the protocol itself.

/// Client to server: join `room`.
pub const JOIN: &str = "join";
/// Client to server: leave `room`.
pub const LEAVE: &str = "leave";
/// Server to the joiner: the join is confirmed. The payload lists the room's members as a JSON array of
/// ids, including the joiner's.
pub const JOIN_ACK: &str = "join_ack";
/// Server to the leaver: the leave is confirmed. Also the answer to a rejected join.
pub const LEAVE_ACK: &str = "leave_ack";
/// Server to the other members: the connection whose id is the payload has joined.
pub const NEW_MEMBER: &str = "new_member";
/// Server to the other members: the connection whose id is the payload has left.
pub const MEMBER_LEFT: &str = "member_left";
/// Inside the JavaScript client only: a room was joined.
pub const OPEN: &str = "open";
/// Inside the JavaScript client only: a room was left.
pub const CLOSE: &str = "close";

/// Returns true if `event` is one of the six that only a server or the client library itself may
/// originate: `join_ack`, `leave_ack`, `new_member`, `member_left`, `open`, `close`.
///
/// The Go original forwards them, so any client can forge the membership of another; roomer never
/// does.
///
/// ```
/// assert!(roomer_proto::is_reserved("join_ack"));
/// assert!(!roomer_proto::is_reserved("JOIN_ACK")); // names are compared exactly
/// assert!(!roomer_proto::is_reserved("join")); // a client's own request
/// ```
#[must_use]
pub fn is_reserved(event: &str) -> bool {
    // `open` and `close` never travel. The original's JavaScript client emits them for its own
    // rooms, and a packet with such a name would look the same to the application.
    matches!(event, JOIN_ACK | LEAVE_ACK | NEW_MEMBER | MEMBER_LEFT | OPEN | CLOSE)
}

/// Returns true if `event` belongs to the protocol: the six reserved events, `join` and `leave`. The
/// JavaScript client does not send these eight names as ordinary events, and no handler can be
/// registered for them.
#[must_use]
pub fn is_built_in(event: &str) -> bool {
    is_reserved(event) || matches!(event, JOIN | LEAVE)
}
