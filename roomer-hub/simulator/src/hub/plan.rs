//! A plan for the hub: configuration and steps, as plain data. Running it uses no randomness, it
//! can be shrunk step by step, and its `Debug` form is valid Rust.
//!
//! Clients are identified by slot so that a plan stays meaningful when steps are removed.

use roomer_hub::{Config, HashKey, Presence, Rate};

use super::token_bucket::RateSpec;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub mode: Mode,
    pub max_name: usize,
    pub max_rooms: usize,
    /// A connection's rates, in the order messages, bytes, joins, violations.
    pub rates: [Option<RateSpec>; 4],
    pub shared_room_only: bool,
    /// For each kind, true if the application authorizes it: joins, messages to rooms, direct
    /// messages.
    pub authorize: [bool; 3],
    /// The application's answers, one bit each, reused in a cycle.
    pub answers: u8,
    /// The number of steps until each answer is given.
    pub answer_delay: u8,
    /// The presence modes other than `Full`, by name or `prefix*`.
    pub presence_rules: Vec<(&'static str, Presence)>,
    pub handlers: Vec<Handler>,
    pub steps: Vec<Step>,
    pub ending: Ending,
    /// The seed for the key of the hub's tables. It must not change the output, but it
    /// determines which names collide.
    pub key: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Default,
    Compat,
}

/// A handler, and the commands that it issues, in order, when it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    pub event: &'static str,
    pub commands: Vec<Step>,
}

/// What happens to the last connections after all checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Gone,
    Closed,
    /// The connections leave all rooms first, and stay open.
    Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Opens a connection with a new id, or with the id of the slot's occupant if it is open.
    Open {
        slot: u8,
    },
    /// Opens a connection with the id of an earlier one, open or closed.
    OpenAs {
        slot: u8,
        like: ClientRef,
    },
    Packet {
        client: ClientRef,
        room: &'static str,
        event: &'static str,
        dst: Address,
        src: Address,
        payload: Payload,
    },
    Gone {
        client: ClientRef,
    },
    Broadcast {
        from: Option<ClientRef>,
        except: Option<ClientRef>,
        room: &'static str,
        event: &'static str,
        payload: Payload,
    },
    Send {
        from: Option<ClientRef>,
        dst: Address,
        event: &'static str,
        payload: Payload,
    },
    Join {
        client: ClientRef,
        room: &'static str,
    },
    Leave {
        client: ClientRef,
        room: &'static str,
    },
    Close {
        client: ClientRef,
        code: u16,
        reason: &'static str,
    },
    /// Opens a connection whose id begins with a peer's tag.
    OpenTagged {
        slot: u8,
        id: u16,
    },
    /// A peer connects, with a tag.
    PeerUp {
        peer: u8,
        tag: u8,
    },
    PeerGone {
        peer: u8,
    },
    /// A guest joins a room. Guests are numbers of tagged ids.
    GuestJoined {
        peer: u8,
        room: &'static str,
        guest: u16,
    },
    GuestLeft {
        peer: u8,
        room: &'static str,
        guest: u16,
    },
    GuestCount {
        peer: u8,
        room: &'static str,
        members: u32,
    },
    /// A message from a peer to a room.
    PeerBroadcast {
        peer: u8,
        except: Address,
        room: &'static str,
        event: &'static str,
        dst: Address,
        src: Address,
        payload: Payload,
    },
    /// A message from a peer to a connection.
    PeerDirect {
        peer: u8,
        room: &'static str,
        event: &'static str,
        dst: Address,
        src: Address,
        payload: Payload,
    },
    /// A command's broadcast that excludes a connection on a peer.
    BroadcastExceptGuest {
        from: Option<ClientRef>,
        guest: u16,
        room: &'static str,
        event: &'static str,
        payload: Payload,
    },
    /// Moves the clock forward or back.
    Clock {
        millis: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRef {
    /// The last client in this slot, open or closed.
    Slot(u8),
    /// The client with this number, modulo the number of clients opened so far.
    Numbered(u16),
    /// In a handler: the client that called it.
    Caller,
}

/// A value of `dst` or `src`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    Nothing,
    Id(ClientRef),
    Upper(ClientRef),
    Padded(ClientRef),
    Cut(ClientRef),
    Word(&'static str),
}

/// The payload as an offset into the noise and a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload(pub u8, pub u32);

impl Plan {
    /// Returns the real hub's configuration.
    pub fn config(&self) -> Config {
        let mut config = match self.mode {
            Mode::Default => Config::default(),
            Mode::Compat => Config::compat(),
        };
        if (self.max_name, self.max_rooms) != (config.max_name, config.max_rooms) {
            (config.max_name, config.max_rooms) = (self.max_name, self.max_rooms);
        }
        set_limits(&mut config, self.rates, self.shared_room_only);
        [config.authorize_join, config.authorize_publish, config.authorize_direct] = self.authorize;
        config
    }

    /// Returns the key of the hub's tables.
    pub fn hash_key(&self) -> HashKey {
        let [low, high] = self.key.to_le_bytes();
        HashKey([low, high, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7])
    }

    /// Returns the model's configuration, which states the documented defaults explicitly.
    pub fn model_config(&self) -> Config {
        let mut config = Config::default();
        config.members_only = self.mode == Mode::Default;
        config.announce_rejoin = self.mode == Mode::Compat;
        (config.max_name, config.max_rooms) = (self.max_name, self.max_rooms);
        [config.authorize_join, config.authorize_publish, config.authorize_direct] = self.authorize;
        config
    }
}

/// Sets the limits that differ from the defaults.
pub fn set_limits(config: &mut Config, rates: [Option<RateSpec>; 4], shared_room_only: bool) {
    let rate = |(per_second, burst)| Rate::new(per_second, burst);
    if rates != DEFAULT_RATES {
        let [messages, bytes, joins, violation_rate] = rates.map(|spec| spec.and_then(rate));
        (config.message_rate, config.byte_rate) = (messages, bytes);
        (config.join_rate, config.violation_rate) = (joins, violation_rate);
    }
    if shared_room_only {
        config.shared_room_only = true;
    }
}

/// The documented default rates.
pub const DEFAULT_RATES: [Option<RateSpec>; 4] = [None, None, None, Some((1, 256))];

/// The documented defaults of [`Config::max_name`] and [`Config::max_rooms`].
pub const DEFAULT_LIMITS: (usize, usize) = (4096, 1100);
