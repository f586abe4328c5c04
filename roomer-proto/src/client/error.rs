//! The errors of a client.

use alloc::string::String;

use crate::websocket::Violation;

/// Why a connection was lost, or an attempt has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The connection could not be made.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The server, or a proxy before it, answered the handshake with this status.
    #[error("the server rejected the handshake with status {status}")]
    Rejected {
        /// The HTTP status.
        status: u16,
    },
    /// The response to the handshake is not that of a WebSocket server.
    #[error("{0}")]
    Handshake(&'static str),
    /// There was no answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The stream ended, or was reset, without a close frame.
    #[error("the connection was lost")]
    Broken,
    /// The server closed the connection.
    #[error("closed by the server with {} {reason}", code.unwrap_or(1005))]
    Closed {
        /// The close code; `None` if the close frame has none.
        code: Option<u16>,
        /// The close reason; may be empty.
        reason: String,
    },
    /// The server broke the protocol.
    #[error("the server broke the protocol: {}", .0.reason)]
    Violation(Violation),
}

/// Why a client does not connect again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closing {
    /// The application closed the client.
    #[error("closed by the application")]
    Application,
    /// The failure is final: a reconnect would be useless or unwanted.
    #[error("{0}")]
    Final(Failure),
    /// No retries are left. This was the last failure.
    #[error("gave up: {0}")]
    GaveUp(Failure),
}

/// A message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The client has not joined the room, or has left it.
    #[error("the client is not in the room: join it first")]
    NotJoined,
    /// The queue is full.
    #[error("the queue is full: wait until messages are sent, or raise its limits")]
    Full,
    /// The message is larger than the server accepts, as it has announced, or than the queue.
    #[error("the message is larger than the server or the queue accepts")]
    TooLarge,
    /// The event belongs to the protocol, or the receiver is not an id: an empty one would make the
    /// message public, and one with a tag a request.
    #[error("the event belongs to the protocol, or the receiver is not an id")]
    Reserved,
    /// JSON cannot represent the value (feature `json`).
    #[error("JSON cannot represent the value")]
    NotJson,
    /// The request is answered already, or its session has ended.
    #[error("the request was answered already, or its session has ended")]
    NotAsked,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

/// A join was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
    /// The server rejected the join.
    #[error("the server rejected the join")]
    Refused,
    /// The room was left before the server answered.
    #[error("the room was left before the server answered")]
    Left,
}

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request was not accepted.
    #[error("not sent: {0}")]
    NotSent(#[from] SendError),
    /// There was no answer in time. A later one is dropped.
    #[error("no answer in time")]
    TimedOut,
    /// The server speaks the plain protocol, in which there are no requests.
    #[error("the server speaks the plain protocol, which has no requests")]
    Plain,
    /// The session was lost: the request may or may not have been handled.
    #[error("the session was lost before the answer: the request may or may not have been handled")]
    Lost,
    /// The room or the client was closed before the request was sent.
    #[error("the room or the client was closed before the request was sent")]
    Unsent,
    /// The answer is not the JSON that the application expects (feature `json`).
    #[error("the answer is not the expected JSON: {0}")]
    NotJson(String),
    /// The answer is an error.
    #[error("{code}: {message}")]
    Failed {
        /// One of the protocol's codes ([`ErrorCode`](crate::extended::ErrorCode)), or a code of the client that was asked.
        code: String,
        /// A text for developers; may be empty.
        message: String,
    },
}
