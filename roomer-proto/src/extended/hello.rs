//! The payload of the server's first packet.

use alloc::string::String;
use core::time::Duration;

use crate::extended::{Info, Profile, SessionToken, VERSION};

/// The bytes of a payload without info and user, and a few more.
const TYPICAL_LEN: usize = 320;

/// The payload of [`HELLO`](crate::extended::HELLO): the client's session, and the server's limits.
#[derive(Clone, Copy, Debug)]
pub struct Hello<'a> {
    /// The token of the client's next return; `None` if the server keeps no sessions.
    pub session: Option<SessionToken>,
    /// True if the client returned to its session: nothing is lost and its rooms are as before.
    pub is_resumed: bool,
    /// The number of the client's packets that the server has received in this session.
    pub received: u64,
    /// The server sends something at least this often.
    pub heartbeat: Duration,
    /// How long a session without a socket is kept.
    pub resume: Duration,
    /// The server's limits.
    pub limits: Limits,
    /// The client's info and user, as the members of its rooms get them. `None` if the session
    /// continues: the client has it already, and gets its changes.
    pub profile: Option<&'a Profile>,
}

/// The server's limits on what a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum length of a message, in bytes.
    pub message: usize,
    /// Maximum length of a room or event name, in bytes.
    pub name: usize,
    /// Maximum number of rooms of one connection.
    pub rooms: usize,
    /// Maximum length of a member's info, in bytes.
    pub info: usize,
    /// Maximum number of unanswered requests of one connection, of each kind.
    pub requests: usize,
}

impl Hello<'_> {
    /// Returns the payload, a JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Hello { session, is_resumed, received, heartbeat, resume, limits, profile } = self;
        let Limits { message, name, rooms, info, requests } = limits;
        // Appended part by part, which is faster than `format!`: each client that connects gets a
        // hello, and many may connect at once.
        let mut json = String::with_capacity(TYPICAL_LEN);
        json.push_str("{\"version\":");
        push_number(VERSION.into(), &mut json);
        json.push_str(",\"session\":");
        match session {
            Some(token) => {
                json.push('"');
                json.push_str(&token.to_text());
                json.push('"');
            }
            None => json.push_str("null"),
        }
        json.push_str(if *is_resumed { ",\"resumed\":true" } else { ",\"resumed\":false" });
        // Above `u64` only for a time that an application has set to the maximum.
        let millis = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        for (key, number) in [
            (",\"received\":", *received),
            (",\"heartbeat\":", millis(heartbeat)),
            (",\"resume\":", millis(resume)),
            (",\"limits\":{\"message\":", *message as u64),
            (",\"name\":", *name as u64),
            (",\"rooms\":", *rooms as u64),
            (",\"info\":", *info as u64),
            (",\"requests\":", *requests as u64),
        ] {
            json.push_str(key);
            push_number(number, &mut json);
        }
        json.push('}');
        let own_info = profile.and_then(Profile::info).map(Info::as_str);
        let own_user = profile.and_then(Profile::quoted_user);
        for (key, text) in [(",\"info\":", own_info), (",\"user\":", own_user)] {
            if let Some(text) = text {
                json.push_str(key);
                json.push_str(text);
            }
        }
        json.push('}');
        json
    }
}

/// Appends a number in decimal digits.
fn push_number(number: u64, out: &mut String) {
    let (mut digits, mut left, mut start) = ([0; 20], number, 20);
    loop {
        start -= 1;
        digits[start] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend(digits[start..].iter().map(|digit| char::from(*digit)));
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
