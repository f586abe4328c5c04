//! Hubs and cluster machines over a broker in memory, in virtual time.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use roomer_hub::cluster::{Change, Cluster, Command, Config, Effect, Input, News, PeerState};
use roomer_hub::{Action, ConnId, ConnKey, HashKey, Hub, Presence};
use roomer_proto::PacketRef;
use roomer_proto::cluster::{NodeId, PeerCommand, Subject};

const MS: Duration = Duration::from_millis(1);

struct Node {
    hub: Hub,
    cluster: Cluster,
    /// What each connection received: event, room and payload.
    received: Vec<(ConnId, String)>,
    news: Vec<News>,
    is_up: bool,
}

struct Net {
    now: Duration,
    nodes: Vec<Node>,
    /// Frames under way: receiver and bytes.
    wire: Vec<(usize, Bytes)>,
    /// Returns true for frames to lose, by sender and receiver.
    lose: Box<dyn FnMut(usize, usize) -> bool>,
}

impl Node {
    fn new(index: u64, now: Duration) -> Self {
        let id = NodeId(index << 32 | 7);
        let mut hub = Hub::new(roomer_hub::Config::default(), HashKey([0; 16]));
        hub.set_presence("count-*", Presence::Count);
        let cluster = Cluster::new(Config::new("test", &format!("node {index}")), id, now);
        Node { hub, cluster, received: Vec::new(), news: Vec::new(), is_up: true }
    }

    fn id(&self, conn: u8) -> ConnId {
        self.cluster.node().tag().id([conn; 16])
    }

    fn key(&self, conn: u8) -> ConnKey {
        self.hub.tables().find_conn(self.id(conn).as_str()).expect("a connection")
    }

