//! The hub's configuration: rules, limits, and room properties.

use std::time::Duration;

use crate::rate::Rate;

/// A hub's rules and limits.
///
/// Start from [`Config::default`] or [`Config::compat`] and change individual fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// True if a client must be a member of a room to send to it. Default `true`: a message
    /// from a non-member is dropped and counted. The Go original delivers it.
    pub members_only: bool,
    /// True if events that start with `roomer:` belong to the extended protocol
    /// ([`roomer_proto::extended`]). They are then rejected unless the protocol allows a client to
    /// send them. Default `true`. The Go original does not have the extended protocol.
    pub extended: bool,
    /// True if the other members are notified again when a member repeats its join. Default
    /// `false`: a repeated join is only acknowledged. The Go original notifies the members.
    pub announce_rejoin: bool,
    /// The maximum length of a room or event name in bytes. Default 4,096. A room's name is stored
    /// as long as the room exists, so names must not be as large as messages.
    pub max_name: usize,
    /// The maximum number of rooms per connection, including `root`. Default 1,100, which exceeds
    /// the 1,000 rooms that clients of the Go original are known to use.
    pub max_rooms: usize,
    /// True if a client's join requires the application's permission
    /// ([`Action::Authorize`](crate::Action::Authorize)). Default `false`. The application is not
    /// asked about joins rejected by another rule, repeated joins, or joins by the server.
    pub authorize_join: bool,
    /// True if a client's message to a room requires the application's permission. Default `false`.
    pub authorize_publish: bool,
    /// True if a client's direct message requires the application's permission. Default `false`.
    pub authorize_direct: bool,
    /// True if a client may set its own info with the application's permission. Default
    /// `false`: only the application can set it.
    pub authorize_info: bool,
    /// The maximum length of info that a client sets, in bytes of JSON. Default 1,024. Each member
    /// list sent to an extended member of the client's rooms includes the info.
    pub max_info: usize,
    /// The rate at which a client may set its info. Excess changes are rejected. Default: one per
    /// second, with bursts of 16, since each change is sent to all extended members of all its
    /// rooms. `None`: unlimited.
    pub info_rate: Option<Rate>,
    /// The maximum total size of all rooms' histories in bytes
    /// ([`Hub::add_history`](crate::Hub::add_history)). Default 64 MiB. If a new message takes
    /// the total above it, the hub first discards histories of rooms without members, and then the
    /// oldest messages in the message's room.
    pub max_history: usize,
    /// The rate at which a client may request missed messages when it joins rooms with history.
    /// Excess requests are ignored, but the joins succeed. Joins of other rooms and rejected joins do
    /// not count. Default: one per second, with bursts of 16. `None`: unlimited.
    pub recall_rate: Option<Rate>,
    /// The epoch of the first history. Each later history has the next epoch. Only the low 52 bits
    /// are used. It should be random: otherwise, a client of an earlier server process could mistake
    /// the history for one that it knows. Default 0.
    pub first_epoch: u64,
    /// True if direct messages are delivered only between connections that share a room. Default
    /// `false`: a client can send to any id that it knows. The room `root` does not count, because
    /// every connection starts there. A connection's messages to itself are always delivered. All
    /// other direct messages are dropped and counted.
    pub shared_room_only: bool,
    /// The maximum number of unanswered requests per connection in each category: from a client to
    /// the server, from a client to other clients, and from the server to a client. Additionally,
    /// one client may have at most 16 times this many unanswered requests from all other clients
    /// together. Default 64. If a client reaches the limit for requests to other clients, its
    /// oldest one is dropped if it is at least a minute old.
    pub max_requests: usize,
    /// The packet rate per connection. Default `None`: unlimited. A packet above the rate is
    /// dropped, and its connection is closed with code 1008 and the reason `rate`.
    pub message_rate: Option<Rate>,
    /// The byte rate per connection. Counts whole packets, but not frame headers. Default `None`:
    /// unlimited. A packet larger than the burst is never accepted.
    pub byte_rate: Option<Rate>,
    /// The join rate per connection, including repeated joins, since each is answered with a member
    /// list. Default `None`: unlimited.
    pub join_rate: Option<Rate>,
    /// The violation rate per connection, above which the connection is closed with code 1008 and
    /// the reason `too many violations`. Default: one per second, with bursts of 256. `None`:
    /// unlimited.
    ///
    /// A violation is a rejected packet that the client could have avoided. This includes all of
    /// [`RejectedPackets`](crate::RejectedPackets), except packets that the application denied, and
    /// packets that may have crossed a change on their way: messages to a room that the client has
    /// been removed from, direct messages to a receiver that has closed or left the last shared
    /// room, joins above [`max_rooms`](Self::max_rooms), requests to plain clients and late
    /// answers. [`message_rate`](Self::message_rate) bounds these.
    pub violation_rate: Option<Rate>,
}

/// The default of [`Config::info_rate`].
const INFO_RATE: Option<Rate> = Rate::new(1, 16);

/// The default of [`Config::recall_rate`].
const RECALL_RATE: Option<Rate> = Rate::new(1, 16);

/// The default of [`Config::violation_rate`].
const VIOLATION_RATE: Option<Rate> = Rate::new(1, 256);

