//! Fuzzes the codec for frames between nodes, and a node that receives such frames.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use roomer_hub::cluster::{Change, Cluster, Config, Effect, Input};
use roomer_hub::{Action, ConnId, HashKey, Hub, Info, Presence, Profile};
use roomer_proto::cluster::{
    Beat, FrameKind, Head, Item, Items, Lost, NodeId, StreamEnds, StreamPosition, Subject,
};
use roomer_proto::{JOIN, LEAVE, PacketRef};

const ROOMS: [&str; 3] = ["root", "a", "count"];
const MAX_PEERS: usize = 3;
const HELD_BYTES: usize = 2000;
const MAX_PACKET: usize = 1000;

/// Checks, for arbitrary bytes, that decoding and encoding a frame leads to a stable form. Also
/// checks that a node which receives frames from peers, whether or not they are well-formed, does
/// not panic, keeps its tables consistent, and stays within its limits.
///
/// The bytes are used twice: as a frame for the codec, and as steps for the node. In the first byte
/// of a step, the low three bits select the kind, and the next two the peer.
pub fn frame(data: &[u8]) {
    codec(data);
    if let Some((_, body)) = data.split_first() {
        codec(body);
        items(body);
    }
    let mut node = Node::new();
    let mut steps = data;
    while let [step, rest @ ..] = steps {
        steps = rest;
        node.step(step & 7, usize::from(step >> 3 & 3), &mut steps);
        node.check();
    }
    node.wait(20_000);
    node.check();
}

fn codec(frame: &[u8]) {
    let Ok((head, body)) = Head::decode(frame) else { return };
    let mut again = Vec::new();
    head.encode(&mut again);
    assert_eq!(again, frame[..frame.len() - body.len()], "{head:?}");
    items(body);
}

/// Checks that the encoding is stable: if an encoded item is decoded, and encoded again, the bytes
/// are the same.
fn items(body: &[u8]) {
    for item in Items::new(body).map_while(Result::ok) {
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        item.encode(&mut once);
        assert_eq!(once.len(), item.encoded_len(), "{item:?}");
        let mut decoded = Items::new(&once);
        let again = decoded.next().expect("an item").expect("a valid item");
        assert_eq!(decoded.remaining(), 0, "{item:?}");
        again.encode(&mut twice);
        assert_eq!(once, twice, "{item:?}");
    }
}

/// The stream from a peer to the node.
#[derive(Default)]
struct Stream {
    /// The number of the stream that the node last requested.
    wanted: u32,
    /// The number of the stream that is currently being sent.
    stream: u32,
    /// The number of the next frame in that stream.
    next: u64,
}

struct Node {
    now: Duration,
    hub: Hub,
    cluster: Cluster,
    /// The hash of the cluster's name, which each frame contains.
    hash: u64,
    streams: BTreeMap<NodeId, Stream>,
    conns: u8,
    largest: usize,
}

fn peer(index: usize) -> NodeId {
    NodeId((index as u64 + 2) << 32 | 1)
}

/// Removes and returns the first byte; 0 if there is none.
fn byte(bytes: &mut &[u8]) -> u8 {
    let Some((first, rest)) = bytes.split_first() else { return 0 };
    *bytes = rest;
    *first
}

/// Splits a length-prefixed slice off the front of `bytes`.
fn part<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let len = usize::from(byte(bytes)).min(bytes.len());
    let (part, rest) = bytes.split_at(len);
    *bytes = rest;
    part
}

