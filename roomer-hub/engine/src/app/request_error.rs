//! The reasons why requests to clients fail.

/// The reason why a request to a client failed.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The client has not answered within the request's timeout. A later answer is dropped.
    #[error("the client did not answer in time")]
    TimedOut,
    /// The connection or, for an extended client, the session has ended.
    #[error("the connection has ended")]
    Gone,
    /// The client uses the plain protocol, which has no requests.
    #[error("the client uses the plain protocol, which has no requests")]
    Plain,
    /// The connection already has [`max_requests`](crate::Builder::max_requests) unanswered requests.
    #[error(
        "the connection has too many requests without answers: wait for some, or raise max_requests"
    )]
    Busy,
    /// The client has answered with an error.
    #[error("the client failed: {code}: {message}")]
    Failed {
        /// The error code from the client: `unknown` if the client has no handler for the event,
        /// otherwise usually `failed`.
        code: String,
        /// The error text from the client.
        message: String,
    },
}

roomer_proto::debug_as_display!(RequestError);
