//! Tests a process that is suspended by SIGSTOP for a while.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::super::process::Process;
use super::Crowd;
use roomer_conformance::wire;

/// Short timeouts. They are long enough for clients that a busy machine does not run for a while.
const OPTIONS: &str = "quiet=1 ping=500 pong=5000";

/// The time for which the process is suspended: longer than its timeouts.
const STOP: Duration = Duration::from_secs(6);

#[test]
fn stopped_process_does_not_time_out_clients() {
    let mut process = Process::start(OPTIONS);
    let mut crowd = Crowd::gather(&process, 40, "lobby");
    let mut pass = |time: Duration| {
        let end = Instant::now() + time;
        while Instant::now() < end {
            crowd.turn(|_, _, _| false);
        }
    };
    // Wait for some pings and pongs.
    pass(Duration::from_millis(1200));
    process.signal(Signal::STOP);
    pass(STOP);
    process.signal(Signal::CONT);
    // If the timeouts included the suspension, connections would be closed within this time.
    pass(Duration::from_millis(3500));
    let numbers = process.numbers();
    assert_eq!((numbers.connections, numbers.lost), (40, 0), "{numbers:?}");
    assert!(numbers.closes.is_empty(), "{numbers:?}");
    crowd.peers[0].send(&wire::to_room("lobby", "hello", b""));
    let mut left = 39;
    crowd.until(|_, _, view| {
        left -= usize::from(view.event == b"hello");
        left == 0
    });
    drop(crowd);
    process.until(|numbers| numbers.sockets == 0);
    process.stop();
}
