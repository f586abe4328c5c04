//! Work whose instructions `.ci/instructions` has valgrind count, so that a regression shows on a
//! noisy machine: `cargo bench -p roomer-hub --features server --bench instructions [NAME]`.
//!
//! What is counted is `bench_NAME`, from its entry to its end: the same every time, since nothing
//! in here has a random seed, a thread or a clock. No closures in those functions: one that is not
//! inlined has the function's name in its own, and counting would pause in it.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use roomer_hub::{Action, Config, ConnId, ConnKey, HashKey, Hub, Input};
use roomer_proto::websocket::{Event, Limits, Session};
use roomer_proto::{JOIN, LEAVE, PacketRef, ROOT};

/// How often each does its work.
const ROUNDS: usize = 1_000;

const ALL: [(&str, fn()); 8] = [
    ("packet_decode", packet_decode),
    ("packet_encode", packet_encode),
    ("session_read", session_read),
    ("session_read_64", session_read_64),
    ("hub_fan_out", hub_fan_out),
    ("hub_join_and_leave", hub_join_and_leave),
    ("hub_direct", hub_direct),
    ("hub_snapshot", hub_snapshot),
];

/// Runs the one that is named; all of them if none is, to see that they work.
fn main() -> ExitCode {
    // Flags are cargo's.
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

/// A chat message as it comes in.
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

/// The same message as it goes out, into a buffer that is there.
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

/// A frame that comes alone, as from a client that waits for its answer.
fn session_read() {
    bench_session_read(&mut Session::new(), &Limits::default(), &mut frames(1));
}

#[inline(never)]
fn bench_session_read(session: &mut Session, limits: &Limits, chunk: &mut [u8]) {
    for _ in 0..ROUNDS {
        assert_eq!(read(session, limits, black_box(chunk)), 1);
    }
}

/// Frames that come in one read, as from a client that floods.
fn session_read_64() {
    bench_session_read_64(&mut Session::new(), &Limits::default(), &mut frames(64));
}

#[inline(never)]
fn bench_session_read_64(session: &mut Session, limits: &Limits, chunk: &mut [u8]) {
    for _ in 0..ROUNDS {
        assert_eq!(read(session, limits, black_box(chunk)), 64);
    }
}

/// A message to a room of 100: handle it and walk its members.
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

/// Leave a room of 1,000 and join it again, without the walk over the others.
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

/// A message to one of 1,000.
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

/// The ids of 1,000 members as they are sent for a repeated join: chunks shared, the rest copied.
fn hub_snapshot() {
    let (mut hub, conns) = hub(1_000);
    bench_hub_snapshot(&mut hub, conns[500]);
}

#[inline(never)]
fn bench_hub_snapshot(hub: &mut Hub, conn: ConnKey) {
    let packet = PacketRef { room: ROOT, event: JOIN, ..PacketRef::default() };
    for _ in 0..ROUNDS {
        for action in hub.handle(Duration::ZERO, Input::Packet { conn, packet }) {
            let Action::JoinAck { snapshot, .. } = action else { panic!("{action:?}") };
            let chunks = snapshot.chunks().to_vec();
            let mut tail = Vec::new();
            snapshot.write_tail(&mut tail);
            assert!(chunks.len() * 3_900 + tail.len() >= 1_000 * ConnId::LEN);
            black_box((chunks, tail));
        }
    }
}

/// A packet of 96 bytes.
fn chat() -> PacketRef<'static> {
    PacketRef { room: ROOT, event: "chat", payload: &[7; 68], ..PacketRef::default() }
}

/// So many masked binary frames of 64 bytes each. Reading them unmasks them in place; what the
/// next reading then makes of them is as good.
fn frames(count: usize) -> Vec<u8> {
    let mut frame = vec![0x82, 0x80 | 64, 1, 2, 3, 4];
    frame.extend_from_slice(&[7; 64]);
    frame.repeat(count)
}

/// Reads messages and tells how many there were.
fn read(session: &mut Session, limits: &Limits, chunk: &mut [u8]) -> usize {
    let mut feed = session.feed(limits, chunk);
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

/// A hub with so many connections in root.
fn hub(connections: usize) -> (Hub, Vec<ConnKey>) {
    let mut hub = Hub::new(Config::default(), HashKey([7; 16]));
    let mut conns = Vec::new();
    for number in 0..connections {
        for action in hub.handle(Duration::ZERO, Input::Open { id: id(number) }) {
            if let Action::Opened { conn } = action {
                conns.push(conn);
            }
        }
    }
    assert_eq!(conns.len(), connections);
    (hub, conns)
}

/// Handles one input, walks everybody who is to hear of it and tells how many they are.
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