impl Default for Config {
    fn default() -> Self {
        Config {
            members_only: true,
            extended: true,
            announce_rejoin: false,
            max_name: 4096,
            max_rooms: 1100,
            authorize_join: false,
            authorize_publish: false,
            authorize_direct: false,
            authorize_info: false,
            max_info: 1024,
            info_rate: INFO_RATE,
            max_history: 64 << 20,
            recall_rate: RECALL_RATE,
            first_epoch: 0,
            shared_room_only: false,
            max_requests: 64,
            message_rate: None,
            byte_rate: None,
            join_rate: None,
            violation_rate: VIOLATION_RATE,
        }
    }
}

impl Config {
    /// Returns the Go original's rules, except that reserved events are still rejected and the
    /// limits still apply.
    #[must_use]
    pub fn compat() -> Self {
        // A forged `join_ack` would falsify a client's view of its rooms, so it is rejected
        // even in compatibility mode.
        Config { members_only: false, extended: false, announce_rejoin: true, ..Config::default() }
    }

    /// Returns true if any per-packet rate is configured.
    pub(crate) fn has_rates(&self) -> bool {
        self.message_rate.is_some() || self.byte_rate.is_some() || self.join_rate.is_some()
    }
}

/// The information that a room's members receive about each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presence {
    /// As in the Go original, `join_ack` lists all members, and every member is notified of
    /// each join and leave. The cost is quadratic in the number of members: 10,000 consecutive
    /// joins cause 50 million notices.
    #[default]
    Full,
    /// `join_ack` contains the number of members instead of a list, and members are not
    /// notified of joins and leaves. Clients must support this form.
    Count,
    /// `join_ack` lists only the joining client, and members are not notified of joins and leaves.
    Off,
}

/// The order in which members of a room in a cluster receive its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// All members on one node see the same order, and each sender's messages keep their order
    /// on all nodes. Messages never wait for other nodes.
    #[default]
    Sender,
    /// All members on all nodes see the same order. One node, the room's home, assigns each message
    /// its place. Messages are therefore delivered only after the home's answer, even on the
    /// sender's own node.
    Room,
}

/// Limits on a room's history, which keeps the latest messages within all of these limits.
///
/// ```
/// use std::time::Duration;
/// use roomer_hub::History;
/// let history = History::last(100).max_bytes(32 * 1024).max_age(Duration::from_secs(60));
/// assert_eq!(history.messages, 100);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct History {
    /// The maximum number of messages.
    pub messages: usize,
    /// The maximum size in bytes. Each message counts as its event and payload plus about 100
    /// bytes. A message above this limit is not stored, but causes all earlier messages to be
    /// discarded.
    pub bytes: usize,
    /// The maximum age of a message. A history is also discarded when its room has had no members
    /// for this long.
    pub age: Duration,
}

impl History {
    /// Creates limits of `messages` messages, 64 KiB and 10 minutes.
    #[must_use]
    pub fn last(messages: usize) -> Self {
        History { messages, bytes: 64 * 1024, age: Duration::from_secs(600) }
    }

    /// Sets the maximum size in bytes.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets the maximum age of messages.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }
}

/// A set of rooms: a single name or, as `PREFIX*`, all names with that prefix. A `*` in any
/// other position stands for itself.
#[derive(Clone, Debug)]
pub struct RoomPattern(Pattern);

#[derive(Clone, Debug)]
enum Pattern {
    Name(Box<str>),
    Prefix(Box<str>),
}

impl RoomPattern {
    /// Parses a pattern. Every string is a valid pattern.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        RoomPattern(match pattern.strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.into()),
            None => Pattern::Name(pattern.into()),
        })
    }

    /// Returns true if a room with this name is in the set.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match &self.0 {
            Pattern::Name(own) => **own == *name,
            Pattern::Prefix(prefix) => name.starts_with(&**prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, names: &[&str]) -> Vec<bool> {
        let pattern = RoomPattern::new(pattern);
        names.iter().map(|name| pattern.matches(name)).collect()
    }

    #[test]
    fn name_matches_exactly() {
        let names = ["lobby", "Lobby", "lobby2", "lobb", ""];
        assert_eq!(matches("lobby", &names), [true, false, false, false, false]);
        assert_eq!(matches("", &names), [false, false, false, false, true]);
    }

    #[test]
    fn prefix_matches_names_starting_with_it() {
        let names = ["game-", "game-7", "game-*", "game", "a game-7"];
        assert_eq!(matches("game-*", &names), [true, true, true, false, false]);
    }

    #[test]
    fn lone_star_matches_all_names() {
        assert_eq!(matches("*", &["", "lobby", "*"]), [true; 3]);
    }

    #[test]
    fn inner_star_is_literal() {
        assert_eq!(matches("a*b", &["a*b", "ab", "aXb"]), [true, false, false]);
        assert_eq!(matches("a**", &["a*", "a*b", "ab"]), [true, true, false]);
    }

    #[test]
    fn prefix_matches_whole_characters() {
        assert_eq!(matches("ä*", &["ä", "äb", "a"]), [true, true, false]);
    }
}
