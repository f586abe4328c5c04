//! What the hub costs, without sockets: `cargo bench -p roomer-hub --bench hub`.
//!
//! Every benchmark draws all actions and walks all receivers, as a driver does.

use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use roomer_hub::{Action, Config, ConnId, ConnKey, HashKey, Hub, Input};
use roomer_proto::{JOIN, LEAVE, PacketRef, ROOT};

fn main() {
    let enough = Duration::from_millis(300);
    divan::Divan::default().min_time(enough).config_with_args().main();
}

/// One message to a room: handle it and walk its members.
#[divan::bench(args = [5, 100, 1_000, 10_000])]
fn broadcast(bencher: Bencher<'_, '_>, members: usize) {
    let (mut hub, conns) = hub(members);
    let packet = PacketRef { room: ROOT, event: "chat", payload: &[7; 64], ..nothing() };
    bencher
        .counter(ItemsCount::new(members - 1))
        .bench_local(|| handle(&mut hub, Input::Packet { conn: conns[0], packet }));
}

/// Join and leave by turns, in a room with so many others.
#[divan::bench(args = [1, 100, 10_000])]
fn join_and_leave(bencher: Bencher<'_, '_>, others: usize) {
    let (mut hub, conns) = hub(others + 1);
    let conn = conns[others / 2];
    bencher.bench_local(|| {
        // Without the walk over the members, which `broadcast` measures.
        for event in [LEAVE, JOIN] {
            let packet = PacketRef { room: ROOT, event, ..nothing() };
            for action in hub.handle(Duration::ZERO, Input::Packet { conn, packet }) {
                black_box(action);
            }
        }
    });
}

/// A repeated join: the `join_ack` with its snapshot, its pages shared and the rest copied, as it
/// goes out.
#[divan::bench(args = [100, 10_000])]
fn snapshot(bencher: Bencher<'_, '_>, members: usize) {
    let (mut hub, conns) = hub(members);
    let (conn, mut out) = (conns[0], Vec::new());
    let packet = PacketRef { room: ROOT, event: JOIN, ..nothing() };
    bencher.counter(ItemsCount::new(members)).bench_local(|| {
        out.clear();
        let mut actions = hub.handle(Duration::ZERO, Input::Packet { conn, packet });
        let Some(Action::JoinAck { snapshot, .. }) = actions.next() else { panic!("no ack") };
        snapshot.pages().iter().for_each(|page| drop(black_box(page.clone())));
        snapshot.write_tail(&mut out);
        black_box(&out);
    });
}

/// A connection in 100 rooms ends; nine others are in each of them.
#[divan::bench]
fn disconnect_from_100_rooms(bencher: Bencher<'_, '_>) {
    let names: Vec<String> = (1..100).map(|number| format!("room {number}")).collect();
    bencher
        .with_inputs(|| {
            let (mut hub, conns) = hub(10);
            for room in &names {
                for &conn in &conns {
                    let packet = PacketRef { room, event: JOIN, ..nothing() };
                    handle(&mut hub, Input::Packet { conn, packet });
                }
            }
            (hub, conns[5])
        })
        .bench_local_refs(|(hub, conn)| handle(hub, Input::Gone { conn: *conn }));
}

/// A message to one of so many.
#[divan::bench(args = [2, 10_000])]
fn direct(bencher: Bencher<'_, '_>, connections: usize) {
    let (mut hub, conns) = hub(connections);
    let dst = id(connections / 2);
    let dst = dst.as_str();
    let packet = PacketRef { room: ROOT, event: "chat", dst, payload: &[7; 64], ..nothing() };
    bencher.bench_local(|| handle(&mut hub, Input::Packet { conn: conns[0], packet }));
}

/// A connection comes to a root of so many others, and goes.
#[divan::bench(args = [1, 10_000])]
fn open_and_gone(bencher: Bencher<'_, '_>, others: usize) {
    let (mut hub, _) = hub(others);
    let id = id(others);
    bencher.bench_local(|| {
        let mut actions = hub.handle(Duration::ZERO, Input::Open { id });
        let Some(Action::Opened { conn }) = actions.next() else { panic!("not opened") };
        for action in actions {
            black_box(action);
        }
        for action in hub.handle(Duration::ZERO, Input::Gone { conn }) {
            black_box(action);
        }
    });
}

fn nothing() -> PacketRef<'static> {
    PacketRef::default()
}

fn id(number: usize) -> ConnId {
    ConnId::from_random_bytes((number as u128).to_be_bytes())
}

/// A hub with so many connections in root.
fn hub(connections: usize) -> (Hub, Vec<ConnKey>) {
    let mut hub = Hub::new(Config::default(), HashKey([7; 16]));
    let open = |number| {
        let mut actions = hub.handle(Duration::ZERO, Input::Open { id: id(number) });
        match actions.next() {
            Some(Action::Opened { conn }) => conn,
            other => panic!("not opened: {other:?}"),
        }
    };
    let conns = (0..connections).map(open).collect();
    (hub, conns)
}

/// Handles one input and walks everybody who is to hear of it.
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
