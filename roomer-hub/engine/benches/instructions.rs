//! Benchmarks whose instructions `.ci/instructions` counts with valgrind.
//!
//! This makes regressions visible even on a noisy machine: `cargo bench -p roomer-engine --bench
//! instructions [NAME]`.
//!
//! Valgrind counts the instructions within the function `bench_NAME`. The counts are reproducible,
//! since the benchmarks use no random seed, thread or clock. These functions contain no closures:
//! the name of a closure that is not inlined contains the function's name, and valgrind would pause
//! counting in it.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use roomer_hub::cluster::{self, Change, Cluster};
use roomer_hub::{Action, Config, ConnId, ConnKey, HashKey, Hub, Input};
use roomer_proto::cluster::NodeId;
use roomer_proto::websocket::{Decoder, Event, Limits};
use roomer_proto::{JOIN, LEAVE, PacketRef, ROOT};

/// The number of iterations per benchmark.
const ROUNDS: usize = 1_000;

const ALL: [(&str, fn()); 12] = [
    ("packet_decode", packet_decode),
    ("packet_encode", packet_encode),
    ("decoder_read", decoder_read),
    ("decoder_read_64", decoder_read_64),
    ("hub_fan_out", hub_fan_out),
    ("hub_join_and_leave", hub_join_and_leave),
    ("hub_direct", hub_direct),
    ("hub_snapshot", hub_snapshot),
    ("cluster_send", cluster_send),
    ("cluster_send_16", cluster_send_16),
    ("cluster_receive", cluster_receive),
    ("cluster_receive_16", cluster_receive_16),
];

