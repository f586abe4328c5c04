//! Hubs and cluster state machines connected by an in-memory broker, in virtual time.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use roomer_hub::cluster::{
    Change, Cluster, Config, Effect, Event, Input, Loss, OwnedPeerCommand, OwnedUserCommand,
    PeerState, SessionProof,
};
use roomer_hub::{Action, Audience, ConnId, ConnKey, HashKey, Hub, Presence};
use roomer_proto::PacketRef;
use roomer_proto::cluster::{NodeId, Subject};

pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) struct Node {
    pub(crate) hub: Hub,
    pub(crate) cluster: Cluster,
    /// The event, room and payload of each packet, with the connection that received it.
    pub(crate) received: Vec<(ConnId, String)>,
    /// The event, room and payload of each `join_ack`, with the connection that received it.
    pub(crate) acks: Vec<(ConnId, String)>,
    pub(crate) events: Vec<Event>,
    /// The rooms whose members the driver was asked to close; `None` for all connections.
    pub(crate) closes: Vec<Option<String>>,
    /// The sessions whose clients have connected to another node, as reported by that node.
    pub(crate) elsewhere: Vec<(NodeId, ConnId, SessionProof)>,
    /// The commands for all of a user's connections, with the user.
    pub(crate) users: Vec<(String, OwnedUserCommand)>,
    /// The tunnel items received, with the peer's id. An empty item means that the peer's tunnels
    /// are lost.
    pub(crate) tunnels: Vec<(NodeId, Bytes)>,
    pub(crate) is_up: bool,
}

type Lose = Box<dyn FnMut(usize, usize, &[u8]) -> bool>;
type ChangeFrame = Box<dyn FnMut(usize, &Bytes) -> Bytes>;

pub(crate) struct Net {
    pub(crate) now: Duration,
    pub(crate) nodes: Vec<Node>,
    /// Frames in flight, with the receiver's index.
    pub(crate) wire: Vec<(usize, Bytes)>,
    /// Given a frame's sender, receiver and bytes, returns true to drop it.
    pub(crate) lose: Lose,
    /// Given a frame's sender and bytes, returns the frame to deliver.
    pub(crate) change: ChangeFrame,
    /// The last frame published by each node.
    last: Vec<Bytes>,
}

impl Node {
    pub(crate) fn new(index: u64, now: Duration, loss: Loss) -> Self {
        Node::configured(index, now, |config| config.loss = loss)
    }

