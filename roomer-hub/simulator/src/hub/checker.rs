//! Passes inputs to the real hub.
//!
//! Compares the hub's actions with those that the model expects, and with the clients' views.

use std::time::Duration;

use roomer_hub::{
    Command, Config, ConnId, ConnKey, HashKey, Hub, Input, KeyMap, RegisterError, RoomKey,
};
use roomer_proto::{ROOT, is_built_in};

use super::clients::Clients;
use super::display;
use super::guests::op::PeerOp;
use super::model::Model;
use super::op::{Effect, IdSet, Op};
use super::plan::{DEFAULT_LIMITS, DEFAULT_RATES, Plan};
use crate::alphabet::{IDS, Identity, RESERVED, identity};
use crate::fault::{Fault, ensure};
use crate::trace::Trace;

/// A hub together with its checker.
#[derive(Debug)]
pub struct CheckedHub {
    pub hub: Hub,
    pub checker: Checker,
}

/// Checks a hub by its actions and its public tables, without access to its internals.
#[derive(Debug)]
pub struct Checker {
    pub model: Model,
    pub clients: Clients,
    pub trace: Trace,
    /// The keys of the connections, by client number.
    pub keys: Vec<ConnKey>,
    /// The keys of the rooms, by room number.
    pub rooms: Vec<RoomKey>,
    /// The actions of the last input as text. `None` unless a report needs them.
    pub log: Option<Vec<String>>,
    pub(super) numbers: KeyMap<ConnKey, u16>,
    pub(super) now: Duration,
    /// True if the last input is a command that imitates a built-in event, which the clients must
    /// not interpret as a notice.
    pub(super) imitates_built_in: bool,
    pub(super) is_command: bool,
    /// The guests that leave because the last input removes their peer.
    pub(super) leaving: IdSet,
    pub(super) receivers: Vec<u16>,
    pub(super) wire: Vec<u8>,
    pub(super) text: Vec<u8>,
}

impl CheckedHub {
    /// Builds the hub for a plan. Also checks the registration of handlers, and the default
    /// configuration.
    pub fn new(plan: &Plan, key: HashKey) -> Result<Self, Fault> {
        check_defaults()?;
        check_id_parsing(identity(plan.key % IDS as u16))?;
        let mut hub = Hub::new(plan.config(), key);
        let events: Vec<&'static str> = plan.handlers.iter().map(|handler| handler.event).collect();
        register(&mut hub, &events)?;
        for (pattern, presence) in &plan.presence_rules {
            hub.set_presence(pattern, *presence);
        }
        Ok(CheckedHub { hub, checker: Checker::new(plan, events) })
    }

    /// Passes an input to the model and to the hub, and compares the hub's actions with the effects
    /// that the model expects.
    pub fn input(&mut self, now: Duration, op: Op) -> Result<(), Fault> {
        let CheckedHub { hub, checker } = self;
        // Run the model first, so that each action can be compared immediately, and a report can
        // list all expected effects.
        checker.begin(now, op);
        let actions = hub.handle(now, checker.hub_input(op));
        let (tables, mut left) = (actions.tables(), actions.len());
        checker.learn_rooms(tables)?;
        let closes = matches!(checker.model.effects.last(), Some(Effect::Close { .. }));
        let mut expected = Expected::new(closes || matches!(op, Op::Gone { .. }));
        // The guests of a peer leave in any order.
        if let Op::Peer { op: PeerOp::Gone, .. } = op {
            expected.by_content = Some(vec![false; checker.model.effects.len()]);
        }
        for action in actions {
            if let Some(log) = &mut checker.log {
                log.push(display::action(&action));
            }
            ensure!(left > 0, "more actions than `len` reported");
            left -= 1;
            checker.action(tables, action, &mut expected)?;
        }
        ensure!(left == 0, "{left} actions fewer than `len` reported");
        let missing = expected.missing(&checker.model.effects);
        ensure!(missing.is_none(), "missing: {}", missing.map_or(String::new(), display::effect));
        let (counted, expected) = (hub.rejected_packets(), checker.model.rejected_packets);
        ensure!(counted == expected, "the hub has counted {counted:?}, not {expected:?}");
        let (counted, expected) = (hub.rejected_peer_inputs(), checker.model.peers.rejected);
        ensure!(counted == expected, "the hub has counted {counted:?}, not {expected:?}");
        // This check is cheap enough to run after each input. A full audit of the tables runs less
        // often.
        let rooms = hub.tables().room_count();
        ensure!(rooms == checker.model.rooms.len(), "{rooms} rooms");
        Ok(())
    }
}