impl Node {
    fn new() -> Self {
        let now = Duration::from_secs(100);
        let mut config = Config::new("fuzz", "node");
        (config.max_peers, config.max_seats) = (MAX_PEERS, 20);
        (config.held_bytes, config.max_packet, config.max_name) = (HELD_BYTES, MAX_PACKET, 100);
        config.max_info = 20;
        (config.journal_bytes, config.backlog_bytes) = (1000, 5000);
        let mut hub = Hub::new(roomer_hub::Config::default(), HashKey([3; 16]));
        hub.set_presence(ROOMS[2], Presence::Count);
        hub.announce_away("*");
        let cluster = Cluster::new(config, NodeId(1 << 32 | 1), now);
        let streams = (0..4).map(|index| (peer(index), Stream::default())).collect();
        let mut node = Node { now, hub, cluster, hash: 0, streams, conns: 0, largest: 0 };
        node.cluster(Input::Up { max_payload: 1000 });
        node.publish(usize::MAX);
        node
    }

    fn step(&mut self, kind: u8, index: usize, rest: &mut &[u8]) {
        let from = peer(index);
        match kind {
            0 => self.receive(Bytes::copy_from_slice(part(rest))),
            1 => self.frame(from, FrameKind::Control, part(rest)),
            2 => {
                let flags = byte(rest);
                let Some(stream) = self.streams.get_mut(&from) else { return };
                let number = stream.next.wrapping_add((flags & 15).into()).wrapping_sub(1);
                stream.next = stream.next.max(number.wrapping_add(1));
                let (stream, more) = (stream.stream, flags & 128 != 0);
                self.frame(from, FrameKind::Stream { stream, number, more }, part(rest));
            }
            3 => self.start(from),
            4 => self.wait(u64::from(byte(rest)).pow(2)),
            5 => self.client(byte(rest)),
            6 => {
                let max_payload = 64 + 16 * usize::from(byte(rest));
                self.cluster(Input::Down);
                self.cluster(Input::Up { max_payload });
            }
            _ => self.publish(byte(rest).into()),
        }
    }

    /// Makes a peer send a heartbeat, and then the stream that the node has requested, with an
    /// empty list of members.
    fn start(&mut self, from: NodeId) {
        let mut body = Vec::new();
        let beat = Beat {
            oldest_version: 1,
            newest_version: 1,
            name: "peer",
            streams: StreamEnds::new(&[]),
            ..Beat::default()
        };
        Item::Beat(beat).encode(&mut body);
        self.frame(from, FrameKind::Control, &body);
        self.publish(usize::MAX);
        let Some(stream) = self.streams.get_mut(&from) else { return };
        stream.stream = stream.wanted;
        stream.next = 2;
        let kind = FrameKind::Stream { stream: stream.wanted, number: 1, more: false };
        body.clear();
        Item::Begin { lost: Lost::All, uptime_ms: 5 }.encode(&mut body);
        Item::End.encode(&mut body);
        self.frame(from, kind, &body);
        body.clear();
        Item::RequestStream { stream: 1, after: StreamPosition::default() }.encode(&mut body);
        self.frame(from, FrameKind::Control, &body);
    }

    fn frame(&mut self, from: NodeId, kind: FrameKind, body: &[u8]) {
        let mut frame = Vec::new();
        Head { cluster: self.hash, from, kind }.encode(&mut frame);
        frame.extend_from_slice(body);
        self.receive(frame.into());
    }

    fn receive(&mut self, frame: Bytes) {
        self.largest = self.largest.max(frame.len());
        self.cluster(Input::Frame(frame));
    }

    fn wait(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self.cluster.wake_at() <= end {
            self.now = self.now.max(self.cluster.wake_at());
            self.cluster(Input::Tick);
            assert!(self.cluster.wake_at() > self.now, "a tick at the time of a tick");
            self.publish(usize::MAX);
        }
        self.now = end;
    }

