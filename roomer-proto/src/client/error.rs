//! Client errors: failed connections, closing, and rejected sends, joins and requests.

use alloc::string::String;

use crate::websocket::Violation;

/// The reason that a connection was lost, or an attempt failed.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The driver could not connect.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The server, or a proxy in front of it, rejected the handshake with this status.
    #[error("the server rejected the handshake with status {status}")]
    Rejected {
        /// The HTTP status.
        status: u16,
    },
    /// The server, or a proxy in front of it, redirects to another address. The client does not follow,
    /// since the new address could receive its token.
    #[error(
        "the server redirects to {location} with status {status}, and redirects are not followed: \
         connect to that address"
    )]
    Redirected {
        /// The HTTP status.
        status: u16,
        /// The new address, without its query, which may contain a token.
        location: String,
    },
    /// The handshake response is not a valid WebSocket response.
    #[error("{0}")]
    Handshake(&'static str),
    /// The server did not answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The stream ended or was reset without a close frame.
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
    /// The server violated the protocol.
    #[error("the server broke the protocol: {}", .0.reason)]
    Violation(Violation),
}

/// The reason that a client does not reconnect.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closing {
    /// The application closed the client.
    #[error("closed by the application")]
    Application,
    /// The failure is final: reconnecting would be useless or unwanted.
    #[error("{0}")]
    Final(Failure),
    /// The client has used up its retries. Contains the last failure.
    #[error("gave up: {0}")]
    GaveUp(Failure),
    /// The task that runs the client has ended early: its runtime was shut down, or a function of
    /// the application panicked within it.
    #[error("the client's task has ended: its runtime was shut down, or the task panicked")]
    Aborted,
}

/// A message was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The client has not joined the room, or has left it.
    #[error("the client is not in the room: join it first")]
    NotJoined,
    /// The queue is full. An empty queue accepts a message of any size.
    #[error("the queue is full: wait until messages are sent, or raise its limits")]
    Full,
    /// The message exceeds the limit announced by the server.
    #[error(
        "the message is larger than the server accepts: send it in parts, or raise the server's limit"
    )]
    TooLarge,
    /// The event is the protocol's ([`is_built_in`](crate::is_built_in), or begins with `roomer:`) or a
    /// local one of the JavaScript client ([`is_local`](crate::is_local)), or the receiver is not an
    /// id. An empty receiver would make the
    /// message public, and a tagged one would make it a request.
    #[error("the event belongs to the protocol or to clients, or the receiver is not an id")]
    Reserved,
    /// JSON cannot represent the value (feature `json`).
    #[error("JSON cannot represent the value")]
    NotJson,
    /// The request has already been answered, or its session has ended.
    #[error("the request was answered already, or its session has ended")]
    NotAsked,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

/// The reason that a join was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
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

/// The reason that a request failed.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request was not accepted.
    #[error("not sent: {0}")]
    NotSent(#[from] SendError),
    /// No answer arrived in time. A late answer is dropped.
    #[error("no answer in time")]
    TimedOut,
    /// The server uses the plain protocol, which has no requests.
    #[error("the server uses the plain protocol, which has no requests")]
    Plain,
    /// The session was lost; the request may or may not have been handled.
    #[error("the session was lost before the answer: the request may or may not have been handled")]
    Lost,
    /// The client was closed, left the room or was removed from it before the request was sent.
    #[error("the client was closed or left the room before the request was sent")]
    Unsent,
    /// The answer does not deserialize into the expected type (feature `json`).
    #[error("the answer is not the expected JSON: {0}")]
    NotJson(String),
    /// The answer is an error.
    #[error("{code}: {message}")]
    Failed {
        /// A code of the protocol ([`ErrorCode`](crate::extended::ErrorCode)), or one chosen by the
        /// client that answered.
        code: String,
        /// A message for developers; may be empty.
        message: String,
    },
}

crate::debug_as_display!(Failure, Closing, SendError, JoinError, RequestError);
