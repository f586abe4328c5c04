//! A process that has no file descriptors left.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::super::process::Process;
use super::GRANT;
use roomer_conformance::client::{Client, TIMEOUT};

/// What the process may have, and how many want to come in.
const LIMIT: usize = 80;
const KNOCKING: usize = 150;

/// How often to look whether the process has something to do while nothing happens, and how often
/// it may have. One that spins always has, also where others leave it little CPU time.
const LOOKS: usize = 50;
const BUSY: usize = 10;

#[test]
fn without_descriptors_old_clients_go_on_nothing_spins_and_it_comes_back_by_itself() {
    let mut process = Process::start(&format!("quiet=1 descriptors={LIMIT}"));
    let before = process.level();
    let [mut a, mut b] = [(); 2].map(|()| process.client());
    a.join("lobby");
    b.join("lobby");
    a.expect_new_member("lobby", &b.id);
    let knocking: Vec<TcpStream> =
        (0..KNOCKING).map(|_| TcpStream::connect(process.addr).unwrap()).collect();
    let start = Instant::now();
    while process.level().descriptors < LIMIT - 1 {
        assert!(start.elapsed() < TIMEOUT, "it has descriptors left: {:?}", process.level());
        talk(&mut a, &mut b);
    }
    let look = |_: &usize| {
        thread::sleep(Duration::from_millis(20));
        process.is_runnable()
    };
    let busy = (0..LOOKS).filter(look).count();
    assert!(busy < BUSY, "it spins: busy at {busy} of {LOOKS} looks");
    for _ in 0..50 {
        talk(&mut a, &mut b);
    }
    drop(knocking);
    // Somebody new comes in, without anybody's help.
    let mut c = process.client();
    c.expect_nothing();
    assert!(process.numbers().lost == 0, "old clients are lost");
    drop([a, b, c]);
    process.recovers(before, GRANT / 4);
    process.stop();
}

fn talk(a: &mut Client, b: &mut Client) {
    a.send_to_room("lobby", "hello", b"a");
    b.expect("lobby", "hello", "", &a.id, b"a");
    b.send_to_room("lobby", "hello", b"b");
    a.expect("lobby", "hello", "", &b.id, b"b");
}