    pub(crate) fn configured(index: u64, now: Duration, configure: impl Fn(&mut Config)) -> Self {
        let id = NodeId(index << 32 | 7);
        let mut hub = Hub::new(roomer_hub::Config::default(), HashKey([0; 16]));
        hub.set_presence("count-*", Presence::Count);
        let mut config = Config::new("test", &format!("node {index}"));
        configure(&mut config);
        let cluster = Cluster::new(config, id, now);
        let (received, acks, events, closes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (elsewhere, users, tunnels) = (Vec::new(), Vec::new(), Vec::new());
        Node {
            hub,
            cluster,
            received,
            acks,
            events,
            closes,
            elsewhere,
            users,
            tunnels,
            is_up: true,
        }
    }

    pub(crate) fn id(&self, conn: u8) -> ConnId {
        self.cluster.node().tag().id([conn; 16])
    }

    pub(crate) fn key(&self, conn: u8) -> ConnKey {
        self.hub.tables().find_conn(self.id(conn).as_str()).expect("a connection")
    }

    pub(crate) fn hub(&mut self, now: Duration, input: roomer_hub::Input<'_>) {
        let Node { hub, cluster, received, acks, .. } = self;
        use roomer_hub::Input as In;
        let is_own = matches!(input, In::Packet { .. } | In::Allowed { .. } | In::Command(_));
        let mut actions = hub.handle(now, input);
        let tables = actions.tables();
        let subject = actions.subject();
        for action in actions.by_ref() {
            let change = match action {
                Action::Joined { name, .. } => subject.map(|id| Change::Joined { id, room: name }),
                Action::Left { name, .. } => subject.map(|id| Change::Left { id, room: name }),
                Action::InfoChanged { conn } => {
                    tables.conn_id(conn).map(|id| Change::Profile { id })
                }
                Action::AwayChanged { conn } => tables.conn_id(conn).map(|id| Change::Away { id }),
                Action::JoinAck { id, room, snapshot, .. } => {
                    let id = ConnId::parse(id).expect("an id");
                    let payload = String::from_utf8_lossy(&snapshot.to_vec()).into_owned();
                    acks.push((id, format!("join_ack {room} {payload}")));
                    None
                }
                Action::Broadcast {
                    members,
                    except,
                    audience,
                    packet,
                    peers,
                    except_guest,
                    ..
                } => {
                    let is_ordered = is_own && cluster.is_ordered_message(&packet);
                    let out = except.and_then(|conn| tables.conn_id(conn));
                    // `submit` returns true if this node is the home and nothing is pending: the
                    // message is then sent now.
                    if is_ordered && !cluster.submit(now, tables, out, packet) {
                        continue;
                    }
                    let is_for = |to: &ConnKey| match audience {
                        Audience::All => true,
                        Audience::Plain => !tables.is_extended(*to),
                        Audience::Extended => tables.is_extended(*to),
                    };
                    for to in members.iter().filter(|to| Some(*to) != except && is_for(to)) {
                        let id = tables.conn_id(to).expect("a member");
                        let payload = String::from_utf8_lossy(packet.payload);
                        received.push((id, format!("{} {} {payload}", packet.event, packet.room)));
                    }
                    (!is_ordered && !peers.is_empty()).then_some(Change::Broadcast {
                        peers,
                        except: except_guest.copied(),
                        packet,
                    })
                }
                Action::Forward { peer, packet } => Some(Change::Direct { peer, packet }),
                Action::Send { to, packet } => {
                    let payload = String::from_utf8_lossy(packet.payload);
                    let id = tables.conn_id(to).expect("a receiver");
                    received.push((id, format!("{} {} {payload}", packet.event, packet.room)));
                    None
                }
                _ => None,
            };
            if let Some(change) = change {
                cluster.record(now, tables, change);
            }
        }
        hub.tables().audit().expect("an intact table");
    }

    pub(crate) fn handle(&mut self, now: Duration, input: Input) {
        let effects: Vec<Effect> = self.cluster.handle(now, self.hub.tables(), input).collect();
        for effect in effects {
            match &effect {
                Effect::Event(event) => self.events.push(event.clone()),
                Effect::Command { id, command: OwnedPeerCommand::Leave { room } } => {
                    if let Some(conn) = self.hub.tables().find_conn(id.as_str()) {
                        let command = roomer_hub::Command::Leave { conn, room };
                        self.hub(now, roomer_hub::Input::Command(command));
                    }
                }
                Effect::Close { room } => self.closes.push(room.as_ref().map(ToString::to_string)),
                Effect::Elsewhere { from, id, proof } => self.elsewhere.push((*from, *id, *proof)),
                Effect::User { user, command } => {
                    self.users.push((user.to_string(), command.clone()));
                }
                Effect::Tunnel { from, item } => self.tunnels.push((*from, item.clone())),
                Effect::TunnelsLost { peer } => self.tunnels.push((*peer, Bytes::new())),
                effect => {
                    let input = effect.hub_input().expect("an input of the hub");
                    self.hub(now, input);
                }
            }
        }
    }
}

impl Net {
    pub(crate) fn new(nodes: u64) -> Self {
        Net::with(nodes, Loss::Rejoin)
    }

    pub(crate) fn with(nodes: u64, loss: Loss) -> Self {
        Net::configured(nodes, |config| config.loss = loss)
    }

    pub(crate) fn configured(nodes: u64, configure: impl Fn(&mut Config)) -> Self {
        let now = Duration::from_secs(1000);
        let nodes = (1..=nodes).map(|index| Node::configured(index, now, &configure)).collect();
        let mut net = Net {
            now,
            nodes,
            wire: Vec::new(),
            lose: Box::new(|_, _, _| false),
            change: Box::new(|_, frame| frame.clone()),
            last: vec![Bytes::new(); 8],
        };
        for node in 0..net.nodes.len() {
            net.nodes[node].handle(now, Input::Up { max_payload: 1 << 20 });
        }
        net.run(500);
        net
    }

    pub(crate) fn open(&mut self, node: usize, conn: u8) {
        let (id, now) = (self.nodes[node].id(conn), self.now);
        self.nodes[node].hub(now, roomer_hub::Input::Open { id, extended: false });
    }

    pub(crate) fn open_extended(&mut self, node: usize, conn: u8) {
        let (id, now) = (self.nodes[node].id(conn), self.now);
        self.nodes[node].hub(now, roomer_hub::Input::Open { id, extended: true });
    }

