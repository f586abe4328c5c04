//! The lists of the file: rules for rooms by pattern, `[[room]]`, and keys of the API, `[[api_key]]`.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::serve::config::setting::{Rate, Setting, Size, Threshold, choice};
use crate::serve::rights::Pattern;

/// The rules for the rooms that a pattern matches. For each rule, the first pattern that matches and
/// has the rule applies.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Room {
    /// A name, or the beginning of names followed by `*`.
    #[serde(deserialize_with = "pattern")]
    pub(crate) pattern: String,
    pub(crate) presence: Option<Presence>,
    /// The maximum number of last messages that a room remembers.
    pub(crate) history: Option<usize>,
    /// The time for which a room remembers a message.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) history_age: Option<std::time::Duration>,
    /// The maximum size in bytes of the messages that a room remembers.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) history_bytes: Option<Size>,
    /// The size from which messages are compressed.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) deflate: Option<Threshold>,
    pub(crate) join: Option<Who>,
    pub(crate) publish: Option<Who>,
    /// The clients that may send direct messages to other members of the room.
    pub(crate) whisper: Option<Who>,
    /// The clients that get what the room remembers.
    pub(crate) history_for: Option<Who>,
    /// The rate of one client's messages, direct ones included; messages above it are dropped.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) rate: Option<Rate>,
    /// The rate of one client's joins; joins above it are refused.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) join_rate: Option<Rate>,
}

/// A key of the HTTP API: `[[api_key]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKey {
    /// The name of the key in errors and logs.
    pub(crate) name: String,
    /// A file that contains the key.
    pub(crate) file: Option<PathBuf>,
    /// Or the hash of the key.
    pub(crate) sha256: Option<String>,
    #[serde(default = "all_rights")]
    pub(crate) rights: Vec<ApiRight>,
    /// Patterns; all rooms without one.
    #[serde(default, deserialize_with = "patterns")]
    pub(crate) rooms: Vec<String>,
}

choice! {
    /// A right that a key of the API grants.
    ApiRight {
        /// Messages to rooms, connections and users.
        Publish = "publish",
        /// Rooms, members and counts.
        Read = "read",
        /// Removals from rooms, and ends of connections.
        Manage = "manage",
    }
}

fn all_rights() -> Vec<ApiRight> {
    vec![ApiRight::Publish, ApiRight::Read, ApiRight::Manage]
}

choice! {
    /// The clients that a rule permits. The rooms in a client's token limit it as well.
    Who {
        All = "all",
        /// Clients whose token names a user.
        Users = "users",
        /// Clients whose token has the right for this room.
        Token = "token",
        /// No client, only the HTTP API.
        None = "none",
    }
}

choice! {
    /// How much the members of a room learn of each other.
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

/// Reads a value as options of this kind are written.
fn setting<'de, D: Deserializer<'de>, T: Setting>(deserializer: D) -> Result<Option<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "write a number, or text in quotation marks")]
    enum Written {
        // Negative ones too: the kind of value refuses them, and its error shows a valid one.
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
