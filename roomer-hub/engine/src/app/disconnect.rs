//! The reasons why connections end.

use std::fmt;

/// The reason why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client closed the connection, with this code if its close frame contained one.
    ByPeer(Option<u16>),
    /// The connection ended without a close frame because the client or its network failed. In a
    /// cluster, this is also the reason if the session's client now has a session on another node.
    Lost,
    /// The server closed the connection with this code (RFC 6455 section 7.4), because of a
    /// protocol error, a limit, a panic in a handler, an application call, or a shutdown.
    ByServer(u16),
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DisconnectReason::ByPeer(Some(code)) => write!(f, "closed by the client with {code}"),
            DisconnectReason::ByPeer(None) => f.write_str("closed by the client without a code"),
            DisconnectReason::Lost => f.write_str("the connection was lost"),
            DisconnectReason::ByServer(code) => write!(f, "closed by the server with {code}"),
        }
    }
}
