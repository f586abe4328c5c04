//! Tests rooms that are created and removed repeatedly.

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use super::super::process::Process;
use super::{ALLOCATOR_ALLOWANCE, Crowd};
use roomer_conformance::client::TIMEOUT;
use roomer_conformance::wire;

/// The number of rooms that are joined and left in a batch.
const BATCH_SIZE: usize = 500;
const BATCHES: usize = 200;

#[test]
fn joining_and_leaving_100000_rooms_leaves_no_state() {
    let mut process = Process::start("quiet=1");
    let mut client = process.client();
    let mut join_and_leave = |batches: std::ops::Range<usize>| {
        for batch in batches {
            let rooms =
                (batch * BATCH_SIZE..(batch + 1) * BATCH_SIZE).map(|room| format!("room-{room}"));
            let talk = rooms.map(|room| {
                [wire::to_room(&room, "join", b""), wire::to_room(&room, "leave", b"")].concat()
            });
            let (talk, mut writer) =
                (talk.collect::<Vec<_>>().concat(), client.stream.try_clone().unwrap());
            thread::scope(|scope| {
                scope.spawn(move || writer.write_all(&talk).unwrap());
                for _ in 0..BATCH_SIZE {
                    assert_eq!(client.expect_view().event, b"join_ack");
                    assert_eq!(client.expect_view().event, b"leave_ack");
                }
            });
        }
    };
    join_and_leave(0..10);
    let before = process.level();
    join_and_leave(10..BATCHES);
    let numbers = process.numbers();
    assert_eq!((numbers.rooms, numbers.memberships), (1, 1), "only root");
    let grown = process.level().memory.saturating_sub(before.memory);
    // If 95,000 rooms were not freed, they would need far more than this, with any allocator.
    assert!(grown < 1024, "{grown} KiB for removed rooms");
    client.close();
    process.recovers(before, ALLOCATOR_ALLOWANCE / 6);
    process.stop();
}

#[test]
fn unread_acks_and_snapshots_are_bounded() {
    let mut process = Process::start("quiet=1 message=1000000 close=500");
    let mut other = Crowd::gather(&process, 1, "lobby");
    let before = process.level();
    process.forget_peak();
    let mut stuck = process.client();
    stuck.stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let talk = [wire::to_room("lobby", "join", b""), wire::to_room("lobby", "leave", b"")];
    let talk = talk.concat().repeat(500);
    let id = stuck.id.clone();
    thread::scope(|scope| {
        let stuck = &mut stuck;
        // If the server neither closes the connection nor stops reading, these are 100,000 joins
        // and leaves.
        scope.spawn(move || {
            for _ in 0..200 {
                if stuck.stream.write_all(&talk).is_err() {
                    break;
                }
            }
            // The shutdown fails if the connection has already ended.
            let _ = stuck.stream.shutdown(Shutdown::Write);
        });
        let (deadline, mut is_in) = (Instant::now() + 2 * TIMEOUT, false);
        while process.numbers().connections > 1 {
            assert!(Instant::now() < deadline, "the connection neither continues nor ends");
            // The other client must be notified of every join and leave, in order.
            other.turn(|_, _, view| {
                assert_eq!(view.event == b"new_member", !is_in, "a notice out of order");
                assert_eq!(view.payload, id.as_bytes());
                is_in = !is_in;
                false
            });
        }
    });
    let grown = process.peak().saturating_sub(before.memory);
    assert!(grown < 10 * 1024, "{grown} KiB for unread acks");
    eprintln!("{grown} KiB for unread acks");
    drop((stuck, other));
    process.recovers(before, ALLOCATOR_ALLOWANCE / 2);
    process.stop();
}
