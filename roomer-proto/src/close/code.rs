//! The close codes that roomer uses (RFC 6455 section 7.4.1 and the IANA registry).

/// Normal closure: the purpose of the connection is fulfilled.
pub const NORMAL: u16 = 1000;
/// The server is shutting down.
pub const GOING_AWAY: u16 = 1001;
/// The peer violated the WebSocket protocol or the packet format.
pub const PROTOCOL: u16 = 1002;
/// The peer sent an unsupported kind of message (text).
pub const UNSUPPORTED: u16 = 1003;
/// The peer sent text or a name that is not valid UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;
/// The peer violated an application rule or a rate limit.
pub const POLICY: u16 = 1008;
/// A message exceeds the size limit.
pub const TOO_BIG: u16 = 1009;
/// A handler on the server failed.
pub const INTERNAL: u16 = 1011;
/// The server is restarting, or state that the connection depends on was lost.
pub const SERVICE_RESTART: u16 = 1012;
/// The peer is silent or too slow, or the server is short of memory; a new connection may succeed.
pub const TRY_AGAIN_LATER: u16 = 1013;