    fn hub(&mut self, now: Duration, input: roomer_hub::Input<'_>) {
        let Node { hub, cluster, received, .. } = self;
        let mut actions = hub.handle(now, input);
        let tables = actions.tables();
        let subject = actions.subject();
        for action in actions.by_ref() {
            let change = match action {
                Action::Joined { name, .. } => subject.map(|id| Change::Joined { id, room: name }),
                Action::Left { name, .. } => subject.map(|id| Change::Left { id, room: name }),
                Action::Broadcast { members, except, packet, peers, except_guest, .. } => {
                    for to in members.iter().filter(|to| Some(*to) != except) {
                        let id = tables.conn_id(to).expect("a member");
                        let payload = String::from_utf8_lossy(packet.payload);
                        received.push((id, format!("{} {} {payload}", packet.event, packet.room)));
                    }
                    (!peers.is_empty()).then_some(Change::Broadcast {
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

    fn handle(&mut self, now: Duration, input: Input) {
        let effects: Vec<Effect> = self.cluster.handle(now, self.hub.tables(), input).collect();
        for effect in effects {
            match &effect {
                Effect::News(news) => self.news.push(news.clone()),
                Effect::Command { id, command: Command::Leave { room } } => {
                    if let Some(conn) = self.hub.tables().find_conn(id.as_str()) {
                        let command = roomer_hub::Command::Leave { conn, room };
                        self.hub(now, roomer_hub::Input::Command(command));
                    }
                }
                effect => {
                    let input = effect.hub_input().expect("an input of the hub");
                    self.hub(now, input);
                }
            }
        }
    }
}

impl Net {
    fn new(nodes: u64) -> Self {
        let now = Duration::from_secs(1000);
        let nodes = (1..=nodes).map(|index| Node::new(index, now)).collect();
        let mut net = Net { now, nodes, wire: Vec::new(), lose: Box::new(|_, _| false) };
        for node in 0..net.nodes.len() {
            net.nodes[node].handle(now, Input::Up { max_payload: 1 << 20 });
        }
        net.run(500);
        net
    }

    fn open(&mut self, node: usize, conn: u8) {
        let (id, now) = (self.nodes[node].id(conn), self.now);
        self.nodes[node].hub(now, roomer_hub::Input::Open { id });
    }

    fn say(&mut self, node: usize, conn: u8, room: &str, event: &str, payload: &str) {
        self.packet(
            node,
            conn,
            PacketRef { room, event, payload: payload.as_bytes(), ..PacketRef::default() },
        );
    }

    fn packet(&mut self, node: usize, conn: u8, packet: PacketRef<'_>) {
        let (conn, now) = (self.nodes[node].key(conn), self.now);
        self.nodes[node].hub(now, roomer_hub::Input::Packet { conn, packet });
    }

    fn publish(&mut self) {
        for from in 0..self.nodes.len() {
            let ids: Vec<NodeId> = self.nodes.iter().map(|node| node.cluster.node()).collect();
            let (wire, lose) = (&mut self.wire, &mut self.lose);
            let node = &mut self.nodes[from];
            if !node.is_up {
                continue;
            }
            node.cluster.publish(self.now, |subject, frame| {
                for (to, id) in ids.iter().enumerate() {
                    let is_for = subject == Subject::All || subject == Subject::Node(*id);
                    if is_for && !lose(from, to) {
                        wire.push((to, frame.clone()));
                    }
                }
                true
            });
        }
    }

    /// Lets some milliseconds pass.
    fn run(&mut self, ms: u32) {
        let end = self.now + MS * ms;
        loop {
            self.publish();
            for (to, frame) in std::mem::take(&mut self.wire) {
                if self.nodes[to].is_up {
                    let now = self.now;
                    self.nodes[to].handle(now, Input::Frame(frame));
                }
            }
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

    /// Returns the members of a room as a node shows them.
    fn view(&self, node: usize, room: &str) -> BTreeSet<ConnId> {
        let tables = self.nodes[node].hub.tables();
        let Some(room) = tables.find_room(room) else { return BTreeSet::new() };
        let members = tables.members(room).iter().filter_map(|conn| tables.conn_id(conn));
        members.chain(tables.guests(room)).collect()
    }

    fn ids(&self, conns: &[(usize, u8)]) -> BTreeSet<ConnId> {
        conns.iter().map(|(node, conn)| self.nodes[*node].id(*conn)).collect()
    }

    fn states(&self, node: usize) -> Vec<PeerState> {
        self.nodes[node].cluster.peers().map(|peer| peer.state).collect()
    }

    fn received(&mut self, node: usize, conn: u8) -> Vec<String> {
        let id = self.nodes[node].id(conn);
        let (own, others) = std::mem::take(&mut self.nodes[node].received)
            .into_iter()
            .partition(|(to, _)| *to == id);
        self.nodes[node].received = others;
        own.into_iter().map(|(_, text): (_, String)| text).collect()
    }
}

#[test]
fn rooms_span_all_nodes() {
    let mut net = Net::new(3);
    assert_eq!(net.states(0), [PeerState::Live; 2]);
    net.open(0, 1);
    net.open(1, 2);
    net.run(10);
    for node in 0..3 {
        assert_eq!(net.view(node, "root"), net.ids(&[(0, 1), (1, 2)]), "node {node}");
    }
    // Each joined before its node knew of the other.
    for ((node, conn), other) in [((0, 1), net.nodes[1].id(2)), ((1, 2), net.nodes[0].id(1))] {
        assert_eq!(net.received(node, conn), [format!("new_member root {other}")]);
    }
    net.say(0, 1, "root", "chat", "hello");
    net.run(10);
    assert_eq!(net.received(1, 2), ["chat root hello"]);
    let (dst, event) = (net.nodes[0].id(1), "whisper");
    net.packet(
        1,
        2,
        PacketRef { dst: dst.as_str(), event, payload: b"psst", ..PacketRef::default() },
    );
    net.run(10);
    assert_eq!(net.received(0, 1), ["whisper  psst"]);
}

#[test]
fn a_node_that_starts_later_gets_the_members() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.say(0, 1, "lobby", "join", "");
    net.say(0, 1, "count-7", "join", "");
    net.run(10);
    let now = net.now;
    net.nodes.push(Node::new(3, now));
    net.nodes[2].handle(now, Input::Up { max_payload: 1 << 20 });
    net.run(1200);
    assert_eq!(net.view(2, "lobby"), net.ids(&[(0, 1)]));
    let tables = net.nodes[2].hub.tables();
    assert_eq!(tables.member_count(tables.find_room("count-7").expect("a room")), 1);
}

#[test]
fn a_lost_frame_is_sent_again_and_nothing_is_doubled() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    net.run(10);
    net.received(1, 2);
    let mut frames = 0;
    net.lose = Box::new(move |from, _| {
        frames += usize::from(from == 0);
        from == 0 && frames == 2
    });
    for text in ["a", "b", "c", "d"] {
        net.say(0, 1, "root", "chat", text);
        net.run(10);
    }
    net.run(1500);
    assert_eq!(net.received(1, 2), ["chat root a", "chat root b", "chat root c", "chat root d"]);
    assert_eq!(net.nodes[1].cluster.statistics().repaired, 1);
    assert!(net.nodes[1].cluster.statistics().resets.is_empty());
}

#[test]
fn messages_that_are_gone_show_as_leave_and_return_of_the_members_of_their_rooms() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    for (node, conn) in [(0, 1), (1, 2)] {
        net.say(node, conn, "lobby", "join", "");
    }
    net.run(10);
    net.received(1, 2);
    // What is repeated is lost as well.
    net.lose = Box::new(|from, _| from == 0);
    net.say(0, 1, "lobby", "chat", "lost");
    net.run(2000);
    net.lose = Box::new(|_, _| false);
    net.run(2000);
    let id = net.nodes[0].id(1);
    let expected = [format!("member_left lobby {id}"), format!("new_member lobby {id}")];
    let received = net.received(1, 2);
    assert!(received == ["chat lobby lost"] || received == expected, "{received:?}");
}

#[test]
fn the_members_of_a_dead_node_leave_and_come_back_with_it() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    net.run(10);
    net.received(1, 2);
    net.nodes[0].is_up = false;
    net.run(4500);
    assert_eq!(net.view(1, "root").len(), 2);
    net.run(1500);
    assert_eq!(net.view(1, "root"), net.ids(&[(1, 2)]));
    let id = net.nodes[0].id(1);
    assert_eq!(net.received(1, 2), [format!("member_left root {id}")]);
    net.nodes[0].is_up = true;
    net.run(2000);
    assert_eq!(net.received(1, 2), [format!("new_member root {id}")]);
    assert_eq!(net.view(0, "root").len(), 2);
}

#[test]
fn a_node_that_stops_takes_its_members_along_at_once() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    net.run(10);
    let now = net.now;
    net.nodes[0].handle(now, Input::Stop);
    net.publish();
    net.run(10);
    assert_eq!(net.view(1, "root"), net.ids(&[(1, 2)]));
    assert_eq!(net.states(1), []);
}

#[test]
fn a_message_larger_than_a_frame_is_sent_in_parts() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    net.run(10);
    net.received(1, 2);
    let text = "x".repeat(1 << 20);
    net.say(0, 1, "root", "chat", &text[..(1 << 20) - 100]);
    net.run(10);
    let received = net.received(1, 2);
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].len(), "chat root ".len() + text.len() - 100);
}

