//! The hub's configuration: rules, limits, and the properties of rooms.

use std::time::Duration;

use crate::rate::Rate;

/// The rules and limits of a hub.
///
/// Start from [`Config::default`] or [`Config::compat`] and change fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// True if a client must be a member of a room to send to it. Default `true`: a message of a
    /// connection that is not a member is dropped and counted. The Go original delivers it.
    pub members_only: bool,
    /// True if events that begin with `roomer:` belong to the extended protocol
    /// ([`roomer_proto::extended`]) and are rejected. Default `true`. The Go original does not know
    /// them.
    pub extended: bool,
    /// True if the other members are notified again when a member repeats its join. Default
    /// `false`: a repeated join is only acknowledged. The Go original notifies them.
    pub announce_rejoin: bool,
    /// The maximum length of a room's or an event's name in bytes, inclusive. Default 4,096: names
    /// are kept for as long as a room lives, so they must not be as large as messages.
    pub max_name: usize,
    /// The maximum number of rooms per connection, including `root`. Default 1,100: above the 1,000
    /// that clients of the original are known to use.
    pub max_rooms: usize,
    /// True if a client's join needs the application's permission
    /// ([`Action::Authorize`](crate::Action::Authorize)). Default `false`. A join that another rule rejects,
    /// a repeated join and a join by the server are not authorized.
    pub authorize_join: bool,
    /// True if a client's message to a room needs the application's permission. Default `false`.
    pub authorize_publish: bool,
    /// True if a client's direct message needs the application's permission. Default `false`.
    pub authorize_direct: bool,
    /// True if a client may set its own info with the application's permission. Default `false`: a
    /// client's info is rejected, and only the application sets it.
    pub authorize_info: bool,
    /// The maximum length of the info that a client sets, in bytes of JSON. Default 1,024: each member
    /// of its rooms is sent it, with each list of members.
    pub max_info: usize,
    /// The rate at which a client may set its info. Default 16 at once and one per second, since each
    /// change is sent to all extended members of all its rooms. `None`: unlimited. Above it, the info is
    /// rejected.
    pub info_rate: Option<Rate>,
    /// The maximum number of bytes that all rooms together remember
    /// ([`Hub::remember`](crate::Hub::remember)). Default 64 MiB. Above it, rooms without members are
    /// forgotten, and a room that grows forgets its oldest messages.
    pub max_history: usize,
    /// The rate at which a client may ask for what it has missed when it joins rooms that remember.
    /// Default 16 at once and one per second. Above it, its joins are ordinary ones. `None`: unlimited.
    pub recall_rate: Option<Rate>,
    /// The epoch of the first memory of a room, of which 52 bits count. A random number, so that a
    /// client of another process does not mistake the memory for the one that it knows. Default 0.
    pub first_epoch: u64,
    /// True if direct messages pass only between connections that share a room. Default `false`:
    /// a client that knows an id can send to it. `root` does not count, since every connection
    /// starts there; a message to oneself always passes. Other messages are dropped and counted.
    pub shared_room_only: bool,
    /// The maximum number of requests per connection that are not answered, of each kind: of a client
    /// to the server, of a client to other clients, and of the server to a client; to one client, other
    /// clients may have 16 times as many. Default 64. A request of a client to another one that is
    /// older than a minute makes room for a new one.
    pub max_requests: usize,
    /// The rate of packets per connection. Default `None`: unlimited. A packet above it is
    /// dropped, and its connection is closed with code 1008 and the reason `rate`.
    pub message_rate: Option<Rate>,
    /// The rate of bytes per connection, in packets without the headers of their frames. Default
    /// `None`: unlimited. A packet larger than the burst never passes.
    pub byte_rate: Option<Rate>,
    /// The rate of joins per connection, including repeated ones, since each is answered with a
    /// list of members. Default `None`: unlimited.
    pub join_rate: Option<Rate>,
    /// The rate of violations per connection, above which it is closed with code 1008 and the
    /// reason `too many violations`. Default 256 at once and one per second: a client that is
    /// removed from a room may have many messages for it under way, and must not be closed for
    /// them; one that keeps sending after it was notified is. `None`: unlimited.
    ///
    /// A violation is a rejected packet that a client could have avoided: any of
    /// [`RejectedPackets`](crate::RejectedPackets) except direct messages to unknown ids, since
    /// the receiver may have closed a moment ago, and packets that the application denied.
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
    /// Returns the rules of the Go original, except that reserved events still never pass and the
    /// limits stay.
    #[must_use]
    pub fn compat() -> Self {
        // A forged `join_ack` changes what clients believe about their rooms, so not even
        // compatibility lets one pass.
        Config { members_only: false, extended: false, announce_rejoin: true, ..Config::default() }
    }

    /// Returns true if packets have to be counted.
    pub(crate) fn has_rates(&self) -> bool {
        self.message_rate.is_some() || self.byte_rate.is_some() || self.join_rate.is_some()
    }
}

