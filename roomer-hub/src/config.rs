//! The hub's rules and limits.

use crate::rate::Rate;

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
    /// Whether somebody is to be asked before a client joins a room
    /// ([`Action::Ask`](crate::Action::Ask)). Default `false`. Only joins that nothing else
    /// refuses are asked about, so neither is a repeated one; nor is what the server itself does.
    pub authorize_join: bool,
    /// The same for messages into a room.
    pub authorize_publish: bool,
    /// The same for direct messages.
    pub authorize_direct: bool,
    /// Whether a direct message passes only between connections that share a room. Default
    /// `false`: whoever knows an id can send to it. `root` does not count, since everybody starts
    /// there; to oneself everybody may send. What does not pass is dropped and counted.
    pub shared_room_only: bool,
    /// How many packets each connection may send. Default `None`: any number. Whoever sends more
    /// is closed with 1008 and the reason `rate`, and that packet is dropped.
    pub message_rate: Option<Rate>,
    /// The same in bytes of packets, without the headers of their frames. A packet that is larger
    /// than the burst never passes.
    pub byte_rate: Option<Rate>,
    /// The same for joins alone, repeated ones too: each is answered with a list of members.
    pub join_rate: Option<Rate>,
    /// How many of a connection's packets may be refused before it is closed with 1008 and the
    /// reason `too many violations`. Default 256 at once and one per second: a client that is
    /// taken out of a room may have many messages for it under way, and is not to be closed for
    /// them; one that goes on after it has heard of it is. `None`: any number.
    ///
    /// What counts is what a client should have known better: all of [`RejectedPackets`] but messages to
    /// nobody, for the receiver may just have gone, and what a rule of the application's refused.
    pub violation_rate: Option<Rate>,
}

/// The default of [`Config::violation_rate`].
const STRIKES: Option<Rate> = Rate::new(1, 256);

impl Default for Config {
    fn default() -> Self {
        Config {
            members_only: true,
            announce_rejoin: false,
            max_name: 4096,
            max_rooms: 1100,
            authorize_join: false,
            authorize_publish: false,
            authorize_direct: false,
            shared_room_only: false,
            message_rate: None,
            byte_rate: None,
            join_rate: None,
            violation_rate: STRIKES,
        }
    }
}

impl Config {
    /// The Go original's behaviour, except that reserved events still never pass and the limits
    /// stay.
    #[must_use]
    pub fn compat() -> Self {
        Config { members_only: false, announce_rejoin: true, ..Config::default() }
    }

    /// Whether each packet has to be weighed.
    pub(crate) fn has_rates(&self) -> bool {
        self.message_rate.is_some() || self.byte_rate.is_some() || self.join_rate.is_some()
    }
}

/// What the members of a room hear of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Presence {
    /// Everything, as in the Go original: who joins gets the list of all members, and everybody
    /// hears of every join and leave. Costs each member bytes for each other: 10,000 of them
    /// joining one after the other cause 50 million notices.
    #[default]
    Full,
    /// How many they are: `join_ack` carries a number instead of a list, and nobody hears of
    /// joins and leaves. Clients have to know, since it is no list.
    Count,
    /// Nothing: `join_ack` lists the joiner alone, and nobody hears of joins and leaves.
    Off,
}

/// What the hub has refused since it was made. A refusal leaves the connection open, unless it says
/// otherwise here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectedPackets {
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
    /// Direct messages to somebody in no common room ([`Config::shared_room_only`]).
    pub no_shared_room: u64,
    /// Whatever a rule of the application's refused ([`Action::Ask`](crate::Action::Ask)).
    pub by_application: u64,
    /// Packets above a rate, each of which has closed its connection.
    pub rate: u64,
    /// Connections that were closed because of too many refusals ([`Config::violation_rate`]).
    pub violations: u64,
}

impl RejectedPackets {
    /// Returns each count with its field's name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let RejectedPackets {
            reserved,
            not_member,
            long_name,
            too_many_rooms,
            unknown_dst,
            no_shared_room,
            by_application,
            rate,
            violations,
        } = *self;
        [
            ("reserved", reserved),
            ("not_member", not_member),
            ("long_name", long_name),
            ("too_many_rooms", too_many_rooms),
            ("unknown_dst", unknown_dst),
            ("no_shared_room", no_shared_room),
            ("by_application", by_application),
            ("rate", rate),
            ("violations", violations),
        ]
        .into_iter()
    }
}
