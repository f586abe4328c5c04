//! `hello`, an extended server's first packet: the session and the server's limits.

use alloc::string::String;
use core::time::Duration;

use crate::extended::{Info, Profile, SessionToken, VERSION};

/// The approximate length in bytes of a `hello` payload without info and user.
const TYPICAL_LEN: usize = 320;

/// The payload of [`HELLO`](crate::extended::HELLO): the client's session, and the server's limits.
#[derive(Clone, Copy, Debug)]
pub struct Hello<'a> {
    /// The token for resuming the session; `None` if the server does not keep sessions.
    pub session: Option<SessionToken>,
    /// True if the session was resumed: no packet is lost, and the client is still in its rooms.
    pub is_resumed: bool,
    /// The number of the client's packets that the server has received in this session.
    pub received: u64,
    /// The longest time for which the server sends nothing.
    pub heartbeat: Duration,
    /// The time for which the server keeps a session whose client has no connection.
    pub resume: Duration,
    /// The server's limits.
    pub limits: Limits,
    /// The client's info and user, as sent to the members of its rooms. `None` if the session
    /// was resumed, since the client already has them and receives changes.
    pub profile: Option<&'a Profile>,
}

/// The server's limits on a client's messages, rooms and requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum length of a message, in bytes.
    pub message: usize,
    /// The maximum length of a room or event name, in bytes.
    pub name: usize,
    /// The maximum number of rooms per connection.
    pub rooms: usize,
    /// The maximum length of a member's info, in bytes.
    pub info: usize,
    /// The maximum number of unanswered requests per connection, in each direction.
    pub requests: usize,
}

impl Hello<'_> {
    /// Returns the payload, a JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Hello { session, is_resumed, received, heartbeat, resume, limits, profile } = self;
        let Limits { message, name, rooms, info, requests } = limits;
        // Append piece by piece, because this is faster than `format!`: every connecting client
        // receives a hello, and many may connect at the same time.
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
        // This saturates only if the application has configured a duration such as `Duration::MAX`.
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
    fn payload_is_json_with_all_fields() {
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
