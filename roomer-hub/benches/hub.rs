//! Benchmarks of the hub without sockets: `cargo bench -p roomer-hub --bench hub`.
//!
//! Each benchmark consumes all actions and visits all receivers, as a driver does.

use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use roomer_hub::cluster::{self, Cluster};
use roomer_hub::{Action, Config, ConnId, ConnKey, HashKey, Hub, Input};
use roomer_proto::cluster::NodeId;
use roomer_proto::{JOIN, LEAVE, PacketRef, ROOT};

fn main() {
    let min_time = Duration::from_millis(300);
    divan::Divan::default().min_time(min_time).config_with_args().main();
}

/// A message to a room, handled by the hub, after which the driver visits the members.
#[divan::bench(args = [5, 100, 1_000, 10_000])]
fn broadcast(bencher: Bencher<'_, '_>, members: usize) {
    let (mut hub, conns) = hub(members);
    let packet = PacketRef { room: ROOT, event: "chat", payload: &[7; 64], ..empty() };
    bencher
        .counter(ItemsCount::new(members - 1))
        .bench_local(|| handle(&mut hub, Input::Packet { conn: conns[0], packet }));
}

/// A leave followed by a join, in a room with `others` other members.
#[divan::bench(args = [1, 100, 10_000])]
fn join_and_leave(bencher: Bencher<'_, '_>, others: usize) {
    let (mut hub, conns) = hub(others + 1);
    let conn = conns[others / 2];
    bencher.bench_local(|| {
        // This does not visit the members, which `broadcast` measures.
        for event in [LEAVE, JOIN] {
            let packet = PacketRef { room: ROOT, event, ..empty() };
            for action in hub.handle(Duration::ZERO, Input::Packet { conn, packet }) {
                black_box(action);
            }
        }
    });
}

/// A repeated join, whose `join_ack` contains a snapshot. Shares the chunks and copies the rest, as
/// a driver would.
#[divan::bench(args = [100, 10_000])]
fn snapshot(bencher: Bencher<'_, '_>, members: usize) {
    let (mut hub, conns) = hub(members);
    let (conn, mut out) = (conns[0], Vec::new());
    let packet = PacketRef { room: ROOT, event: JOIN, ..empty() };
    bencher.counter(ItemsCount::new(members)).bench_local(|| {
        out.clear();
        let mut actions = hub.handle(Duration::ZERO, Input::Packet { conn, packet });
        let Some(Action::JoinAck { snapshot, .. }) = actions.next() else { panic!("no ack") };
        for run in snapshot.runs() {
            run.chunks().iter().for_each(|chunk| drop(black_box(chunk.clone())));
            run.write_tail(&mut out);
        }
        black_box(&out);
    });
}

/// The end of a connection that is in 100 rooms, with nine other members each.
#[divan::bench]
fn disconnect_from_100_rooms(bencher: Bencher<'_, '_>) {
    let names: Vec<String> = (1..100).map(|number| format!("room {number}")).collect();
    bencher
        .with_inputs(|| {
            let (mut hub, conns) = hub(10);
            for room in &names {
                for &conn in &conns {
                    let packet = PacketRef { room, event: JOIN, ..empty() };
                    handle(&mut hub, Input::Packet { conn, packet });
                }
            }
            (hub, conns[5])
        })
        .bench_local_refs(|(hub, conn)| handle(hub, Input::Gone { conn: *conn }));
}

/// A direct message, with `connections` connections in the hub.
#[divan::bench(args = [2, 10_000])]
fn direct(bencher: Bencher<'_, '_>, connections: usize) {
    let (mut hub, conns) = hub(connections);
    let dst = id(connections / 2);
    let dst = dst.as_str();
    let packet = PacketRef { room: ROOT, event: "chat", dst, payload: &[7; 64], ..empty() };
    bencher.bench_local(|| handle(&mut hub, Input::Packet { conn: conns[0], packet }));
}

