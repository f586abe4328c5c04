//! Runs a plan: nodes, broker and clients in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use roomer_hub::ConnId;
use roomer_hub::cluster::{Change, Input, ResetCause};
use roomer_proto::PacketRef;
use roomer_proto::cluster::{PeerCommand, Subject};

use super::broker::{Broker, Delivery};
use super::client::{Client, Numbers};
use super::marks::{Mark, Marks};
use super::node::{Clients, DIRECT, MESSAGE, Node, State};
use super::plan::{Op, Plan, ROOMS, Setup};
use crate::fault::{Fault, ensure};
use crate::trace::Trace;

/// How long the members of a node that has crashed may be shown to a node that is awake: the silence,
/// and two ticks.
const CRASH_SEEN: Duration = Duration::from_millis(6000);

pub struct World {
    pub now: Duration,
    setup: Setup,
    pub nodes: Vec<Node>,
    incarnations: Vec<u32>,
    pub clients: Clients,
    pub broker: Broker,
    events: BTreeMap<(Duration, u64), Event>,
    serial: u64,
    /// The number of messages that each sender has sent to each room, to each client, and in all.
    said: BTreeMap<(ConnId, Target), u32>,
    order: BTreeMap<ConnId, u32>,
    /// When a node crashed, its clients, and the nodes that were asked about them.
    crashed: Vec<(Duration, Vec<ConnId>, Vec<usize>)>,
    pub marks: Marks,
    pub trace: Trace,
    pub steps: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Room(usize),
    Client(ConnId),
}

enum Event {
    Deliver(Delivery),
    Publish { node: usize, incarnation: u32 },
}

impl World {
    pub fn new(plan: &Plan) -> Self {
        let now = Duration::from_secs(100);
        let count = usize::from(plan.setup.nodes);
        let nodes = (0..count).map(|index| Node::new(&plan.setup, index, 1, now)).collect();
        World {
            now,
            setup: plan.setup,
            nodes,
            incarnations: vec![1; count],
            clients: Clients::new(),
            broker: Broker::new(plan.setup),
            events: BTreeMap::new(),
            serial: 0,
            said: BTreeMap::new(),
            order: BTreeMap::new(),
            crashed: Vec::new(),
            marks: Marks::default(),
            trace: Trace::default(),
            steps: 0,
        }
    }

    pub fn has_restart(&self) -> bool {
        self.incarnations.iter().any(|incarnation| *incarnation > 1)
    }

    pub fn start(&mut self) -> Result<(), Fault> {
        (0..self.nodes.len()).try_for_each(|node| self.connect(node))
    }

    pub fn said(&self, src: ConnId, target: Target) -> u32 {
        self.said.get(&(src, target)).copied().unwrap_or_default()
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.serial += 1;
        self.events.insert((at, self.serial), event);
    }

    /// Gives a node's machine an input, or keeps it until the node wakes up.
    fn input(&mut self, node: usize, input: Input) -> Result<(), Fault> {
        let World { nodes, clients, now, .. } = self;
        match nodes[node].state {
            State::Running => nodes[node].handle(*now, clients, input)?,
            State::Asleep => nodes[node].backlog.push(input),
            State::Ended => {}
        }
        self.touched(node);
        Ok(())
    }

    /// Lets a node publish soon, if it wants to.
    fn touched(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.runs() && node.cluster.wants_to_publish() && !node.publishes {
            node.publishes = true;
            let (at, incarnation) = (self.now + self.broker.jitter(3), self.incarnations[index]);
            self.at(at, Event::Publish { node: index, incarnation });
        }
    }

    fn connect(&mut self, node: usize) -> Result<(), Fault> {
        if self.broker.is_up(node) || self.nodes[node].state == State::Ended {
            return Ok(());
        }
        self.broker.connect(self.now, node);
        self.input(node, Input::Up { max_payload: self.setup.max_payload })
    }

