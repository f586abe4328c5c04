//! The hub's state, and `handle`, the single entry point for inputs.

use std::time::Duration;

use hashbrown::HashMap;
use roomer_proto::extended::is_extended;
use roomer_proto::{PacketRef, is_built_in};

use crate::action::Actions;
use crate::config::{Config, Presence, RoomPattern};
use crate::hash::{HashKey, KeyedState};
use crate::input::Input;
use crate::keys::{ConnKey, HandlerKey};
use crate::limits::{RejectedPackets, RejectedPeerInputs};
use crate::permission::Authorization;
use crate::record::{Context, Output};
use crate::tables::Tables;

/// Connections, rooms, members and rules. See the [crate documentation](crate).
#[derive(Debug)]
pub struct Hub {
    pub(crate) config: Config,
    /// The cached result of [`Config::has_rates`], needed for every packet.
    pub(crate) has_rates: bool,
    pub(crate) tables: Tables,
    pub(crate) output: Output,
    /// Message handlers by event.
    pub(crate) handlers: HashMap<Box<str>, HandlerKey, KeyedState>,
    /// Rooms with nondefault presence; the first matching pattern applies.
    presence: Vec<(RoomPattern, Presence)>,
    /// Request handlers by event.
    pub(crate) request_handlers: HashMap<Box<str>, HandlerKey, KeyedState>,
    /// Higher than every server request number used so far.
    pub(crate) next_request: u64,
    pub(crate) rejected: RejectedPackets,
    pub(crate) rejected_peer_inputs: RejectedPeerInputs,
}

/// An error from registering an event. Each variant indicates a bug in the caller.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name is empty.
    #[error("an event needs a name")]
    Empty,
    /// The event belongs to the protocol, so its packets never reach a handler.
    #[error("the event {0:?} belongs to the protocol; choose another name")]
    Reserved(String),
    /// The event already has a handler.
    #[error("the event {0:?} already has a handler; let one handler do the work of both")]
    Duplicate(String),
}

roomer_proto::debug_as_display!(RegisterError);

impl Hub {
    /// Handles one input at time `now` and returns the resulting actions.
    ///
    /// `now` counts from any fixed origin. The same inputs always produce the same actions: the hub
    /// reads no clock, draws no random numbers and does not depend on hash table order. An input
    /// about a removed connection produces no actions.
    pub fn handle<'a>(&'a mut self, now: Duration, input: Input<'a>) -> Actions<'a> {
        // Clear the output only here, because the previous actions borrow the output until the
        // driver has consumed them.
        self.output.clear();
        // Do this before handling the input, which reads the time from the histories and stores the
        // client's history request there.
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
            handlers: HashMap::with_hasher(key.state()),
            request_handlers: HashMap::with_hasher(key.state()),
            next_request: 0,
            presence: Vec::new(),
            rejected: RejectedPackets::default(),
            rejected_peer_inputs: RejectedPeerInputs::default(),
        }
    }

    /// Registers a handler. Messages with this event then cause [`Action::Call`](crate::Action::Call)
    /// instead of a broadcast. Keys are assigned in order, starting at 0.
    ///
    /// # Errors
    ///
    /// Returns a [`RegisterError`] if the name is empty, belongs to the protocol or is already
    /// registered.
    pub fn register(&mut self, event: &str) -> Result<HandlerKey, RegisterError> {
        let is_own = self.config.extended && is_extended(event);
        register(&mut self.handlers, event, is_own)
    }

    /// Registers a request handler. Requests with this event then cause
    /// [`Action::Request`](crate::Action::Request). Keys of request handlers are counted
    /// separately, starting at 0. An event may have both kinds of handlers, since messages and
    /// requests are distinct.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`register`](Self::register).
    pub fn register_request(&mut self, event: &str) -> Result<HandlerKey, RegisterError> {
        let is_own = self.config.extended && is_extended(event);
        register(&mut self.request_handlers, event, is_own)
    }

    /// Sets the presence of rooms created from now on. `pattern` is a room's name, or a prefix
    /// followed by `*`. The first matching pattern applies. Rooms that match no pattern have
    /// [`Presence::Full`].
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

    /// Returns the number of rejected packets since the hub was created.
    #[must_use]
    pub fn rejected_packets(&self) -> RejectedPackets {
        self.rejected
    }

    /// Makes a connection the subject of the output. Returns false if the connection was removed.
    pub(crate) fn set_subject(&mut self, conn: ConnKey) -> bool {
        let Some(entry) = self.tables.conns.get(conn) else {
            return false;
        };
        self.output.subject = Some(entry.id);
        true
    }
}

/// Registers a handler of either kind. `is_own` is true if the event belongs to the extended protocol.
fn register(
    handlers: &mut HashMap<Box<str>, HandlerKey, KeyedState>,
    event: &str,
    is_own: bool,
) -> Result<HandlerKey, RegisterError> {
    if event.is_empty() {
        return Err(RegisterError::Empty);
    }
    if is_built_in(event) || is_own {
        return Err(RegisterError::Reserved(event.into()));
    }
    // Handlers are never removed, so the length is always an unused key.
    let key = HandlerKey(handlers.len());
    match handlers.try_insert(event.into(), key) {
        Ok(_) => Ok(key),
        Err(_) => Err(RegisterError::Duplicate(event.into())),
    }
}
