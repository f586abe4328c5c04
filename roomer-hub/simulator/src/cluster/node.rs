//! A node of the cluster: a real hub and a real cluster state machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use roomer_hub::cluster::{
    Change, Cluster, Config, Effect, Event, GoneReason, Input, OwnedPeerCommand, PeerState,
};
use roomer_hub::{Action, Audience, ConnId, ConnKey, HashKey, Hub, Order, Presence};
use roomer_proto::cluster::NodeId;

use super::client::{Client, FULL};
use super::infos::MAX_INFO;
use super::plan::{ORDERED, ROOMS, Setup};
use super::receive::{client, deliver, receive, room_number};
use crate::fault::{Fault, ensure};

/// The name of the nodes' cluster.
pub const CLUSTER: &str = "simulated";

/// The event of a message to a room.
pub const MESSAGE: &str = "m";
/// The event of a direct message.
pub const DIRECT: &str = "d";
/// The event of a message from an application to all of a user's connections.
pub const TO_USER: &str = "u";

pub type Clients = BTreeMap<ConnId, Client>;

#[derive(Debug)]
pub struct Node {
    pub index: usize,
    pub id: NodeId,
    pub hub: Hub,
    pub cluster: Cluster,
    pub state: State,
    /// The time since which the node has been running without a suspension.
    pub awake_since: Duration,
    /// The time at which the node last resumed after a suspension.
    pub woke_at: Duration,
    /// The time at which the node last dropped messages because too many were waiting for a place
    /// in an order.
    pub crowded_at: Duration,
    /// True if the node has shut down cleanly and published all of its output.
    pub has_sent_all: bool,
    /// Inputs that arrived while the node was suspended.
    pub backlog: Vec<Input>,
    pub publishes: bool,
    pub events: Vec<Event>,
    /// For each other node: how many times this node has restarted its stream with that node, or
    /// declared it dead.
    pub breaks: BTreeMap<NodeId, u32>,
    /// The nodes from which a goodbye has arrived.
    pub byes: BTreeSet<NodeId>,
    /// For each room, the number of messages that the node's application has sent to it.
    pub last_sent: BTreeMap<usize, u32>,
    /// For each user, the number of messages that the node's application has sent to them.
    pub last_sent_to_user: BTreeMap<&'static str, u32>,
    /// The number of reports received about clients that have reconnected elsewhere: with a valid
    /// proof, and without.
    pub reports: (u32, u32),
    /// True if the node has closed clients because of lost messages.
    pub closed_lossy: bool,
    pub steps: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    Asleep,
    Ended,
}

impl Node {
    pub fn new(setup: &Setup, index: usize, incarnation: u32, now: Duration) -> Self {
        // The first half of a node's number is its tag. Since random tags may collide, some plans
        // make two nodes share a tag.
        let tag = match setup.shares_tag && index < 2 {
            true => 0xfeed_0000 | incarnation,
            false => (incarnation << 8) + index as u32 + 1,
        };
        let id = NodeId(u64::from(tag) << 32 | (u64::from(incarnation) << 8) | (index as u64 + 1));
        let mut hub = Hub::new(roomer_hub::Config::default(), HashKey([3; 16]));
        hub.set_presence(ROOMS[FULL], Presence::Count);
        hub.set_presence(ROOMS[FULL + 1], Presence::Off);
        if setup.has_away {
            hub.announce_away("*");
        }
        let mut config = Config::new(CLUSTER, &format!("node {index}"));
        config.journal_bytes = setup.journal_bytes;
        config.journal_time = Duration::from_millis(setup.journal_ms.into());
        config.backlog_bytes = setup.backlog_bytes;
        config.held_bytes = setup.held_bytes;
        config.loss = setup.loss;
        config.max_info = MAX_INFO;
        if setup.has_order {
            config.orders = ORDERED.map(|pattern| (pattern.into(), Order::Room)).into();
        }
        let cluster = Cluster::new(config, id, now);
        Node {
            index,
            id,
            hub,
            cluster,
            state: State::Running,
            awake_since: now,
            woke_at: Duration::ZERO,
            crowded_at: Duration::ZERO,
            has_sent_all: false,
            backlog: Vec::new(),
            publishes: false,
            events: Vec::new(),
            breaks: BTreeMap::new(),
            byes: BTreeSet::new(),
            last_sent: BTreeMap::new(),
            last_sent_to_user: BTreeMap::new(),
            reports: (0, 0),
            closed_lossy: false,
            steps: 0,
        }
    }

    pub fn runs(&self) -> bool {
        self.state == State::Running
    }

