//! The session with an extended server, and the `hello` that starts or resumes it.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use serde_json::Value;

use super::limits::{LARGEST_HELLO, MAX_OWN_REQUESTS};
use crate::ConnId;
use crate::extended::AckSchedule;

/// The state of a session with an extended server.
pub(super) struct Session {
    /// The token for resuming the session; `None` if the server does not keep sessions.
    pub(super) token: Option<String>,
    /// Counts packets from the server, and schedules acknowledgements.
    pub(super) received: AckSchedule,
    /// The longest time for which the server sends nothing.
    pub(super) heartbeat: Duration,
    /// True if the server has requested an acknowledgement.
    pub(super) is_asked: bool,
    /// The maximum size of a message that the server accepts, in bytes.
    pub(super) max_message: usize,
    /// The maximum number of unanswered requests to the server, and of those to other clients.
    pub(super) max_requests: usize,
}

/// The contents of `hello`, an extended server's first packet.
pub(super) struct Hello {
    pub(super) id: ConnId,
    pub(super) token: Option<String>,
    pub(super) is_resumed: bool,
    pub(super) received: u64,
    pub(super) heartbeat: Duration,
    pub(super) max_message: usize,
    pub(super) max_requests: usize,
}

/// Omits the token, with which anyone could take over the session.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Session { token, received, .. } = self;
        let mut session = f.debug_struct("Session");
        session.field("has_token", &token.is_some()).field("received", received);
        session.finish_non_exhaustive()
    }
}

impl Hello {
    /// Parses the sender and payload of a `hello`, ignoring unknown keys. Returns `None` if the
    /// packet is not a valid `hello`, since a plain packet may have the same event name.
    pub(super) fn parse(src: &str, payload: &[u8]) -> Option<Self> {
        if payload.len() > LARGEST_HELLO {
            return None;
        }
        let Ok(Value::Object(hello)) = serde_json::from_slice(payload) else { return None };
        let number = |key: &str| hello.get(key).and_then(Value::as_u64);
        let limit = |key: &str| {
            let limit = hello.get("limits")?.get(key)?.as_u64()?;
            Some(usize::try_from(limit).unwrap_or(usize::MAX))
        };
        Some(Hello {
            id: ConnId::parse(src)?,
            token: hello.get("session").and_then(Value::as_str).map(Into::into),
            is_resumed: hello.get("resumed").and_then(Value::as_bool).unwrap_or(false),
            received: number("received").unwrap_or(0),
            // Use at least a second: zero would time out every connection immediately.
            heartbeat: Duration::from_millis(number("heartbeat").unwrap_or(25_000).max(1000)),
            max_message: limit("message").unwrap_or(usize::MAX),
            // With a limit of zero, requests would wait forever. Send them, and let the server
            // reject them.
            max_requests: match limit("requests") {
                Some(0) => usize::MAX,
                limit => limit.unwrap_or(MAX_OWN_REQUESTS),
            },
        })
    }
}
