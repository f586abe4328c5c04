//! A plan for the hub: a configuration and a list of steps, as plain data.
//!
//! Its run uses no randomness, it can be shrunk step by step, and its `Debug` form is valid Rust.
//!
//! Steps refer to clients by slot, so a plan stays meaningful when steps are removed.

use roomer_hub::{Config, HashKey, Presence, Rate};

use super::token_bucket::RateSpec;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub mode: Mode,
    pub max_name: usize,
    pub max_rooms: usize,
    /// The rates of a connection for messages, bytes, joins and violations, in this order.
    pub rates: [Option<RateSpec>; 4],
    pub shared_room_only: bool,
    /// True for each kind of packet that the application must authorize: joins, messages to rooms,
    /// direct messages.
    pub authorize: [bool; 3],
    /// The decisions of the application, one bit each. They are reused in a cycle.
    pub answers: u8,
    /// The number of steps between a question to the application and its decision.
    pub answer_delay: u8,
    /// The presence modes that differ from `Full`, each with the pattern of its rooms: a name, or
    /// `prefix*`.
    pub presence_rules: Vec<(&'static str, Presence)>,
    pub handlers: Vec<Handler>,
    pub steps: Vec<Step>,
    pub ending: Ending,
    /// The seed for the key of the hub's hash tables. The key determines which names collide, but
    /// must not affect the output.
    pub key: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Default,
    Compat,
}

/// A handler, and the commands that it issues, in order, whenever it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    pub event: &'static str,
    pub commands: Vec<Step>,
}

/// The way in which the remaining connections end, after all other checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Gone,
    Closed,
    /// The connections leave all of their rooms, and stay open.
    Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Opens a connection with a new id. If the slot's connection is still open, uses the id of
    /// that connection.
    Open {
        slot: u8,
    },
    /// Opens a connection with the id of an earlier one, which may be open or closed.
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
    /// A peer connects with a tag.
    PeerUp {
        peer: u8,
        tag: u8,
    },
    PeerGone {
        peer: u8,
    },
    /// A guest joins a room. In these steps, `guest` is the index of one of the tagged ids.
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
    /// The application's broadcast to a room, which excludes a connection on a peer.
    BroadcastExceptGuest {
        from: Option<ClientRef>,
        guest: u16,
        room: &'static str,
        event: &'static str,
        payload: Payload,
    },
    /// Moves the clock forward or backward.
    Clock {
        millis: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRef {
    /// The latest client in this slot, which may be open or closed.
    Slot(u8),
    /// The client with this number, taken modulo the number of clients opened so far.
    Numbered(u16),
    /// The client whose packet called the handler; only in a handler's commands.
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

/// A payload, given as an offset in the noise and a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload(pub u8, pub u32);

impl Plan {
    /// Returns the configuration for the real hub.
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

    /// Returns the configuration for the model. It contains the documented defaults explicitly.
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
