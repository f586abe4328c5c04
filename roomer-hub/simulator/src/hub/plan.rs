//! A plan: all that happens, as data. It runs without randomness, shrinks step by step, and its
//! `Debug` form is Rust that compiles.
//!
//! Clients are named by slot, so that a plan stays meaningful when steps are taken out of it.

use roomer_hub::{Config, HashKey, Presence, Rate};

use super::token_bucket::RateSpec;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub mode: Mode,
    pub max_name: usize,
    pub max_rooms: usize,
    /// What each connection may send: messages, bytes, joins; and how much of it may be refused.
    pub rates: [Option<RateSpec>; 4],
    pub shared_room_only: bool,
    /// What the application is asked about: joins, messages into rooms, direct messages.
    pub authorize: [bool; 3],
    /// Its answers, as bits, used round and round.
    pub answers: u8,
    /// How many steps later each answer comes.
    pub answer_delay: u8,
    /// What members hear of each other, where that is not everything.
    pub presence_rules: Vec<(&'static str, Presence)>,
    pub handlers: Vec<Handler>,
    pub steps: Vec<Step>,
    pub ending: Ending,
    /// What the key of the hub's tables is made of. It must change nothing, but it decides which
    /// names fall together in them.
    pub key: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Default,
    Compat,
}

/// A handler, and what it asks for when it is called: commands, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    pub event: &'static str,
    pub commands: Vec<Step>,
}

/// How the last connections end, once all has been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Gone,
    Closed,
    /// They leave every room first, and stay.
    Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A connection with an id of its own; with the id of whoever is in the slot, if somebody is.
    Open {
        slot: u8,
    },
    /// A connection with the id of one that there is or was.
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
    /// The clock goes on, or back.
    Clock {
        millis: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRef {
    /// The one in this slot, here or gone.
    Slot(u8),
    /// Anyone who ever was, by number, counted round and round.
    Numbered(u16),
    /// In a handler: the one who called it.
    Caller,
}

/// What can stand in dst and src.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    Nothing,
    Id(ClientRef),
    Upper(ClientRef),
    Padded(ClientRef),
    Cut(ClientRef),
    Word(&'static str),
}

/// Where in the noise, and how many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload(pub u8, pub u32);

impl Plan {
    /// The configuration, as an application sets it up.
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

    /// The key of the hub's tables.
    pub fn hash_key(&self) -> HashKey {
        let [low, high] = self.key.to_le_bytes();
        HashKey([low, high, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7])
    }

    /// What that means, by the documents.
    pub fn model_config(&self) -> Config {
        let mut config = Config::default();
        config.members_only = self.mode == Mode::Default;
        config.announce_rejoin = self.mode == Mode::Compat;
        (config.max_name, config.max_rooms) = (self.max_name, self.max_rooms);
        [config.authorize_join, config.authorize_publish, config.authorize_direct] = self.authorize;
        config
    }
}

/// Sets up what is not so by default.
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

/// The default of what each connection may send, by the documents.
pub const DEFAULT_RATES: [Option<RateSpec>; 4] = [None, None, None, Some((1, 256))];

/// The defaults of [`Config::max_name`] and [`Config::max_rooms`], by the documents.
pub const DEFAULT_LIMITS: (usize, usize) = (4096, 1100);
