//! The payload of the server's first packet.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use crate::extended::{Info, Profile, SessionToken, VERSION};

/// The payload of [`HELLO`](crate::extended::HELLO): the client's session, and the server's limits.
#[derive(Clone, Copy, Debug)]
pub struct Hello<'a> {
    /// The token of the client's next return; `None` if the server keeps no sessions.
    pub session: Option<SessionToken>,
    /// True if the client returned to its session: nothing is lost and its rooms are as before.
    pub is_resumed: bool,
    /// The packets of the client that the server has received in this session.
    pub received: u64,
    /// The server sends something at least this often.
    pub heartbeat: Duration,
    /// How long a session without a socket is kept.
    pub resume: Duration,
    /// The server's limits.
    pub limits: Limits,
    /// What the members of the client's rooms learn of it. `None` if the session continues: the client
    /// has it already, and gets its changes.
    pub profile: Option<&'a Profile>,
}

/// What a client may send at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message.
    pub message: usize,
    /// Bytes of a room's or an event's name.
    pub name: usize,
    /// Rooms of one connection.
    pub rooms: usize,
    /// Bytes of a member's info.
    pub info: usize,
    /// Requests of one connection without an answer, of each kind.
    pub requests: usize,
}

impl Hello<'_> {
    /// Returns the payload, a JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Hello { session, is_resumed, received, heartbeat, resume, limits, profile } = self;
        let Limits { message, name, rooms, info, requests } = limits;
        let session = match session {
            Some(token) => format!("\"{}\"", token.to_text()),
            None => "null".into(),
        };
        let (heartbeat, resume) = (heartbeat.as_millis(), resume.as_millis());
        let own = |key: &str, text: Option<&str>| match text {
            Some(text) => format!(",\"{key}\":{text}"),
            None => String::new(),
        };
        let own_info = own("info", profile.and_then(Profile::info).map(Info::as_str));
        let own_user = own("user", profile.and_then(Profile::quoted_user));
        format!(
            "{{\"version\":{VERSION},\"session\":{session},\"resumed\":{is_resumed},\
             \"received\":{received},\"heartbeat\":{heartbeat},\"resume\":{resume},\
             \"limits\":{{\"message\":{message},\"name\":{name},\"rooms\":{rooms},\"info\":{info},\
             \"requests\":{requests}}}{own_info}{own_user}}}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConnId;

    #[test]
    fn the_payload_is_json_with_all_fields() {
        let token = SessionToken::new(ConnId::from_random_bytes([7; 16]), [1; 16]);
        let hello = Hello {
            session: Some(token),
            is_resumed: true,
            received: 17,
            heartbeat: Duration::from_secs(25),
            resume: Duration::from_millis(30_001),
            limits: Limits { message: 65_536, name: 4096, rooms: 1100, info: 1024, requests: 64 },
            profile: None,
        };
        let value: serde_json::Value = serde_json::from_str(&hello.to_json()).unwrap();
        let expected = serde_json::json!({
            "version": 2,
            "session": token.to_text(),
            "resumed": true,
            "received": 17,
            "heartbeat": 25_000,
            "resume": 30_001,
            "limits": { "message": 65_536, "name": 4096, "rooms": 1100, "info": 1024, "requests": 64 },
        });
        assert_eq!(value, expected);
        let profile = Profile::new(Some(Info::string("Ann")), Some("ann"));
        let with_profile = Hello { profile: Some(&profile), ..hello }.to_json();
        let value: serde_json::Value = serde_json::from_str(&with_profile).unwrap();
        assert_eq!((&value["info"], &value["user"]), (&"Ann".into(), &"ann".into()));
        let none = Hello { session: None, ..hello }.to_json();
        assert!(none.contains("\"session\":null"), "{none}");
    }
}