    fn cut(&mut self, node: usize) -> Result<(), Fault> {
        if !self.broker.is_up(node) {
            return Ok(());
        }
        self.broker.disconnect(node);
        self.input(node, Input::Down)
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) -> Result<(), Fault> {
        let end = self.now + time;
        loop {
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let awake = self.nodes.iter().filter(|node| node.runs());
            let tick = awake.map(|node| node.cluster.wake_at()).min();
            let never = end + Duration::from_millis(1);
            let next = event.into_iter().chain(tick).min().unwrap_or(never).max(self.now);
            if next > end {
                self.now = end;
                return Ok(());
            }
            self.now = next;
            if event.is_some_and(|at| at <= next) {
                if let Some((_, event)) = self.events.pop_first() {
                    self.event(event)?;
                }
                continue;
            }
            for node in 0..self.nodes.len() {
                if self.nodes[node].runs() && self.nodes[node].cluster.wake_at() <= next {
                    self.input(node, Input::Tick)?;
                    self.look_for_the_dead(node)?;
                    let is_later = self.nodes[node].cluster.wake_at() > next;
                    ensure!(is_later, "node {node} wants a tick at the time of its tick");
                }
            }
        }
    }

    fn event(&mut self, event: Event) -> Result<(), Fault> {
        match event {
            Event::Publish { node, incarnation } => {
                if self.incarnations[node] == incarnation {
                    self.nodes[node].publishes = false;
                    self.publish(node);
                }
                Ok(())
            }
            Event::Deliver(delivery) => {
                if !self.broker.delivers(&delivery) {
                    return Ok(());
                }
                self.steps += 1;
                self.trace.bytes(&delivery.frame);
                self.input(delivery.to, Input::Frame(delivery.frame))
            }
        }
    }

    /// A node's link publishes what it can.
    fn publish(&mut self, index: usize) {
        if !self.broker.takes(index) || !self.nodes[index].runs() {
            return;
        }
        let mut frames = Vec::new();
        let mut room = if self.setup.seed.is_multiple_of(5) { 3 } else { usize::MAX };
        self.nodes[index].cluster.publish(self.now, |subject, frame: &Bytes| {
            if room == 0 {
                return false;
            }
            room -= 1;
            frames.push((subject, frame.clone()));
            true
        });
        for (subject, frame) in frames {
            self.marks.mark(frame.len() > 60_000, Mark::LargeFrame);
            for to in 0..self.nodes.len() {
                let is_for_all = subject == Subject::All;
                if to == index || !(is_for_all || subject == Subject::Node(self.nodes[to].id)) {
                    continue;
                }
                for (at, delivery) in self.broker.publish(self.now, index, to, is_for_all, &frame) {
                    self.at(at, Event::Deliver(delivery));
                }
            }
        }
        self.touched(index);
    }

    /// The members of a node that has crashed must not be shown for long.
    fn look_for_the_dead(&mut self, index: usize) -> Result<(), Fault> {
        let (now, node) = (self.now, &self.nodes[index]);
        for (at, ids, asked) in &mut self.crashed {
            if now.saturating_sub(*at) < CRASH_SEEN
                || now.saturating_sub(node.awake_since) < CRASH_SEEN
                || asked.contains(&index)
            {
                continue;
            }
            asked.push(index);
            let tables = node.hub.tables();
            for (key, name) in tables.rooms() {
                let ghost = tables.guests(key).find(|id| ids.contains(id));
                ensure!(
                    ghost.is_none(),
                    "node {index} shows {ghost:?} in {name}, whose node crashed long ago"
                );
            }
        }
        Ok(())
    }

