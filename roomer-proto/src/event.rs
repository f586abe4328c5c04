//! Event names of the plain protocol.

/// Client to server: a request to join the packet's room.
pub const JOIN: &str = "join";
/// Client to server: a request to leave the packet's room.
pub const LEAVE: &str = "leave";
/// Server to the joining client: the join is acknowledged. The payload lists the room's members as
/// a JSON array of ids, including the client's own.
pub const JOIN_ACK: &str = "join_ack";
/// Server to the leaving client: the request to leave is acknowledged. Also sent in answer to a
/// rejected join.
pub const LEAVE_ACK: &str = "leave_ack";
/// Server to the other members: a connection has joined, and the payload is its id.
pub const NEW_MEMBER: &str = "new_member";
/// Server to the other members: a connection has left, and the payload is its id.
pub const MEMBER_LEFT: &str = "member_left";
/// Emitted only inside the JavaScript client: a room was joined.
pub const OPEN: &str = "open";
/// Emitted only inside the JavaScript client: a room was left.
pub const CLOSE: &str = "close";

/// Emitted only inside the JavaScript client: a room was joined again after a reconnect.
pub const REOPEN: &str = "reopen";
/// Emitted only inside the JavaScript client: a member's info has changed.
pub const MEMBER_CHANGED: &str = "member_changed";
/// Emitted only inside the JavaScript client: the number of a room's members has changed.
pub const COUNT_CHANGED: &str = "count_changed";
/// Emitted only inside the JavaScript client: messages of a room's history are missing.
pub const HISTORY_LOST: &str = "history_lost";

/// Returns true if the JavaScript client emits `event` locally: `open`, `close`, `reopen`,
/// `member_changed`, `count_changed` or `history_lost`.
///
/// That client drops received messages with these names, and roomer's clients do not send them. A
/// server forwards the last four if another client sends them.
///
/// ```
/// assert!(roomer_proto::is_local("member_changed"));
/// assert!(!roomer_proto::is_local("member_left")); // sent by servers
/// ```
#[must_use]
pub fn is_local(event: &str) -> bool {
    matches!(event, OPEN | CLOSE | REOPEN | MEMBER_CHANGED | COUNT_CHANGED | HISTORY_LOST)
}

/// Returns true if only a server or the client library may originate `event`: `join_ack`,
/// `leave_ack`, `new_member`, `member_left`, `open` or `close`.
///
/// The Go original forwards these events, so any client can forge other clients' joins and leaves.
/// Roomer does not forward them.
///
/// ```
/// assert!(roomer_proto::is_reserved("join_ack"));
/// assert!(!roomer_proto::is_reserved("JOIN_ACK")); // names are compared exactly
/// assert!(!roomer_proto::is_reserved("join")); // a client's own request
/// ```
#[must_use]
pub fn is_reserved(event: &str) -> bool {
    // `open` and `close` are never sent. The Go original's JavaScript client emits them locally,
    // and the application could not tell a received packet with such a name from a local event.
    matches!(event, JOIN_ACK | LEAVE_ACK | NEW_MEMBER | MEMBER_LEFT | OPEN | CLOSE)
}

/// Returns true if `event` belongs to the protocol: one of the six reserved events, `join` or
/// `leave`. The JavaScript client does not send these eight names as ordinary events, and handlers
/// cannot be registered for them.
#[must_use]
pub fn is_built_in(event: &str) -> bool {
    is_reserved(event) || matches!(event, JOIN | LEAVE)
}