    /// Makes a client of the node connect, join, leave, send a message or change its info.
    fn client(&mut self, what: u8) {
        let id = |number: u8| ConnId::from_random_bytes([number; 16]);
        let room = ROOMS[usize::from(what >> 3) % ROOMS.len()];
        if what & 7 == 0 && self.conns < 5 {
            self.conns += 1;
            let extended = self.conns.is_multiple_of(2);
            let profile = Profile::new(Some(Info::string("client")), None);
            let (id, profile) = (id(self.conns), &profile);
            return self.hub(roomer_hub::Input::OpenWithProfile { id, extended, profile });
        }
        let number = 1 + what % self.conns.max(1);
        let Some(conn) = self.hub.tables().find_conn(id(number).as_str()) else { return };
        if what & 7 == 6 {
            let info = Some(Info::string(&"i".repeat(usize::from(what))));
            let command = roomer_hub::Command::SetInfo { conn, info: info.as_ref() };
            return self.hub(roomer_hub::Input::Command(command));
        }
        let event = [JOIN, LEAVE, "chat"][usize::from(what & 7) % 3];
        let packet = PacketRef { room, event, payload: b"hello", ..PacketRef::default() };
        self.hub(roomer_hub::Input::Packet { conn, packet });
    }

    fn hub(&mut self, input: roomer_hub::Input<'_>) {
        let Node { hub, cluster, now, .. } = self;
        let mut actions = hub.handle(*now, input);
        let (tables, subject) = (actions.tables(), actions.subject());
        for action in actions.by_ref() {
            let change = match action {
                Action::Joined { name: room, .. } => subject.map(|id| Change::Joined { id, room }),
                Action::Left { name: room, .. } => subject.map(|id| Change::Left { id, room }),
                Action::InfoChanged { conn } => {
                    tables.conn_id(conn).map(|id| Change::Profile { id })
                }
                Action::AwayChanged { conn } => tables.conn_id(conn).map(|id| Change::Away { id }),
                Action::Broadcast { peers, except_guest, packet, .. } if !peers.is_empty() => {
                    Some(Change::Broadcast { peers, except: except_guest.copied(), packet })
                }
                Action::Forward { peer, packet } => Some(Change::Direct { peer, packet }),
                _ => None,
            };
            change.into_iter().for_each(|change| cluster.record(*now, tables, change));
        }
    }

    fn cluster(&mut self, input: Input) {
        let effects: Vec<Effect> =
            self.cluster.handle(self.now, self.hub.tables(), input).collect();
        for effect in &effects {
            let is_for_hub = !matches!(
                effect,
                Effect::Command { .. }
                    | Effect::Elsewhere { .. }
                    | Effect::User { .. }
                    | Effect::Tunnel { .. }
                    | Effect::TunnelsLost { .. }
                    | Effect::Close { .. }
                    | Effect::Event(_)
            );
            let input = effect.hub_input();
            assert_eq!(input.is_some(), is_for_hub, "{effect:?}");
            input.into_iter().for_each(|input| self.hub(input));
        }
    }

    /// Publishes at most `most` frames. Records the streams that the node requests in them.
    fn publish(&mut self, most: usize) {
        let mut frames = Vec::new();
        self.cluster.publish(self.now, |to, frame| {
            let is_taken = frames.len() < most;
            frames.extend(is_taken.then(|| (to, frame.clone())));
            is_taken
        });
        for (to, frame) in frames {
            let (head, body) = Head::decode(&frame).expect("a head of the node's own");
            self.hash = head.cluster;
            for item in Items::new(body) {
                // If an item is sent in several parts, it cannot be decoded from one frame. Ignore
                // it.
                if let (Ok(Item::RequestStream { stream, .. }), Subject::Node(to)) = (item, to)
                    && let Some(known) = self.streams.get_mut(&to)
                {
                    assert!(stream > known.wanted, "a stream's number is used again");
                    known.wanted = stream;
                }
            }
        }
    }

    fn check(&self) {
        self.hub.tables().audit().expect("intact tables");
        let peers: Vec<_> = self.cluster.peers().collect();
        assert!(peers.len() <= MAX_PEERS, "{} peers", peers.len());
        for peer in peers {
            let most = HELD_BYTES + MAX_PACKET + 64 * 1024 + self.largest;
            assert!(peer.held_bytes <= most, "{} bytes are held", peer.held_bytes);
        }
    }
}