    /// Returns true if the node currently shows a peer's members.
    pub fn shows(&self, peer: NodeId) -> bool {
        let peer = self.cluster.peers().find(|info| info.node == peer);
        peer.is_some_and(|peer| matches!(peer.state, PeerState::Live | PeerState::Gap))
    }

    pub fn key(&self, id: &ConnId) -> Option<ConnKey> {
        self.hub.tables().find_conn(id.as_str())
    }

    /// Passes an input to the cluster state machine, and applies the effects.
    pub fn handle(
        &mut self,
        now: Duration,
        clients: &mut Clients,
        input: Input,
    ) -> Result<(), Fault> {
        self.steps += 1;
        let unplaced = self.cluster.statistics().unplaced;
        let effects: Vec<Effect> = self.cluster.handle(now, self.hub.tables(), input).collect();
        if self.cluster.statistics().unplaced > unplaced {
            self.crowded_at = now;
        }
        // Record all losses before applying any effect: the checks depend on which losses are
        // permitted.
        self.permit_losses(clients, &effects)?;
        for effect in effects {
            match &effect {
                Effect::Event(event) => self.events.push(event.clone()),
                Effect::Command { id, command } => self.command(now, clients, id, command)?,
                Effect::Elsewhere { from, id, proof } => {
                    self.elsewhere(now, clients, *from, id, proof)?;
                }
                Effect::User { user, command } => self.command_user(now, clients, user, command)?,
                Effect::Close { room } => {
                    let has_loss = !self.breaks.is_empty() || self.cluster.statistics().gaps > 0;
                    ensure!(has_loss, "clients are closed without a loss");
                    self.close(now, clients, room.as_deref())?;
                }
                effect => {
                    let input = effect.hub_input();
                    let input =
                        input.ok_or_else(|| Fault::new(format!("odd effect {effect:?}")))?;
                    self.hub(now, clients, input)?;
                }
            }
        }
        Ok(())
    }

    /// Records the losses of messages that the effects report.
    fn permit_losses(&mut self, clients: &mut Clients, effects: &[Effect]) -> Result<(), Fault> {
        for effect in effects {
            let Effect::Event(event) = effect else { continue };
            let lost = match event {
                Event::Reset { node, .. } => Some(*node),
                // Nothing is missing after a goodbye, since all earlier messages arrived before it.
                Event::PeerGone { node, reason, .. } if *reason != GoneReason::Bye => Some(*node),
                _ => None,
            };
            if let Event::PeerGone { node, reason: GoneReason::Bye, .. } = event {
                self.byes.insert(*node);
            }
            if let Event::Gap { node, room: Some(room), .. } = event
                && self.cluster.is_ordered(room)
            {
                let room = room_number(room)?;
                let own = clients.values_mut().filter(|client| client.node == self.index);
                own.for_each(|client| client.allow_loss_in(*node, room));
            }
            if let Some(lost) = lost {
                *self.breaks.entry(lost).or_default() += 1;
                let own = clients.values_mut().filter(|client| client.node == self.index);
                let is_dead = matches!(event, Event::PeerGone { .. });
                let has_waiting = self.cluster.waiting_messages() > 0;
                own.for_each(|client| client.allow_loss(lost, is_dead, has_waiting));
            }
        }
        Ok(())
    }

    /// Closes the members of a room, or all of this node's clients.
    fn close(
        &mut self,
        now: Duration,
        clients: &mut Clients,
        room: Option<&str>,
    ) -> Result<(), Fault> {
        let tables = self.hub.tables();
        let own = clients.values().filter(|client| client.node == self.index && client.is_open);
        let keys = own.filter_map(|client| self.key(&client.id));
        let is_there = |conn: &ConnKey| {
            let room = room.map(|room| tables.find_room(room));
            room.is_none_or(|room| room.is_some_and(|room| tables.is_member(*conn, room)))
        };
        // Collect the keys first, since each close changes the tables.
        let keys: Vec<ConnKey> = keys.filter(is_there).collect();
        for conn in keys {
            let command = roomer_hub::Command::Close { conn, code: 1012, reason: "" };
            self.hub(now, clients, roomer_hub::Input::Command(command))?;
            self.closed_lossy = true;
        }
        Ok(())
    }

    fn command(
        &mut self,
        now: Duration,
        clients: &mut Clients,
        id: &ConnId,
        command: &OwnedPeerCommand,
    ) -> Result<(), Fault> {
        let Some(conn) = self.key(id) else { return Ok(()) };
        let mut give =
            |command| self.hub(now, clients, roomer_hub::Input::Command(command)).map(drop);
        match command {
            OwnedPeerCommand::Join { room } => give(roomer_hub::Command::Join { conn, room }),
            OwnedPeerCommand::Leave { room } => give(roomer_hub::Command::Leave { conn, room }),
            OwnedPeerCommand::Move { from, to } => {
                give(roomer_hub::Command::Leave { conn, room: from })?;
                give(roomer_hub::Command::Join { conn, room: to })
            }
            OwnedPeerCommand::Close { code, reason } => {
                give(roomer_hub::Command::Close { conn, code: *code, reason })
            }
        }
    }

