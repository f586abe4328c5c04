//! Rooms that come and go.

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use super::super::process::Process;
use super::{Crowd, GRANT};
use roomer_conformance::client::TIMEOUT;
use roomer_conformance::wire;

/// Rooms that are joined and left, in goes.
const GO: usize = 500;
const GOES: usize = 200;

#[test]
fn a_hundred_thousand_rooms_joined_and_left_leave_nothing_behind() {
    let mut process = Process::start("quiet=1");
    let mut client = process.client();
    let mut visit = |goes: std::ops::Range<usize>| {
        for go in goes {
            let rooms = (go * GO..(go + 1) * GO).map(|room| format!("room-{room}"));
            let talk = rooms.map(|room| {
                [wire::to_room(&room, "join", b""), wire::to_room(&room, "leave", b"")].concat()
            });
            let (talk, mut writer) =
                (talk.collect::<Vec<_>>().concat(), client.stream.try_clone().unwrap());
            thread::scope(|scope| {
                scope.spawn(move || writer.write_all(&talk).unwrap());
                for _ in 0..GO {
                    assert_eq!(client.expect_view().event, b"join_ack");
                    assert_eq!(client.expect_view().event, b"leave_ack");
                }
            });
        }
    };
    visit(0..10);
    let before = process.level();
    visit(10..GOES);
    let numbers = process.numbers();
    assert_eq!((numbers.rooms, numbers.memberships), (1, 1), "only root");
    let grown = process.level().memory.saturating_sub(before.memory);
    assert!(grown < 1024, "{grown} KiB for rooms that are no more");
    client.close();
    process.recovers(before, GRANT / 6);
    process.stop();
}

#[test]
fn unread_acks_and_snapshots_are_bounded() {
    let mut process = Process::start("quiet=1 message=1000000 close=500");
    let mut witness = Crowd::gather(&process, 1, "lobby");
    let before = process.level();
    process.forget_peak();
    let mut deaf = process.client();
    deaf.stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let talk = [wire::to_room("lobby", "join", b""), wire::to_room("lobby", "leave", b"")];
    let talk = talk.concat().repeat(500);
    let id = deaf.id.clone();
    thread::scope(|scope| {
        let deaf = &mut deaf;
        // 100,000 visits, unless it is closed in the midst of it, or not read any more.
        scope.spawn(move || {
            for _ in 0..200 {
                if deaf.stream.write_all(&talk).is_err() {
                    break;
                }
            }
            // It may be cut already.
            let _ = deaf.stream.shutdown(Shutdown::Write);
        });
        let (start, mut is_in) = (Instant::now(), false);
        while process.numbers().connections > 1 {
            assert!(start.elapsed() < 2 * TIMEOUT, "it neither goes on nor ends");
            // The witness hears of each coming and going, by turns.
            witness.turn(|_, _, view| {
                assert_eq!(view.event == b"new_member", !is_in, "out of turn");
                assert_eq!(view.payload, id.as_bytes());
                is_in = !is_in;
                false
            });
        }
    });
    let grown = process.peak().saturating_sub(before.memory);
    assert!(grown < 10 * 1024, "{grown} KiB for unread acks");
    eprintln!("{grown} KiB for unread acks");
    drop((deaf, witness));
    process.recovers(before, GRANT / 2);
    process.stop();
}
