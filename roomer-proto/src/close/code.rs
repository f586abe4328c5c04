//! The close codes that roomer uses (RFC 6455 section 7.4.1 and the IANA registry).

/// The connection has fulfilled its purpose.
pub const NORMAL: u16 = 1000;
/// The server shuts down.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke the WebSocket or the packet format.
pub const PROTOCOL: u16 = 1002;
/// The peer sent a kind of message that is not supported (text).
pub const UNSUPPORTED: u16 = 1003;
/// The peer sent text or a name that is not UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;
/// A rule of the application or a rate was violated.
pub const POLICY: u16 = 1008;
/// A message is above the limit.
pub const TOO_BIG: u16 = 1009;
/// A handler failed.
pub const INTERNAL: u16 = 1011;
/// The server, or the state that the connection depends on, starts over.
pub const SERVICE_RESTART: u16 = 1012;
/// A new connection may succeed: the peer is silent or slow, or the server is short of memory.
pub const TRY_AGAIN_LATER: u16 = 1013;