/// The notifications that the members of a room receive about each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presence {
    /// As in the Go original: `join_ack` lists all members, and every member is notified of each
    /// join and leave. The cost grows with the square of the members: 10,000 that join one after
    /// the other cause 50 million notices.
    #[default]
    Full,
    /// `join_ack` carries the number of members instead of a list, and members are not notified
    /// of joins and leaves. Clients have to expect the number.
    Count,
    /// `join_ack` lists only the joiner, and members are not notified of joins and leaves.
    Off,
}

/// The order in which the members of a room receive its messages in a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// The members on one node share one order; each sender's messages are in its order on all nodes.
    /// Messages wait for no other node.
    #[default]
    Sender,
    /// All members on all nodes share one order. One node, the room's home, gives each message its
    /// place, so a message reaches members, also on its own node, only after the home's answer.
    Room,
}

/// The memory of a room: its last messages, up to each of these limits.
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
    /// The maximum number of bytes, including about 100 for each message besides its event and its
    /// payload. A larger message is not remembered, and neither are those before it.
    pub bytes: usize,
    /// The time after which a message is forgotten, and after which all are if the room has no members.
    pub age: Duration,
}

impl History {
    /// Remembers the last messages, up to 64 KiB, for 10 minutes.
    #[must_use]
    pub fn last(messages: usize) -> Self {
        History { messages, bytes: 64 * 1024, age: Duration::from_secs(600) }
    }

    /// Sets the maximum number of bytes.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets the time after which messages are forgotten.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }
}

/// A set of rooms: one name, or with `PREFIX*` all names that start with the prefix. A `*` that is
/// not the last character stands for itself.
#[derive(Clone, Debug)]
pub struct RoomPattern(Pattern);

#[derive(Clone, Debug)]
enum Pattern {
    Name(Box<str>),
    Prefix(Box<str>),
}

impl RoomPattern {
    /// Reads a pattern. Each text is one.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        RoomPattern(match pattern.strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.into()),
            None => Pattern::Name(pattern.into()),
        })
    }

    /// Returns true if a room of this name is in the set.
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
    fn a_name_matches_only_itself() {
        let names = ["lobby", "Lobby", "lobby2", "lobb", ""];
        assert_eq!(matches("lobby", &names), [true, false, false, false, false]);
        assert_eq!(matches("", &names), [false, false, false, false, true]);
    }

    #[test]
    fn a_prefix_matches_every_name_that_starts_with_it() {
        let names = ["game-", "game-7", "game-*", "game", "a game-7"];
        assert_eq!(matches("game-*", &names), [true, true, true, false, false]);
    }

    #[test]
    fn a_star_alone_matches_all_names() {
        assert_eq!(matches("*", &["", "lobby", "*"]), [true; 3]);
    }

    #[test]
    fn a_star_before_the_end_stands_for_itself() {
        assert_eq!(matches("a*b", &["a*b", "ab", "aXb"]), [true, false, false]);
        assert_eq!(matches("a**", &["a*", "a*b", "ab"]), [true, true, false]);
    }

    #[test]
    fn a_prefix_is_compared_in_bytes_of_whole_characters() {
        assert_eq!(matches("ä*", &["ä", "äb", "a"]), [true, true, false]);
    }
}
