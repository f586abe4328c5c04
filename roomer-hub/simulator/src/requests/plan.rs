//! A plan with requests: a configuration and steps, as plain data.

use roomer_hub::{Config, Rate};

use crate::alphabet::{identity, tagged};
use crate::hub::token_bucket::RateSpec;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub max_requests: usize,
    pub shared_room_only: bool,
    /// True for each kind of message that the application must authorize: to rooms, and direct.
    pub authorize: [bool; 2],
    /// The decisions of the application, one bit each. They are reused in a cycle.
    pub answers: u8,
    pub message_rate: Option<RateSpec>,
    pub violation_rate: Option<RateSpec>,
    pub steps: Vec<Step>,
}

/// The maximum length of a name, in bytes.
pub const MAX_NAME: usize = 8;
/// The maximum number of rooms per connection.
pub const MAX_ROOMS: usize = 3;
/// The events that have request handlers.
pub const REQUESTS: [&str; 2] = ["add", "sub"];
/// An event that also has a message handler.
pub const HANDLED: &str = "add";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Opens a connection in a slot whose previous connection has ended.
    Open {
        slot: u8,
        extended: bool,
    },
    Gone {
        slot: u8,
    },
    Close {
        slot: u8,
    },
    Packet {
        slot: u8,
        room: &'static str,
        event: &'static str,
        dst: Dst,
    },
    /// The server is about to acknowledge a client's packets.
    Acknowledge {
        slot: u8,
    },
    /// A handler answers a pending request.
    Answer {
        slot: u8,
        tag: &'static str,
        is_error: bool,
    },
    /// The server sends a request.
    Request {
        slot: u8,
    },
    /// The server withdraws a request: the last one that it has sent if `ago` is 0, the one before
    /// if it is 1, and so on.
    Withdraw {
        slot: u8,
        ago: u8,
    },
    /// The peer sends a direct message.
    Peer {
        event: &'static str,
        src: Party,
        dst: Dst,
    },
    Clock {
        millis: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dst {
    Nothing,
    Id(Party),
    Tagged(Party, &'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The server itself: the address has no id.
    Server,
    /// The latest client in this slot.
    Slot(u8),
    /// A connection on the peer.
    Guest(u8),
    Unknown,
}

impl Plan {
    pub fn config(&self) -> Config {
        let rate = |spec: Option<RateSpec>| spec.and_then(|(speed, burst)| Rate::new(speed, burst));
        let mut config = Config::default();
        (config.max_name, config.max_rooms) = (MAX_NAME, MAX_ROOMS);
        config.max_requests = self.max_requests;
        config.shared_room_only = self.shared_room_only;
        [config.authorize_publish, config.authorize_direct] = self.authorize;
        config.message_rate = rate(self.message_rate);
        config.violation_rate = rate(self.violation_rate);
        config
    }
}

/// Returns the id of a guest.
pub fn guest(number: u8) -> &'static str {
    &identity(tagged(number.into())).text
}
