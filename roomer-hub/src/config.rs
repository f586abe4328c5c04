//! The hub's rules and limits.

/// What the hub allows. Start from [`Config::default`] or [`Config::compat`] and change fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Whether a client must be in a room to send to it. Default `true`: a stranger's message is
    /// dropped and counted. The Go original delivers it.
    pub members_only: bool,
    /// Whether a join by somebody who is already in is announced to the others again. Default
    /// `false`: it is only acknowledged. The Go original announces it.
    pub announce_rejoin: bool,
    /// The most bytes of a room's or an event's name, inclusive. Default 4,096: names are kept
    /// for as long as a room lives, so they must not be as large as messages.
    pub max_name: usize,
    /// The most rooms that one connection may be in, `root` included. Default 1,100: above the
    /// 1,000 that clients of the original are known to use.
    pub max_rooms: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { members_only: true, announce_rejoin: false, max_name: 4096, max_rooms: 1100 }
    }
}

impl Config {
    /// The Go original's behaviour, except that reserved events still never pass and the limits
    /// stay.
    #[must_use]
    pub fn compat() -> Self {
        Config { members_only: false, announce_rejoin: true, ..Config::default() }
    }
}

/// What the hub has refused since it was made. Each refusal leaves the connection open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusals {
    /// Messages whose event only a server may send ([`roomer_proto::is_reserved`]).
    pub reserved: u64,
    /// Messages into rooms that the sender is not in.
    pub not_member: u64,
    /// Joins and messages with a room or event name above [`Config::max_name`].
    pub long_name: u64,
    /// Joins above [`Config::max_rooms`].
    pub too_many_rooms: u64,
    /// Direct messages to nobody.
    pub unknown_dst: u64,
}