/// The opening and the end of a connection, with `others` other connections in `root`.
#[divan::bench(args = [1, 10_000])]
fn open_and_gone(bencher: Bencher<'_, '_>, others: usize) {
    let (mut hub, _) = hub(others);
    let id = id(others);
    bencher.bench_local(|| {
        let mut actions = hub.handle(Duration::ZERO, Input::Open { id, extended: false });
        let Some(Action::Opened { conn }) = actions.next() else { panic!("not opened") };
        for action in actions {
            black_box(action);
        }
        for action in hub.handle(Duration::ZERO, Input::Gone { conn }) {
            black_box(action);
        }
    });
}

fn empty() -> PacketRef<'static> {
    PacketRef::default()
}

fn id(number: usize) -> ConnId {
    ConnId::from_random_bytes((number as u128).to_be_bytes())
}

/// Creates a hub with `connections` connections, all in `root`.
fn hub(connections: usize) -> (Hub, Vec<ConnKey>) {
    let mut hub = Hub::new(Config::default(), HashKey([7; 16]));
    let open = |number| {
        let mut actions =
            hub.handle(Duration::ZERO, Input::Open { id: id(number), extended: false });
        match actions.next() {
            Some(Action::Opened { conn }) => conn,
            other => panic!("not opened: {other:?}"),
        }
    };
    let conns = (0..connections).map(open).collect();
    (hub, conns)
}

/// Handles one input and visits all receivers.
fn handle(hub: &mut Hub, input: Input<'_>) {
    for action in hub.handle(Duration::ZERO, input) {
        match action {
            Action::Broadcast { members, except, packet, .. } => {
                black_box(packet);
                for member in members.iter().filter(|&member| Some(member) != except) {
                    black_box(member);
                }
            }
            action => {
                black_box(action);
            }
        }
    }
}

/// The member list for a new peer, encoded by one node and applied by the other. Each
/// connection is in `root` and in a room of ten.
#[divan::bench(args = [1_000, 50_000])]
fn state(bencher: Bencher<'_, '_>, connections: usize) {
    let now = Duration::ZERO;
    let (mut hub, conns) = hub(connections);
    for (at, conn) in conns.into_iter().enumerate() {
        let room = format!("room {}", at / 10);
        let packet = PacketRef { room: &room, event: JOIN, ..empty() };
        for action in hub.handle(now, Input::Packet { conn, packet }) {
            black_box(action);
        }
    }
    let up = || cluster::Input::Up { max_payload: 1 << 20 };
    bencher.counter(ItemsCount::new(2 * connections)).bench_local(|| {
        // The ids of these connections start with zeros, which matches the tag of this node.
        let mut from = Cluster::new(cluster::Config::new("bench", ""), NodeId(1), now);
        let _ = from.handle(now, hub.tables(), up());
        let mut other = Hub::new(Config::default(), HashKey([7; 16]));
        let mut to = Cluster::new(cluster::Config::new("bench", ""), NodeId(9 << 32), now);
        let _ = to.handle(now, other.tables(), up());
        // A beat causes a request, and the request causes the member list to be sent.
        for _ in 0..3 {
            let mut frames = Vec::new();
            from.publish(now, |_, frame| {
                frames.push(frame.clone());
                true
            });
            for frame in frames.drain(..) {
                let effects = to.handle(now, other.tables(), cluster::Input::Frame(frame));
                for effect in effects.collect::<Vec<_>>() {
                    let input = effect.hub_input();
                    input.into_iter().for_each(|input| drop(black_box(other.handle(now, input))));
                }
            }
            to.publish(now, |_, frame| {
                frames.push(frame.clone());
                true
            });
            for frame in frames {
                let _ = from.handle(now, hub.tables(), cluster::Input::Frame(frame));
            }
            let _ = from.handle(now, hub.tables(), cluster::Input::Down);
            let _ = from.handle(now, hub.tables(), up());
        }
        assert!(other.tables().guest_count() == connections);
    });
}
