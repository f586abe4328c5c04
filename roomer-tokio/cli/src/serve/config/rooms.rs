//! The file's lists: `[[room]]`, rules for rooms by pattern, and `[[api_key]]`, keys for the API.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::serve::config::setting::{Rate, Setting, Size, Threshold, choice};
use crate::serve::rights::Pattern;

/// The rules for rooms that match a pattern. Each rule is taken from the first matching pattern that
/// sets it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Room {
    /// A room's name, or a name prefix followed by `*`.
    #[serde(deserialize_with = "pattern")]
    pub(crate) pattern: String,
    pub(crate) presence: Option<Presence>,
    /// The maximum number of messages in the room's history.
    pub(crate) history: Option<usize>,
    /// The maximum age of a message in the room's history.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) history_age: Option<std::time::Duration>,
    /// The maximum size of the room's history in bytes.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) history_bytes: Option<Size>,
    /// The minimum length of compressed messages.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) deflate: Option<Threshold>,
    pub(crate) join: Option<Who>,
    pub(crate) publish: Option<Who>,
    /// The clients that may send direct messages to other members of the room.
    pub(crate) whisper: Option<Who>,
    /// The clients that may receive the room's history.
    pub(crate) history_for: Option<Who>,
    /// The rate of messages from one client, including direct ones; messages above it wait.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) rate: Option<Rate>,
    /// The rate of joins by one client; joins above it wait.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) join_rate: Option<Rate>,
}

/// A key for the HTTP API: `[[api_key]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKey {
    /// The key's name in errors and logs.
    pub(crate) name: String,
    /// The path of a file that contains the key.
    pub(crate) file: Option<PathBuf>,
    /// The key's SHA-256, as an alternative to `file`.
    pub(crate) sha256: Option<String>,
    #[serde(default = "all_rights")]
    pub(crate) rights: Vec<ApiRight>,
    /// Patterns of permitted rooms; empty for all rooms.
    #[serde(default, deserialize_with = "patterns")]
    pub(crate) rooms: Vec<String>,
}

choice! {
    /// A right granted to an API key.
    ApiRight {
        /// Sending messages to rooms, connections and users.
        Publish = "publish",
        /// Reading rooms, members and counts.
        Read = "read",
        /// Removing connections from rooms, and closing connections.
        Manage = "manage",
    }
}

fn all_rights() -> Vec<ApiRight> {
    vec![ApiRight::Publish, ApiRight::Read, ApiRight::Manage]
}

choice! {
    /// The clients that a rule permits. The rooms in a client's token restrict it further.
    Who {
        All = "all",
        /// Clients whose token names a user.
        Users = "users",
        /// Clients whose token has the right for this room.
        Token = "token",
        /// No client; only the HTTP API.
        None = "none",
    }
}

choice! {
    /// The presence events that a room's members receive.
    Presence { Full = "full", Count = "count", Off = "off" }
}

fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    check_pattern(String::deserialize(deserializer)?)
}

fn patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Vec::deserialize(deserializer)?.into_iter().map(check_pattern).collect()
}

fn check_pattern<E: de::Error>(pattern: String) -> Result<String, E> {
    Pattern::parse(&pattern).map_err(E::custom)?;
    Ok(pattern)
}

/// Deserializes a value that is written like an option.
fn setting<'de, D: Deserializer<'de>, T: Setting>(deserializer: D) -> Result<Option<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "write a number, or text in quotation marks")]
    enum Written {
        // Includes negative numbers: the value's type rejects them with an error that shows a valid
        // value.
        Number(i64),
        Fraction(f64),
        Text(String),
    }
    let text = match Written::deserialize(deserializer)? {
        Written::Number(number) => number.to_string(),
        Written::Fraction(number) => number.to_string(),
        Written::Text(text) => text,
    };
    T::parse(&text).map(Some).map_err(de::Error::custom)
}