    /// Carries out one step of a plan.
    pub fn op(&mut self, op: Op) -> Result<(), Fault> {
        self.steps += 1;
        let count = self.nodes.len();
        let index = |node: u8| usize::from(node) % count;
        match op {
            Op::Wait(ms) => self.run(Duration::from_millis(ms.into())),
            Op::Open { node } => self.open(index(node)),
            Op::Close { client } => self.with(client, |world, node, id| world.close(node, id)),
            Op::Join { client, room } => {
                let room = ROOMS[usize::from(room)];
                self.packet(client, PacketRef { room, event: "join", ..PacketRef::default() })
            }
            Op::Leave { client, room } => {
                let room = ROOMS[usize::from(room)];
                self.packet(client, PacketRef { room, event: "leave", ..PacketRef::default() })
            }
            Op::Move { client, from, to } => self.with(client, |world, node, id| {
                let (from, to) = (usize::from(from), usize::from(to));
                if !world.clients[&id].is_in(from) {
                    return Ok(());
                }
                let Some(conn) = world.nodes[node].key(&id) else { return Ok(()) };
                let leave = roomer_hub::Command::Leave { conn, room: ROOMS[from] };
                let join = roomer_hub::Command::Join { conn, room: ROOMS[to] };
                world.command(node, leave)?;
                world.command(node, join)
            }),
            Op::Say { client, room, size } => {
                self.with(client, |world, _, id| world.say(id, usize::from(room), size))
            }
            Op::Direct { client, to } => self.with(client, |world, _, id| {
                let open: Vec<ConnId> = world.open_clients();
                world.direct(id, open[usize::from(to) % open.len()])
            }),
            Op::ServerSay { node, room, except } => self.server_say(index(node), room, except),
            Op::Kick { node, client, room } => self.with(client, |world, _, id| {
                let room = ROOMS[usize::from(room)];
                let at_peer = PeerCommand::Leave { room };
                world.about(
                    index(node),
                    id,
                    |conn| roomer_hub::Command::Leave { conn, room },
                    at_peer,
                )
            }),
            Op::Disconnect { node, client } => self.with(client, |world, _, id| {
                let at_peer = PeerCommand::Close { code: 4000, reason: "out" };
                let close = |conn| roomer_hub::Command::Close { conn, code: 4000, reason: "out" };
                world.about(index(node), id, close, at_peer)
            }),
            Op::Cut { node } => self.cut(index(node)),
            Op::Mend { node } => self.connect(index(node)),
            Op::BrokerDown => (0..count).try_for_each(|node| self.cut(node)),
            Op::BrokerUp => (0..count).try_for_each(|node| self.connect(node)),
            Op::Part { one, other } => {
                self.broker.part(index(one), index(other));
                Ok(())
            }
            Op::Unite => {
                self.broker.unite();
                Ok(())
            }
            Op::Lose { of_thousand } => {
                self.broker.lose(of_thousand);
                Ok(())
            }
            Op::Refuse { node, on } => {
                self.refuse(index(node), on);
                Ok(())
            }
            Op::Crash { node } => {
                self.crash(index(node));
                Ok(())
            }
            Op::Restart { node } => self.restart(index(node)),
            Op::Sleep { node } => {
                let node = &mut self.nodes[index(node)];
                if node.runs() {
                    node.state = State::Asleep;
                }
                Ok(())
            }
            Op::Wake { node } => self.wake(index(node)),
            Op::Stop { node } => self.stop(index(node)),
            Op::Noise { node, kind } => self.noise(index(node), kind),
        }
    }

    pub fn refuse(&mut self, node: usize, on: bool) {
        self.broker.refuse(node, on);
        self.touched(node);
    }

    fn crash(&mut self, node: usize) {
        if self.nodes[node].state == State::Ended {
            return;
        }
        self.end(node);
        self.marks.mark(true, Mark::Crash);
    }

    /// A node ends, with its clients.
    fn end(&mut self, node: usize) {
        self.nodes[node].state = State::Ended;
        self.broker.disconnect(node);
        let mut ids = Vec::new();
        for client in self.clients.values_mut().filter(|client| client.node == node) {
            if client.is_open {
                ids.push(client.id);
            }
            client.is_open = false;
            client.views.clear();
        }
        self.crashed.push((self.now, ids, vec![node]));
    }

    fn restart(&mut self, node: usize) -> Result<(), Fault> {
        if self.nodes[node].state != State::Ended {
            return Ok(());
        }
        self.incarnations[node] += 1;
        self.nodes[node] = Node::new(&self.setup, node, self.incarnations[node], self.now);
        self.marks.mark(true, Mark::Restart);
        self.broker.disconnect(node);
        self.connect(node)
    }

    pub fn wake(&mut self, node: usize) -> Result<(), Fault> {
        if self.nodes[node].state != State::Asleep {
            return Ok(());
        }
        let slept = self.now.saturating_sub(self.nodes[node].cluster.wake_at());
        self.marks.mark(slept > CRASH_SEEN, Mark::LongSleep);
        self.nodes[node].state = State::Running;
        self.nodes[node].awake_since = self.now;
        for input in std::mem::take(&mut self.nodes[node].backlog) {
            self.input(node, input)?;
        }
        self.touched(node);
        Ok(())
    }

