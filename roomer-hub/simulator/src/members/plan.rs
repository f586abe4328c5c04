//! A plan with extended and plain members, as data.

use roomer_hub::Presence;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// True if the application must authorize the info that clients send.
    pub authorize: bool,
    pub max_info: usize,
    /// The rate limit for info changes, per second, and its burst.
    pub rate: Option<(u32, u32)>,
    pub presence_rules: Vec<(&'static str, Presence)>,
    /// The pattern for rooms that announce which members are away.
    pub away_rooms: Option<&'static str>,
    pub steps: Vec<Step>,
}

/// A step of a plan. Clients are numbered in the order in which they open; a higher number is taken
/// modulo the number of clients opened so far. Info and users are given by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Open {
        extended: bool,
        info: u8,
        user: u8,
    },
    Join {
        client: u8,
        room: u8,
    },
    Leave {
        client: u8,
        room: u8,
    },
    /// The application puts a client into a room.
    Add {
        client: u8,
        room: u8,
    },
    Message {
        client: u8,
        room: u8,
    },
    /// A client sends a direct message to another client.
    Direct {
        from: u8,
        to: u8,
    },
    /// The application sets a client's info.
    SetInfo {
        client: u8,
        info: u8,
    },
    /// A client sends new info.
    SendInfo {
        client: u8,
        info: u8,
    },
    /// The application decides about the oldest pending info change.
    Answer {
        is_allowed: bool,
    },
    /// A client loses its socket, or resumes its session.
    Away {
        client: u8,
        is_away: bool,
    },
    Gone {
        client: u8,
    },
    Close {
        client: u8,
    },
    PeerUp,
    PeerGone,
    GuestJoined {
        guest: u8,
        room: u8,
        info: u8,
        user: u8,
    },
    /// A guest's info or user changes.
    GuestProfile {
        guest: u8,
        info: u8,
        user: u8,
    },
    /// A guest loses its socket, or resumes its session.
    GuestAway {
        guest: u8,
        is_away: bool,
    },
    GuestLeft {
        guest: u8,
        room: u8,
    },
    GuestCount {
        room: u8,
        members: u32,
    },
    Wait {
        millis: u16,
    },
}

pub const ROOMS: [&str; 5] = ["root", "r", "ro", "count", "off"];

/// Info values: the JSON that is set, and the JSON that members receive. The first pair means no
/// info.
pub const INFOS: [(&str, &str); 8] = [
    ("null", "null"),
    (r#"{"name":"Ann"}"#, r#"{"name":"Ann"}"#),
    ("1", "1"),
    (r#""a\"],[\\ é""#, r#""a\"],[\\ é""#),
    (" [ [] , {} ] ", "[ [] , {} ]"),
    ("\tnull\n", "null"),
    ("1234567890", "1234567890"),
    ("\"12345678\"", "\"12345678\""),
];

/// Payloads that clients send as info, and that are not valid JSON.
pub const INVALID: [&[u8]; 8] =
    [b"", b"{", b"1],[2", b"\"\\ud800\"", b"{\"a\":1}}", b"\"\xff\"", b"nul", b"01"];

/// Users, each with its JSON form. The first pair means no user.
pub const USERS: [(&str, &str); 3] =
    [("", ""), ("ann", r#""ann""#), ("a\"b\\\n", r#""a\"b\\\u000a""#)];
