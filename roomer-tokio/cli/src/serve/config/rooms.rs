//! The lists in the file: `[[room]]` with rules for rooms, and `[[api_key]]` with the API's keys.
//!
//! The rules of a `[[room]]` apply to the rooms that match its pattern.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::serve::config::setting::{Rate, Setting, Size, Threshold, choice};
use crate::serve::rights::Pattern;

/// Rules for the rooms that match a pattern. Each rule is taken from the first matching pattern
/// that sets it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Room {
    /// The name of a room, or the beginning of names followed by `*`.
    #[serde(deserialize_with = "pattern")]
    pub(crate) pattern: String,
    pub(crate) presence: Option<Presence>,
    /// The maximum number of messages in the history of a room.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) history: Option<usize>,
    /// The maximum age of a message in the history of a room.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) history_age: Option<std::time::Duration>,
    /// The maximum size of the history of a room, in bytes.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) history_bytes: Option<Size>,
    /// The minimum length of messages that are compressed.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) deflate: Option<Threshold>,
    pub(crate) join: Option<Who>,
    pub(crate) publish: Option<Who>,
    /// The clients that may send direct messages to other members in the room.
    pub(crate) whisper: Option<Who>,
    /// The clients that may receive the history of the room.
    pub(crate) history_for: Option<Who>,
    /// The maximum rate of messages from a client, including direct messages. Messages that exceed
    /// it are delayed.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) rate: Option<Rate>,
    /// The maximum rate of joins by a client. Joins that exceed it are delayed.
    #[serde(default, deserialize_with = "setting")]
    pub(crate) join_rate: Option<Rate>,
}

impl Room {
    /// Returns the keys of the rules that this table sets.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &'static str> {
        let keys = [
            ("presence", self.presence.is_some()),
            ("history", self.history.is_some()),
            ("deflate", self.deflate.is_some()),
            ("join", self.join.is_some()),
            ("publish", self.publish.is_some()),
            ("whisper", self.whisper.is_some()),
            ("history_for", self.history_for.is_some()),
            ("rate", self.rate.is_some()),
            ("join_rate", self.join_rate.is_some()),
        ];
        keys.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key)
    }
}

/// An API key, configured in a table `[[api_key]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKey {
    /// The name of the key in errors and in the log.
    pub(crate) name: String,
    /// The path of a file that contains the key.
    pub(crate) file: Option<PathBuf>,
    /// The SHA-256 of the key, as an alternative to `file`.
    pub(crate) sha256: Option<String>,
    #[serde(default = "all_rights")]
    pub(crate) rights: Vec<ApiRight>,
    /// The patterns of the rooms for which the key is valid; `None` if it is valid for all.
    #[serde(default, deserialize_with = "patterns")]
    pub(crate) rooms: Option<Vec<String>>,
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
    /// The clients that a rule permits. The rooms in a client's token may restrict that client
    /// further.
    Who {
        All = "all",
        /// Clients that have a user.
        Users = "users",
        /// Clients whose token contains the right for this room.
        Token = "token",
        /// No clients, only callers of the HTTP API.
        None = "none",
    }
}

choice! {
    /// The information that the members of a room receive about each other.
    Presence { Full = "full", Count = "count", Off = "off" }
}

fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    check_pattern(String::deserialize(deserializer)?)
}

fn patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    Vec::deserialize(deserializer)?
        .into_iter()
        .map(check_pattern)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn check_pattern<E: de::Error>(pattern: String) -> Result<String, E> {
    Pattern::parse(&pattern).map_err(E::custom)?;
    Ok(pattern)
}

/// Deserializes a value in the syntax of options.
fn setting<'de, D: Deserializer<'de>, T: Setting>(deserializer: D) -> Result<Option<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "write a number, or text in quotation marks")]
    enum Written {
        // Negative numbers are included, so that the type of the option rejects them, with an error
        // that shows a valid value.
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