/// Runs the benchmark named by the argument, or all of them as a test.
fn main() -> ExitCode {
    // Skip the flags that Cargo passes to benchmarks.
    let name = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let mut found = false;
    for (known, run) in ALL {
        if name.as_ref().is_none_or(|name| name == known) {
            found = true;
            run();
        }
    }
    if found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Decodes a chat message.
fn packet_decode() {
    bench_packet_decode(&chat().to_bytes());
}

#[inline(never)]
fn bench_packet_decode(message: &[u8]) {
    for _ in 0..ROUNDS {
        let packet = PacketRef::decode(black_box(message));
        assert!(black_box(packet).is_ok());
    }
}

/// Encodes the message of [`packet_decode`] into a preallocated buffer.
fn packet_encode() {
    bench_packet_encode(&chat(), &mut Vec::with_capacity(256));
}

#[inline(never)]
fn bench_packet_encode(packet: &PacketRef<'_>, out: &mut Vec<u8>) {
    for _ in 0..ROUNDS {
        out.clear();
        assert!(black_box(packet).encode(out).is_ok());
        black_box(&out);
    }
}

/// Reads a single frame per call, as sent by a client that waits for each reply.
fn decoder_read() {
    bench_decoder_read(&mut Decoder::new(), &Limits::default(), &mut frames(1));
}

#[inline(never)]
fn bench_decoder_read(decoder: &mut Decoder, limits: &Limits, chunk: &mut [u8]) {
    for _ in 0..ROUNDS {
        assert_eq!(read(decoder, limits, black_box(chunk)), 1);
    }
}

/// Reads 64 frames per call, as sent by a client that floods the server.
fn decoder_read_64() {
    bench_decoder_read_64(&mut Decoder::new(), &Limits::default(), &mut frames(64));
}

#[inline(never)]
fn bench_decoder_read_64(decoder: &mut Decoder, limits: &Limits, chunk: &mut [u8]) {
    for _ in 0..ROUNDS {
        assert_eq!(read(decoder, limits, black_box(chunk)), 64);
    }
}

/// Handles a message to a room with 100 members and iterates over them.
fn hub_fan_out() {
    let (mut hub, conns) = hub(100);
    bench_hub_fan_out(&mut hub, conns[50]);
}

#[inline(never)]
fn bench_hub_fan_out(hub: &mut Hub, conn: ConnKey) {
    for _ in 0..ROUNDS {
        assert_eq!(handle(hub, Input::Packet { conn, packet: chat() }), 99);
    }
}

/// Leaves and rejoins a room with 1,000 members without iterating over them.
fn hub_join_and_leave() {
    let (mut hub, conns) = hub(1_000);
    bench_hub_join_and_leave(&mut hub, conns[500]);
}

#[inline(never)]
fn bench_hub_join_and_leave(hub: &mut Hub, conn: ConnKey) {
    for _ in 0..ROUNDS {
        for event in [LEAVE, JOIN] {
            let packet = PacketRef { room: ROOT, event, ..PacketRef::default() };
            for action in hub.handle(Duration::ZERO, Input::Packet { conn, packet }) {
                black_box(action);
            }
        }
    }
}

/// Handles a direct message to one of 1,000 connections.
fn hub_direct() {
    let (mut hub, conns) = hub(1_000);
    bench_hub_direct(&mut hub, conns[500], id(7).as_str());
}

#[inline(never)]
fn bench_hub_direct(hub: &mut Hub, conn: ConnKey, dst: &str) {
    for _ in 0..ROUNDS {
        let packet = PacketRef { dst, ..chat() };
        assert_eq!(handle(hub, Input::Packet { conn, packet }), 1);
    }
}

/// Encodes the ids of 1,000 members for the answer to a repeated join: chunks are shared, and the
/// tail is copied.
fn hub_snapshot() {
    let (mut hub, conns) = hub(1_000);
    bench_hub_snapshot(&mut hub, conns[500]);
}

#[inline(never)]
fn bench_hub_snapshot(hub: &mut Hub, conn: ConnKey) {
    let packet = PacketRef { room: ROOT, event: JOIN, ..PacketRef::default() };
    // Allocate the buffer once: the cost of a block of this size, and whether it grows in place,
    // depend on the allocator's state.
    let mut tail = Vec::with_capacity(4_000);
    for _ in 0..ROUNDS {
        for action in hub.handle(Duration::ZERO, Input::Packet { conn, packet }) {
            let Action::JoinAck { snapshot, .. } = action else { panic!("{action:?}") };
            let mut chunks = Vec::with_capacity(10);
            tail.clear();
            for run in snapshot.runs() {
                chunks.extend_from_slice(run.chunks());
                run.write_tail(&mut tail);
            }
            assert!(chunks.len() * 3_900 + tail.len() >= 1_000 * ConnId::LEN);
            black_box((chunks, &tail));
        }
    }
}

/// Handles a message to a room with a member on one other node, and publishes a frame with that
/// message.
fn cluster_send() {
    let [mut node, _] = nodes();
    bench_cluster_send(&mut node);
}

#[inline(never)]
fn bench_cluster_send(node: &mut Node) {
    for _ in 0..ROUNDS {
        node.say();
        assert_eq!(node.publish(drop), 1);
    }
}

/// Like [`cluster_send`], with 16 messages in the frame.
fn cluster_send_16() {
    let [mut node, _] = nodes();
    bench_cluster_send_16(&mut node);
}

#[inline(never)]
fn bench_cluster_send_16(node: &mut Node) {
    for _ in 0..ROUNDS {
        for _ in 0..16 {
            node.say();
        }
        assert_eq!(node.publish(drop), 1);
    }
}

/// Handles a received frame with one message, up to the action for this node's members.
fn cluster_receive() {
    let (mut node, frames) = received(1);
    bench_cluster_receive(&mut node, &frames);
}

#[inline(never)]
fn bench_cluster_receive(node: &mut Node, frames: &[Bytes]) {
    for frame in frames {
        node.receive(frame.clone());
    }
}

/// Like [`cluster_receive`], with 16 messages in the frame.
fn cluster_receive_16() {
    let (mut node, frames) = received(16);
    bench_cluster_receive_16(&mut node, &frames);
}

#[inline(never)]
fn bench_cluster_receive_16(node: &mut Node, frames: &[Bytes]) {
    // This differs from `bench_cluster_receive` on purpose: the linker would merge identical
    // functions.
    frames.iter().take(ROUNDS).for_each(|frame| node.receive(frame.clone()));
}

/// A cluster node with one connection.
struct Node {
    hub: Hub,
    cluster: Cluster,
    conn: ConnKey,
}

impl Node {
    fn new(number: u64) -> Self {
        let node = NodeId(number << 32);
        let cluster = Cluster::new(cluster::Config::new("bench", ""), node, Duration::ZERO);
        let mut hub = Hub::new(Config::default(), HashKey([7; 16]));
        let id = node.tag().id([7; 16]);
        let opened =
            hub.handle(Duration::ZERO, Input::Open { id, extended: false }).find_map(|action| {
                match action {
                    Action::Opened { conn } => Some(conn),
                    _ => None,
                }
            });
        Node { hub, cluster, conn: opened.expect("a new id") }
    }

    /// Handles a message that the connection has sent.
    fn say(&mut self) {
        let input = Input::Packet { conn: self.conn, packet: chat() };
        let actions = self.hub.handle(Duration::ZERO, input);
        let tables = actions.tables();
        for action in actions {
            let Action::Broadcast { peers, packet, .. } = action else { panic!("{action:?}") };
            let change = Change::Broadcast { peers, except: None, packet };
            self.cluster.record(Duration::ZERO, tables, change);
        }
    }

    /// Publishes all queued frames, and returns their number.
    fn publish(&mut self, mut take: impl FnMut(Bytes)) -> usize {
        let mut count = 0;
        self.cluster.publish(Duration::ZERO, |_, frame| {
            take(black_box(frame.clone()));
            count += 1;
            true
        });
        count
    }

    /// Handles a frame received from the other node.
    fn receive(&mut self, frame: Bytes) {
        let input = cluster::Input::Frame(black_box(frame));
        for effect in
            self.cluster.handle(Duration::ZERO, self.hub.tables(), input).collect::<Vec<_>>()
        {
            let Some(input) = effect.hub_input() else { continue };
            for action in self.hub.handle(Duration::ZERO, input) {
                black_box(action);
            }
        }
    }
}

/// Creates two nodes, each of which lists the other's connection as a member of root.
fn nodes() -> [Node; 2] {
    let mut nodes = [Node::new(1), Node::new(2)];
    for node in &mut nodes {
        let up = cluster::Input::Up { max_payload: 1 << 20 };
        let _ = node.cluster.handle(Duration::ZERO, node.hub.tables(), up);
    }
    // Three rounds are needed: for a heartbeat, a request for the members, and the members.
    for _ in 0..3 {
        for (from, to) in [(0, 1), (1, 0)] {
            let mut frames = Vec::new();
            nodes[from].publish(|frame| frames.push(frame));
            frames.into_iter().for_each(|frame| nodes[to].receive(frame));
        }
    }
    nodes
}

/// Returns a node, and frames for it with `messages` messages each.
fn received(messages: usize) -> (Node, Vec<Bytes>) {
    let [mut from, to] = nodes();
    let mut frames = Vec::new();
    for _ in 0..ROUNDS {
        for _ in 0..messages {
            from.say();
        }
        from.publish(|frame| frames.push(frame));
    }
    assert_eq!(frames.len(), ROUNDS);
    (to, frames)
}

/// Returns a packet of 96 bytes.
fn chat() -> PacketRef<'static> {
    PacketRef { room: ROOT, event: "chat", payload: &[7; 68], ..PacketRef::default() }
}