/// Checks that the default configuration is as documented.
fn check_defaults() -> Result<(), Fault> {
    let defaults = [Config::default(), Config::compat()];
    let limits = defaults.map(|config| (config.max_name, config.max_rooms));
    ensure!(limits == [DEFAULT_LIMITS; 2], "default limits: {limits:?}");
    for config in defaults {
        let rates =
            [config.message_rate, config.byte_rate, config.join_rate, config.violation_rate]
                .map(|rate| rate.map(|rate| (rate.per_second(), rate.burst())));
        ensure!(rates == DEFAULT_RATES && !config.shared_room_only, "default rates: {rates:?}");
    }
    Ok(())
}

/// Registers the plan's handlers. Checks that duplicate, reserved and empty events are rejected.
fn register(hub: &mut Hub, events: &[&str]) -> Result<(), Fault> {
    for (number, event) in events.iter().enumerate() {
        let handler = hub.register(event).map(|handler| handler.index());
        ensure!(handler == Ok(number), "register({event:?}) returns {handler:?}");
        let again = hub.register(event);
        ensure!(again == Err(RegisterError::Duplicate((*event).into())), "{again:?}");
    }
    for event in RESERVED.into_iter().chain(["join", "leave"]) {
        let reserved = hub.register(event);
        ensure!(reserved == Err(RegisterError::Reserved(event.into())), "{reserved:?}");
    }
    let empty = hub.register("");
    ensure!(empty == Err(RegisterError::Empty), "{empty:?}");
    Ok(())
}

/// Checks that an id is parsed from its canonical form only.
fn check_id_parsing(identity: &Identity) -> Result<(), Fault> {
    let parsed = ConnId::parse(&identity.text);
    ensure!(parsed == Some(identity.id), "{} is parsed as {parsed:?}", identity.text);
    // Other forms of the same id, and a part of it, must be rejected.
    for other in [&identity.upper, &identity.padded, &identity.cut] {
        let parsed = ConnId::parse(other);
        ensure!(parsed.is_none(), "{other:?} is parsed as {parsed:?}");
    }
    Ok(())
}

/// Tracks which of the expected effects have been matched with an action.
pub(super) struct Expected {
    /// One bit for each effect, set if the effect has been matched.
    taken: u128,
    /// True if the input closes a connection. The connection leaves its rooms in any order, so
    /// effects are ordered only within a room.
    any_order: bool,
    /// For each effect, true if it has been matched. `None` unless the effects may come in any
    /// order.
    by_content: Option<Vec<bool>>,
}

impl Expected {
    fn new(any_order: bool) -> Self {
        Expected { taken: 0, any_order, by_content: None }
    }

    /// Returns the first effect that no action has matched yet.
    fn missing<'a>(&self, expected: &'a [Effect]) -> Option<&'a Effect> {
        if let Some(matched) = &self.by_content {
            return expected
                .iter()
                .zip(matched)
                .find(|(_, is_matched)| !**is_matched)
                .map(|(effect, _)| effect);
        }
        // Matched effects form a block of low bits, so the first unmatched effect follows that
        // block.
        expected.get(self.taken.trailing_ones() as usize)
    }

    /// Returns the next expected effect. If rooms are unordered, returns the next effect of the
    /// same room.
    pub(super) fn next<'a>(
        &mut self,
        expected: &'a [Effect],
        room: Option<u32>,
        payload: Option<&[u8]>,
    ) -> Option<&'a Effect> {
        if let Some(matched) = &mut self.by_content {
            let fits = |at: &usize| {
                let own = match &expected[*at] {
                    Effect::Broadcast { packet, .. } => Some(packet.payload),
                    _ => None,
                };
                !matched[*at] && expected[*at].room() == room && own == payload
            };
            let at = (0..expected.len()).find(fits)?;
            matched[at] = true;
            return Some(&expected[at]);
        }
        let mut at = self.taken.trailing_ones() as usize;
        if self.any_order && room.is_some() {
            let is_next = |&at: &usize| self.taken & 1 << at == 0 && expected[at].room() == room;
            at = (at..expected.len()).find(is_next)?;
        }
        let effect = expected.get(at)?;
        self.taken |= 1 << at;
        Some(effect)
    }
}