    fn stop(&mut self, node: usize) -> Result<(), Fault> {
        if !self.nodes[node].runs() {
            return Ok(());
        }
        let mut ids = self.open_clients();
        ids.retain(|id| self.clients[id].node == node);
        for id in &ids {
            self.close(node, *id)?;
        }
        self.crashed.push((self.now, ids, vec![node]));
        self.input(node, Input::Stop)?;
        self.publish(node);
        self.marks.mark(self.broker.takes(node), Mark::Stop);
        // What is under way still arrives: its link does not break.
        self.nodes[node].state = State::Ended;
        Ok(())
    }

    fn noise(&mut self, node: usize, kind: u8) -> Result<(), Fault> {
        use roomer_proto::cluster::{FrameKind, Head, Item, NodeId};
        let mut frame = Vec::new();
        let from = NodeId(0x7777_7777_0000_0001);
        Head { cluster: 12345, from, kind: FrameKind::Control }.encode(&mut frame);
        Item::Want { stream: 1, after: Default::default() }.encode(&mut frame);
        match kind {
            0 => {}
            1 => frame[2] = 99,
            _ => frame.truncate(7),
        }
        self.marks.mark(true, Mark::Noise);
        self.input(node, Input::Frame(frame.into()))
    }

    /// Checks what must hold at any time.
    pub fn check(&self) -> Result<(), Fault> {
        for node in self.nodes.iter().filter(|node| node.state != State::Ended) {
            node.hub.tables().audit().map_err(Fault::new)?;
            for peer in node.cluster.peers() {
                let held = peer.held_bytes;
                let most = self.setup.held_bytes + (1 << 20) + 200_000;
                ensure!(held <= most, "node {} holds {held} bytes", node.index);
            }
            for why in [ResetCause::Divergence, ResetCause::Malformed] {
                let count = node.cluster.statistics().resets.get(&why).copied().unwrap_or_default();
                ensure!(count == 0, "node {} has {count} resets because of {why:?}", node.index);
            }
        }
        Ok(())
    }

    pub fn open_clients(&self) -> Vec<ConnId> {
        let open = self.clients.values().filter(|client| client.is_open);
        open.map(|client| client.id).collect()
    }

    /// Does something with a client that is connected to a running node.
    fn with(
        &mut self,
        client: u16,
        then: impl FnOnce(&mut Self, usize, ConnId) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let open = self.open_clients();
        let Some(id) = open.get(usize::from(client) % open.len().max(1)) else { return Ok(()) };
        let node = self.clients[id].node;
        if !self.nodes[node].runs() {
            return Ok(());
        }
        then(self, node, *id)?;
        self.touched(node);
        Ok(())
    }

    fn open(&mut self, node: usize) -> Result<(), Fault> {
        if !self.nodes[node].runs() {
            return Ok(());
        }
        let mut random = [0; 16];
        random[8..].copy_from_slice(&(self.clients.len() as u64 + 1).to_be_bytes());
        let id = self.nodes[node].id.tag().id(random);
        self.clients.insert(id, Client::new(id, node));
        let World { nodes, clients, now, .. } = self;
        nodes[node].hub(*now, clients, roomer_hub::Input::Open { id })?;
        self.touched(node);
        Ok(())
    }

    fn close(&mut self, node: usize, id: ConnId) -> Result<(), Fault> {
        let World { nodes, clients, now, .. } = self;
        let Some(conn) = nodes[node].key(&id) else { return Ok(()) };
        if let Some(client) = clients.get_mut(&id) {
            client.is_open = false;
            client.views.clear();
        }
        nodes[node].hub(*now, clients, roomer_hub::Input::Gone { conn })?;
        self.touched(node);
        Ok(())
    }

    fn packet(&mut self, client: u16, packet: PacketRef<'_>) -> Result<(), Fault> {
        self.with(client, |world, node, id| world.send(node, id, packet).map(drop))
    }

    /// A client sends a packet. Returns true if it led to a message.
    fn send(&mut self, node: usize, id: ConnId, packet: PacketRef<'_>) -> Result<bool, Fault> {
        let World { nodes, clients, now, .. } = self;
        let Some(conn) = nodes[node].key(&id) else { return Ok(false) };
        nodes[node].hub(*now, clients, roomer_hub::Input::Packet { conn, packet })
    }

