//! The query of a client's address, which asks for the extended protocol and its session.

use roomer_proto::extended::{SessionToken, VERSION, parse_count};

use crate::handshake::request::Request;

/// A request for the extended protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionRequest {
    /// Present if the client wants to return to a session.
    pub(crate) resume: Option<ResumeRequest>,
}

/// A request to return to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResumeRequest {
    /// `None` if the text is not a token.
    pub(crate) token: Option<SessionToken>,
    /// The packets of the session that the client has received; `None` if that is not a count.
    pub(crate) received: Option<u64>,
}

impl SessionRequest {
    /// Returns the client's request; `None` if it speaks the plain protocol.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        // Most requests have no query, and most queries do not have this parameter.
        let query = request.head.uri().query().filter(|query| query.contains("roomer="))?;
        let (mut version, mut session, mut received) = (None, None, None);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let parameter = match &*key {
                "roomer" => &mut version,
                "session" => &mut session,
                "received" => &mut received,
                _ => continue,
            };
            // The first parameter of a name counts, as in `Request::query`.
            parameter.get_or_insert(value);
        }
        // Another version gets the plain protocol, which all clients speak.
        let is_extended = parse_count(version?.as_bytes()) == Some(u64::from(VERSION));
        is_extended.then(|| SessionRequest {
            resume: session.map(|token| ResumeRequest {
                token: SessionToken::parse(&token),
                received: received.and_then(|text| parse_count(text.as_bytes())),
            }),
        })
    }
}
