//! Why requests to clients fail.

/// Why a request to a client is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The client has not answered in the time that the request had. A later answer is dropped.
    #[error("the client did not answer in time")]
    TimedOut,
    /// The connection, or the session of an extended client, has ended.
    #[error("the connection has ended")]
    Gone,
    /// The client speaks the plain protocol, in which there are no requests.
    #[error("the client speaks the plain protocol, which has no requests")]
    Plain,
    /// The connection already has [`max_requests`](crate::Builder::max_requests) requests without
    /// an answer.
    #[error(
        "the connection has too many requests without answers: wait for some, or raise max_requests"
    )]
    Busy,
    /// The client's answer is an error.
    #[error("the client failed: {code}: {message}")]
    Failed {
        /// The client's code: `unknown` if it does not have a handler, usually `failed` otherwise.
        code: String,
        /// The client's text.
        message: String,
    },
}