#[test]
fn a_message_of_the_application_above_the_limit_is_not_sent_to_peers_and_harms_no_other() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    net.run(10);
    net.received(1, 2);
    let max = Config::new("", "").max_packet;
    let empty = PacketRef { room: "root", event: "news", ..PacketRef::default() };
    let most = max - empty.encoded_len();
    for len in [most, most + 1, most + 200_000] {
        let payload = vec![b'x'; len];
        let dst = net.nodes[1].id(2);
        let (room, event, payload) = ("root", "news", &payload[..]);
        let (from, except, except_guest) = (None, None, None);
        let now = net.now;
        for command in [
            roomer_hub::Command::Broadcast { from, except, except_guest, room, event, payload },
            roomer_hub::Command::Send { from, dst: dst.as_str(), room, event, payload },
        ] {
            net.nodes[0].hub(now, roomer_hub::Input::Command(command));
            net.run(10);
        }
    }
    net.say(0, 1, "root", "chat", "behind them");
    net.run(3000);
    let lens: Vec<usize> = net.received(1, 2).iter().map(String::len).collect();
    // A direct message has an id more in it, so that the longest one is above the limit.
    assert_eq!(lens, ["news root ".len() + most, "chat root behind them".len()]);
    assert_eq!(net.nodes[0].cluster.statistics().unsendable, 5);
    let statistics = net.nodes[1].cluster.statistics();
    assert_eq!((statistics.resets.len(), statistics.refused.len()), (0, 0));
}

#[test]
fn a_command_with_a_name_above_the_limit_is_not_sent_to_peers() {
    let mut net = Net::new(2);
    net.open(1, 2);
    net.run(10);
    let (id, now) = (net.nodes[1].id(2), net.now);
    let name = "x".repeat(2 << 20);
    let Node { hub, cluster, .. } = &mut net.nodes[0];
    let peer = hub.tables().peer_of(id.as_str()).expect("a peer");
    for command in [
        PeerCommand::Join { room: &name },
        PeerCommand::Move { from: "root", to: &name },
        PeerCommand::Close { code: 4000, reason: &name },
    ] {
        cluster.record(now, hub.tables(), Change::Command { peer, id, command });
    }
    net.run(3000);
    assert_eq!(net.nodes[0].cluster.statistics().unsendable, 3);
    assert_eq!(net.nodes[1].cluster.statistics().resets.len(), 0);
}
