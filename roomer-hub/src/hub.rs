//! The hub: its state, and `handle`, through which every input enters.

use std::time::Duration;

use hashbrown::HashMap;
use roomer_proto::extended::is_extended;
use roomer_proto::{PacketRef, is_built_in};

use crate::action::Actions;
use crate::config::{Config, Presence, RoomPattern};
use crate::hash::HashKey;
use crate::input::Input;
use crate::keys::{ConnKey, HandlerKey};
use crate::limits::{RejectedPackets, RejectedPeerInputs};
use crate::permission::Authorization;
use crate::record::{Context, Output};
use crate::tables::Tables;

/// Connections, rooms, members and rules. See the [crate's page](crate).
#[derive(Debug)]
pub struct Hub {
    pub(crate) config: Config,
    /// The result of [`Config::has_rates`], which every packet asks for.
    pub(crate) has_rates: bool,
    pub(crate) tables: Tables,
    pub(crate) output: Output,
    /// The events with a handler.
    pub(crate) handlers: HashMap<Box<str>, HandlerKey, HashKey>,
    /// The rooms whose presence is not the default; the first matching pattern applies.
    presence: Vec<(RoomPattern, Presence)>,
    /// The events with a request handler.
    pub(crate) request_handlers: HashMap<Box<str>, HandlerKey, HashKey>,
    /// Greater than the number of every request of the server so far.
    pub(crate) next_request: u64,
    pub(crate) rejected: RejectedPackets,
    pub(crate) rejected_peer_inputs: RejectedPeerInputs,
}

/// Why an event cannot have a handler. The caller is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name is empty.
    #[error("an event needs a name")]
    Empty,
    /// The name belongs to the protocol, so such a packet never reaches a handler.
    #[error("the event {0:?} belongs to the protocol; choose another name")]
    Reserved(String),
    /// The event already has a handler.
    #[error("the event {0:?} already has a handler; let one handler do the work of both")]
    Duplicate(String),
}

impl Hub {
    /// Handles one input at the time `now`, and returns the actions that follow from it.
    ///
    /// `now` counts from any fixed moment of the caller's choice. The same inputs always give the
    /// same actions: the hub reads no clock, draws no random numbers and does not depend on the
    /// order of a hash table. An input about a connection that is gone gives no actions.
    pub fn handle<'a>(&'a mut self, now: Duration, input: Input<'a>) -> Actions<'a> {
        // Only now: the actions of the last input borrow the output until the driver has taken
        // them.
        self.output.clear();
        // Before the input, which reads the time there and leaves the request of its client.
        if let Some(histories) = &mut self.tables.histories {
            histories.begin(now);
        }
        let context = match input {
            Input::Open { id, extended } => self.open(now, id, extended),
            Input::Packet { conn, packet } => {
                self.packet(now, conn, &packet, Authorization::Required);
                Context::of(conn, packet)
            }
            Input::Allowed { conn, packet } => {
                self.packet(now, conn, &packet, Authorization::Granted);
                Context::of(conn, packet)
            }
            Input::Denied { conn, packet } => {
                self.denied(now, conn, &packet);
                Context::of(conn, packet)
            }
            Input::Gone { conn } => {
                self.remove(conn);
                Context::of(conn, PacketRef::default())
            }
            Input::Command(command) => self.command(command),
            input => self.rare_input(now, input),
        };
        Actions::new(&self.tables, &self.output, context)
    }

    /// Creates a hub without connections.
    #[must_use]
    pub fn new(config: Config, key: HashKey) -> Self {
        Hub {
            config,
            has_rates: config.has_rates(),
            tables: Tables::new(key),
            output: Output::default(),
            handlers: HashMap::with_hasher(key),
            request_handlers: HashMap::with_hasher(key),
            next_request: 0,
            presence: Vec::new(),
            rejected: RejectedPackets::default(),
            rejected_peer_inputs: RejectedPeerInputs::default(),
        }
    }

    /// Registers a handler: messages with this event lead to [`Action::Call`](crate::Action::Call)
    /// instead of a broadcast. Keys count up from 0.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if the name is empty, the protocol's own or taken.
    pub fn register(&mut self, event: &str) -> Result<HandlerKey, RegisterError> {
        let is_own = self.config.extended && is_extended(event);
        register(&mut self.handlers, event, is_own)
    }

    /// Registers a request handler: requests with this event lead to
    /// [`Action::Request`](crate::Action::Request). Request handlers have keys of their own, which count
    /// up from 0. An event may have a handler of each kind, since a message is not a request.
    ///
    /// # Errors
    ///
    /// The same as of [`register`](Self::register).
    pub fn register_request(&mut self, event: &str) -> Result<HandlerKey, RegisterError> {
        let is_own = self.config.extended && is_extended(event);
        register(&mut self.request_handlers, event, is_own)
    }

    /// Sets the presence of rooms that are created from now on. `pattern` is a room's name, or a
    /// prefix of names followed by `*`. The first pattern that matches a name applies; without one
    /// it is [`Presence::Full`].
    pub fn set_presence(&mut self, pattern: &str, presence: Presence) {
        self.presence.push((RoomPattern::new(pattern), presence));
    }

    pub(crate) fn presence_of(&self, name: &str) -> Presence {
        let first = self.presence.iter().find(|(pattern, _)| pattern.matches(name));
        first.map(|(_, presence)| *presence).unwrap_or_default()
    }

    /// Returns the tables of connections and rooms.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Returns how many packets were rejected since the hub was created.
    #[must_use]
    pub fn rejected_packets(&self) -> RejectedPackets {
        self.rejected
    }

    /// Makes a connection the subject of the output. Returns false if it is gone.
    pub(crate) fn set_subject(&mut self, conn: ConnKey) -> bool {
        let Some(entry) = self.tables.conns.get(conn) else {
            return false;
        };
        self.output.subject = Some(entry.id);
        true
    }
}

/// Registers a handler of one kind. `is_own` is true if the event belongs to the extended protocol.
fn register(
    handlers: &mut HashMap<Box<str>, HandlerKey, HashKey>,
    event: &str,
    is_own: bool,
) -> Result<HandlerKey, RegisterError> {
    if event.is_empty() {
        return Err(RegisterError::Empty);
    }
    if is_built_in(event) || is_own {
        return Err(RegisterError::Reserved(event.into()));
    }
    // Handlers are never removed, so the length is a key that no other handler has.
    let key = HandlerKey(handlers.len());
    match handlers.try_insert(event.into(), key) {
        Ok(_) => Ok(key),
        Err(_) => Err(RegisterError::Duplicate(event.into())),
    }
}