/// Returns `count` masked binary frames of 64 bytes each. Each read unmasks them in place, so the
/// payload differs between reads. The benchmarks do not depend on its content.
fn frames(count: usize) -> Vec<u8> {
    let mut frame = vec![0x82, 0x80 | 64, 1, 2, 3, 4];
    frame.extend_from_slice(&[7; 64]);
    frame.repeat(count)
}

/// Reads all messages, and returns their number.
fn read(decoder: &mut Decoder, limits: &Limits, chunk: &mut [u8]) -> usize {
    let mut feed = decoder.feed(limits, chunk);
    let mut messages = 0;
    while let Some(event) = feed.next() {
        if let Ok(Event::Message { data, .. }) = event {
            black_box(data);
            messages += 1;
        }
    }
    messages
}

fn id(number: usize) -> ConnId {
    ConnId::from_random_bytes((number as u128).to_be_bytes())
}

/// Creates a hub with `connections` connections in `root`.
fn hub(connections: usize) -> (Hub, Vec<ConnKey>) {
    let mut hub = Hub::new(Config::default(), HashKey([7; 16]));
    let mut conns = Vec::new();
    for number in 0..connections {
        for action in hub.handle(Duration::ZERO, Input::Open { id: id(number), extended: false }) {
            if let Action::Opened { conn } = action {
                conns.push(conn);
            }
        }
    }
    assert_eq!(conns.len(), connections);
    (hub, conns)
}

/// Handles one input, iterates over all receivers, and returns their number.
fn handle(hub: &mut Hub, input: Input<'_>) -> usize {
    let mut receivers = 0;
    for action in hub.handle(Duration::ZERO, input) {
        match action {
            Action::Broadcast { members, except, packet, .. } => {
                black_box(packet);
                for member in members.iter() {
                    if Some(member) != except {
                        black_box(member);
                        receivers += 1;
                    }
                }
            }
            Action::Send { to, packet } => {
                black_box((to, packet));
                receivers += 1;
            }
            action => {
                black_box(action);
            }
        }
    }
    receivers
}