    pub(crate) fn say(&mut self, node: usize, conn: u8, room: &str, event: &str, payload: &str) {
        self.packet(
            node,
            conn,
            PacketRef { room, event, payload: payload.as_bytes(), ..PacketRef::default() },
        );
    }

    pub(crate) fn packet(&mut self, node: usize, conn: u8, packet: PacketRef<'_>) {
        let (conn, now) = (self.nodes[node].key(conn), self.now);
        self.nodes[node].hub(now, roomer_hub::Input::Packet { conn, packet });
    }

    /// Returns the last frame published by a node.
    pub(crate) fn own_frame(&self, node: usize) -> &Bytes {
        &self.last[node]
    }

    pub(crate) fn publish(&mut self) {
        for from in 0..self.nodes.len() {
            let ids: Vec<NodeId> = self.nodes.iter().map(|node| node.cluster.node()).collect();
            let Net { wire, lose, change, last, .. } = self;
            let node = &mut self.nodes[from];
            if !node.is_up {
                continue;
            }
            node.cluster.publish(self.now, |subject, frame| {
                for (to, id) in ids.iter().enumerate() {
                    let is_for = subject == Subject::All || subject == Subject::Node(*id);
                    if is_for && !lose(from, to, frame) {
                        wire.push((to, change(from, frame)));
                        last[from] = frame.clone();
                    }
                }
                true
            });
        }
    }

    /// Cuts or restores a node's link to the broker. Frames in flight are lost.
    pub(crate) fn set_link(&mut self, node: usize, is_up: bool) {
        let now = self.now;
        self.wire.retain(|(to, _)| *to != node);
        self.nodes[node].is_up = is_up;
        let input = if is_up { Input::Up { max_payload: 1 << 20 } } else { Input::Down };
        self.nodes[node].handle(now, input);
    }

    /// Delivers the frames in flight.
    pub(crate) fn deliver(&mut self) {
        for (to, frame) in std::mem::take(&mut self.wire) {
            if self.nodes[to].is_up {
                let now = self.now;
                self.nodes[to].handle(now, Input::Frame(frame));
            }
        }
    }

    /// Advances the time by `ms` milliseconds without delivering frames.
    pub(crate) fn tick(&mut self, ms: u32) {
        self.now += MS * ms;
        let now = self.now;
        for node in self.nodes.iter_mut().filter(|node| node.cluster.wake_at() <= now) {
            node.handle(now, Input::Tick);
        }
    }

    /// Advances the time by `ms` milliseconds, and delivers frames at each step.
    pub(crate) fn run(&mut self, ms: u32) {
        let end = self.now + MS * ms;
        loop {
            self.publish();
            self.deliver();
            if self.nodes.iter().any(|node| node.cluster.wants_to_publish() && node.is_up) {
                continue;
            }
            let wake = self.nodes.iter().map(|node| node.cluster.wake_at()).min();
            let next = wake.expect("a node").max(self.now + MS).min(end);
            self.now = next;
            for node in self.nodes.iter_mut().filter(|node| node.cluster.wake_at() <= next) {
                node.handle(next, Input::Tick);
            }
            if next == end {
                return self.publish();
            }
        }
    }

    /// Returns a room's members according to a node.
    pub(crate) fn view(&self, node: usize, room: &str) -> BTreeSet<ConnId> {
        let tables = self.nodes[node].hub.tables();
        let Some(room) = tables.find_room(room) else { return BTreeSet::new() };
        let members = tables.members(room).iter().filter_map(|conn| tables.conn_id(conn));
        members.chain(tables.guests(room)).collect()
    }

    pub(crate) fn ids(&self, conns: &[(usize, u8)]) -> BTreeSet<ConnId> {
        conns.iter().map(|(node, conn)| self.nodes[*node].id(*conn)).collect()
    }

    pub(crate) fn states(&self, node: usize) -> Vec<PeerState> {
        self.nodes[node].cluster.peers().map(|peer| peer.state).collect()
    }

    pub(crate) fn received(&mut self, node: usize, conn: u8) -> Vec<String> {
        let id = self.nodes[node].id(conn);
        let (own, others) = std::mem::take(&mut self.nodes[node].received)
            .into_iter()
            .partition(|(to, _)| *to == id);
        self.nodes[node].received = others;
        own.into_iter().map(|(_, text): (_, String)| text).collect()
    }
}
