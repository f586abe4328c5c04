//! Why connections end.

use std::fmt;

/// The reason why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client closed it, with this code if the close frame contained one.
    ByPeer(Option<u16>),
    /// The connection ended without a close frame: the client or its network failed. Also, in a cluster,
    /// a session whose client has returned to another node.
    Lost,
    /// The server closed it, with this code (RFC 6455 section 7.4): because of a protocol error, a
    /// limit, a panic of a handler, a call of the application, or a shutdown.
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