    /// Passes an input to the hub. Passes the hub's actions to the clients, and to the cluster
    /// state machine. Returns true if the hub has sent a message.
    pub fn hub(
        &mut self,
        now: Duration,
        clients: &mut Clients,
        input: roomer_hub::Input<'_>,
    ) -> Result<bool, Fault> {
        self.steps += 1;
        let Node { hub, cluster, .. } = self;
        use roomer_hub::Input as In;
        // Messages from peers already have their place in the order, and must not be submitted
        // again.
        let is_own = matches!(input, In::Packet { .. } | In::Allowed { .. } | In::Command(_));
        let mut actions = hub.handle(now, input);
        let (tables, subject) = (actions.tables(), actions.subject());
        let mut has_message = false;
        // If this input has closed a connection, the connection is no longer in the tables, but
        // `subject` is its id.
        let id_of = |conn: ConnKey| tables.conn_id(conn).or(subject);
        for action in actions.by_ref() {
            let change = match action {
                Action::Joined { name, .. } => subject.map(|id| Change::Joined { id, room: name }),
                Action::Left { name, .. } => subject.map(|id| Change::Left { id, room: name }),
                Action::JoinAck { to, room, snapshot, .. } => {
                    let key = tables.find_room(room);
                    let count = key.map_or(0, |key| tables.member_count(key));
                    let client = client(clients, id_of(to))?;
                    acknowledge(client, room_number(room)?, &snapshot.to_vec(), count)?;
                    None
                }
                Action::InfoChanged { conn } => {
                    tables.conn_id(conn).map(|id| Change::Profile { id })
                }
                Action::AwayChanged { conn } => tables.conn_id(conn).map(|id| Change::Away { id }),
                Action::Broadcast {
                    members,
                    except,
                    audience,
                    packet,
                    peers,
                    except_guest,
                    ..
                } => {
                    has_message |= packet.event == MESSAGE;
                    if is_own && cluster.is_ordered_message(&packet) {
                        let out = except.and_then(|conn| tables.conn_id(conn));
                        // `submit` returns true if the message can be delivered now: this node is
                        // the room's home, and no earlier message is waiting.
                        if !cluster.submit(now, tables, out.or(except_guest.copied()), packet) {
                            continue;
                        }
                        for to in members.iter().filter(|to| Some(*to) != except) {
                            deliver(clients, id_of(to), &packet)?;
                        }
                        continue;
                    }
                    let is_for = |to: &ConnKey| match audience {
                        Audience::All => true,
                        Audience::Plain => !tables.is_extended(*to),
                        Audience::Extended => tables.is_extended(*to),
                    };
                    for to in members.iter().filter(|to| Some(*to) != except && is_for(to)) {
                        deliver(clients, id_of(to), &packet)?;
                    }
                    let except = except_guest.copied();
                    (!peers.is_empty()).then_some(Change::Broadcast { peers, except, packet })
                }
                Action::Send { to, packet } => {
                    has_message |= packet.event == DIRECT;
                    receive(clients, id_of(to), &packet)?;
                    None
                }
                Action::Forward { peer, packet } => {
                    has_message = true;
                    Some(Change::Direct { peer, packet })
                }
                Action::Close { .. } => {
                    let client = client(clients, subject)?;
                    client.is_open = false;
                    client.views.clear();
                    None
                }
                _ => None,
            };
            if let Some(change) = change {
                cluster.record(now, tables, change);
            }
        }
        Ok(has_message)
    }
}

/// Passes a `join_ack` to a client. `count` is the number of the room's members.
fn acknowledge(
    client: &mut Client,
    room: usize,
    payload: &[u8],
    count: usize,
) -> Result<(), Fault> {
    let text = String::from_utf8_lossy(payload);
    if room == FULL {
        let expected = match client.is_extended {
            true => format!("{{\"count\":{count}}}"),
            false => count.to_string(),
        };
        ensure!(text == expected, "join_ack of {count} says {text}");
        client.acknowledged(room, Vec::new())
    } else if client.is_extended {
        let members = client.list(room, payload)?;
        client.acknowledged(room, members)
    } else {
        let quoted = text.split('"').skip(1).step_by(2);
        client.acknowledged(room, quoted.filter_map(ConnId::parse).collect())
    }
}