impl Checker {
    fn new(plan: &Plan, events: Vec<&'static str>) -> Self {
        let config = plan.model_config();
        let clients = Clients::new(config.members_only, config.announce_rejoin);
        let mut model = Model::new(config, events);
        model.presence_rules.clone_from(&plan.presence_rules);
        (model.rates, model.shared_room_only) = (plan.rates, plan.shared_room_only);
        Checker {
            model,
            clients,
            trace: Trace::new(),
            keys: Vec::new(),
            rooms: Vec::new(),
            log: None,
            numbers: KeyMap::new(),
            now: Duration::ZERO,
            imitates_built_in: false,
            is_command: false,
            leaving: IdSet::default(),
            receivers: Vec::new(),
            wire: Vec::new(),
            text: Vec::new(),
        }
    }

    /// Returns the number of the client with this key, which may be open or closed.
    pub fn client(&self, conn: ConnKey) -> Option<u16> {
        self.numbers.get(conn).copied()
    }

    pub fn id(&self, conn: ConnKey) -> Option<u16> {
        self.client(conn).map(|client| self.clients.id(client))
    }

    pub(super) fn key(&self, client: u16) -> ConnKey {
        self.keys[usize::from(client)]
    }

    fn begin(&mut self, now: Duration, op: Op) {
        (self.now, self.leaving) = (now, self.model.leaving_guests(op));
        self.model.input(now, op);
        self.log.as_mut().map(Vec::clear);
        // A broadcast by a command may come from outside the room. It excludes at most one member.
        let is_message =
            matches!(op, Op::Peer { op: PeerOp::Broadcast { .. } | PeerOp::Direct { .. }, .. });
        self.is_command = is_message || matches!(op, Op::Broadcast { .. } | Op::Send { .. });
        self.imitates_built_in = match op {
            Op::Broadcast { event, .. } | Op::Send { event, .. } => is_built_in(event),
            _ => false,
        };
        // Mark the client as closed before the hub handles the input: from now on, any output to
        // the client is a fault.
        if let Op::Gone { client } = op {
            self.clients.end(client);
        }
    }

    fn hub_input(&self, op: Op) -> Input<'static> {
        let from = |from: Option<u16>| from.map(|client| self.key(client));
        Input::Command(match op {
            Op::Open { id } => return Input::Open { id: identity(id).id, extended: false },
            Op::Packet { client, packet } => {
                return Input::Packet { conn: self.key(client), packet };
            }
            Op::Allowed { client, packet } => {
                return Input::Allowed { conn: self.key(client), packet };
            }
            Op::Denied { client, packet } => {
                return Input::Denied { conn: self.key(client), packet };
            }
            Op::Gone { client } => return Input::Gone { conn: self.key(client) },
            Op::Peer { peer, op } => return op.input(peer),
            Op::Broadcast { from: client, except, except_guest, room, event, payload } => {
                Command::Broadcast {
                    from: from(client),
                    except: from(except),
                    except_guest: except_guest.map(|guest| identity(guest).id),
                    room,
                    event,
                    payload,
                }
            }
            Op::Send { from: client, dst, event, payload } => {
                Command::Send { from: from(client), dst, room: ROOT, event, payload }
            }
            Op::Join { client, room } => Command::Join { conn: self.key(client), room },
            Op::Leave { client, room } => Command::Leave { conn: self.key(client), room },
            Op::Close { client, code, reason } => {
                Command::Close { conn: self.key(client), code, reason }
            }
        })
    }
}
