//! Parses the query parameters that request the extended protocol and resume a session.

use roomer_proto::extended::{SessionToken, VERSION, parse_count};

use crate::handshake::request::HandshakeRequest;

/// A client's request for the extended protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionRequest {
    /// Present if the client requests to resume a session.
    pub(crate) resume: Option<ResumeRequest>,
}

/// A request to resume a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResumeRequest {
    /// The session's token; `None` if the text is not a token.
    pub(crate) token: Option<SessionToken>,
    /// The number of session packets that the client has received; `None` if the text is not a
    /// count.
    pub(crate) received: Option<u64>,
}

impl SessionRequest {
    /// Parses the query. Returns `None` if the client uses the plain protocol.
    pub(crate) fn of(request: &HandshakeRequest) -> Option<Self> {
        // Most requests have no query, and most queries lack this parameter.
        let query = request.head.uri().query().filter(|query| query.contains("roomer="))?;
        let (mut version, mut session, mut received) = (None, None, None);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let parameter = match &*key {
                "roomer" => &mut version,
                "session" => &mut session,
                "received" => &mut received,
                _ => continue,
            };
            // If a parameter occurs more than once, the first value applies, as in
            // `HandshakeRequest::query`.
            parameter.get_or_insert(value);
        }
        // A client with another version gets the plain protocol, which all clients support.
        let is_extended = parse_count(version?.as_bytes()) == Some(u64::from(VERSION));
        is_extended.then(|| SessionRequest {
            resume: session.map(|token| ResumeRequest {
                token: SessionToken::parse(&token),
                received: received.and_then(|text| parse_count(text.as_bytes())),
            }),
        })
    }
}