    fn command(&mut self, node: usize, command: roomer_hub::Command<'_>) -> Result<(), Fault> {
        let World { nodes, clients, now, .. } = self;
        nodes[node].hub(*now, clients, roomer_hub::Input::Command(command))?;
        self.touched(node);
        Ok(())
    }

    pub fn say(&mut self, id: ConnId, room: usize, size: u32) -> Result<(), Fault> {
        let target = Target::Room(room);
        let packet = PacketRef { room: ROOMS[room], event: MESSAGE, ..PacketRef::default() };
        self.numbered(id, target, packet, size)
    }

    pub fn direct(&mut self, id: ConnId, to: ConnId) -> Result<(), Fault> {
        let packet = PacketRef { dst: to.as_str(), event: DIRECT, ..PacketRef::default() };
        self.numbered(id, Target::Client(to), packet, 0)
    }

    fn numbered(
        &mut self,
        id: ConnId,
        target: Target,
        packet: PacketRef<'_>,
        size: u32,
    ) -> Result<(), Fault> {
        let node = self.clients[&id].node;
        let in_room = self.said(id, target) + 1;
        let over_all = self.order.get(&id).copied().unwrap_or_default() + 1;
        let payload = Numbers { in_room, over_all, node: 0 }.encode(size);
        if self.send(node, id, PacketRef { payload: &payload, ..packet })? {
            self.said.insert((id, target), in_room);
            self.order.insert(id, over_all);
            if let Target::Room(room) = target {
                self.entitle(node, id, room, in_room);
            }
        }
        self.touched(node);
        Ok(())
    }

    /// Records which members of a room the sender's node knows.
    fn entitle(&mut self, node: usize, src: ConnId, room: usize, number: u32) {
        let tables = self.nodes[node].hub.tables();
        let key = tables.find_room(ROOMS[room]);
        let guests: BTreeSet<ConnId> = key.into_iter().flat_map(|key| tables.guests(key)).collect();
        for client in self.clients.values_mut().filter(|client| client.is_in(room)) {
            let is_known = client.node == node || guests.contains(&client.id);
            client.is_sent(src, room, number, is_known);
        }
    }

    fn server_say(&mut self, node: usize, room: u8, except: u16) -> Result<(), Fault> {
        if !self.nodes[node].runs() {
            return Ok(());
        }
        let room = usize::from(room);
        let open = self.open_clients();
        let except = open.get(usize::from(except) % open.len().max(1)).copied();
        let number = self.nodes[node].said.entry(room).or_default();
        *number += 1;
        let numbers = Numbers { in_room: *number, over_all: 0, node: self.nodes[node].id.0 };
        let payload = numbers.encode(0);
        let conn = except.and_then(|id| self.nodes[node].key(&id));
        let heard = |world: &World| {
            let client = except.and_then(|id| world.clients.get(&id));
            client.map_or(0, |client| client.last_of_server(numbers.node, room))
        };
        let before = heard(self);
        let command = roomer_hub::Command::Broadcast {
            from: None,
            except: conn,
            except_guest: if conn.is_none() { except } else { None },
            room: ROOMS[room],
            event: MESSAGE,
            payload: &payload,
        };
        self.command(node, command)?;
        ensure!(heard(self) == before, "{except:?} gets a message that is not for it");
        if let Some(client) = except.and_then(|id| self.clients.get_mut(&id)) {
            client.must_not_hear(numbers.node, room, numbers.in_room);
        }
        Ok(())
    }

    /// A node's application gives a command about a client of any node.
    fn about<'a>(
        &mut self,
        node: usize,
        id: ConnId,
        command: impl Fn(roomer_hub::ConnKey) -> roomer_hub::Command<'a>,
        at_peer: PeerCommand<'_>,
    ) -> Result<(), Fault> {
        if !self.nodes[node].runs() {
            return Ok(());
        }
        if let Some(conn) = self.nodes[node].key(&id) {
            return self.command(node, command(conn));
        }
        let Node { hub, cluster, .. } = &mut self.nodes[node];
        let tables = hub.tables();
        for peer in tables.peers_of(id.as_str()) {
            self.marks.mark(true, Mark::RemoteCommand);
            cluster.record(self.now, tables, Change::Command { peer, id, command: at_peer });
        }
        self.touched(node);
        Ok(())
    }
}
