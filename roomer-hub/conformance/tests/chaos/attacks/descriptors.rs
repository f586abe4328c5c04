//! Tests a process that has few file descriptors, or none left.

use std::io::Read;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::super::process::Process;
use super::ALLOCATOR_ALLOWANCE;
use roomer_conformance::client::{Client, TIMEOUT};
use roomer_conformance::programs::until;

/// The limit on the descriptors of the process, and how many of them the application uses itself.
/// The server would serve more sockets than are left.
const LIMIT: usize = 200;
const FILES: usize = 130;
/// A limit of which the server keeps half in reserve.
const LOW: usize = 80;
const CONNECTING: usize = 150;

/// The number of samples of the idle process.
const LOOKS: usize = 50;
/// The maximum number of samples in which the idle process may be runnable. A process that spins is
/// always runnable, even if it gets little CPU time.
const BUSY: usize = 10;

#[test]
fn descriptor_exhaustion_spares_open_clients() {
    // The handshakes time out only after the test.
    let options = format!("quiet=1 descriptors={LIMIT} files={FILES} handshake=600000");
    let mut process = Process::start(&options);
    let before = process.level();
    let [mut a, mut b] = [(); 2].map(|()| process.client());
    a.join("lobby");
    b.join("lobby");
    a.expect_new_member("lobby", &b.id);
    let connecting: Vec<TcpStream> =
        (0..CONNECTING).map(|_| TcpStream::connect(process.addr).unwrap()).collect();
    let deadline = Instant::now() + TIMEOUT;
    while process.level().descriptors < LIMIT - 1 {
        assert!(Instant::now() < deadline, "free descriptors: {:?}", process.level());
        talk(&mut a, &mut b);
    }
    let look = |_: &usize| {
        thread::sleep(Duration::from_millis(20));
        process.is_runnable()
    };
    // On a busy machine, a process that has woken up stays runnable for a while, so try again.
    until("the process spins", || ((0..LOOKS).filter(look).count() < BUSY).then_some(()));
    for _ in 0..50 {
        talk(&mut a, &mut b);
    }
    drop(connecting);
    // The waiting client must be accepted without any other event.
    let mut c = process.client();
    c.expect_nothing();
    assert!(process.numbers().lost == 0, "open clients were cut");
    drop([a, b, c]);
    process.recovers(before, ALLOCATOR_ALLOWANCE / 4);
    process.stop();
}

#[test]
fn clients_cannot_use_reserved_descriptors() {
    let mut process = Process::start(&format!("quiet=1 descriptors={LOW}"));
    let [mut a, mut b] = [(); 2].map(|()| process.client());
    a.join("lobby");
    b.join("lobby");
    a.expect_new_member("lobby", &b.id);
    let connecting: Vec<TcpStream> =
        (0..CONNECTING).map(|_| TcpStream::connect(process.addr).unwrap()).collect();
    let mut rejected = TcpStream::connect(process.addr).unwrap();
    // The response may be lost, since the server does not wait until so many clients have read it.
    let mut response = Vec::new();
    let _ = rejected.read_to_end(&mut response);
    assert!(response.is_empty() || response.starts_with(b"HTTP/1.1 503"), "{response:?}");
    for _ in 0..50 {
        talk(&mut a, &mut b);
        assert!(process.level().descriptors < LOW - 10, "{:?}", process.level());
    }
    drop(connecting);
    process.until(|numbers| numbers.sockets == 2);
    let mut c = process.client();
    c.expect_nothing();
    drop([a, b, c]);
    process.stop();
}

fn talk(a: &mut Client, b: &mut Client) {
    a.send_to_room("lobby", "hello", b"a");
    b.expect("lobby", "hello", "", &a.id, b"a");
    b.send_to_room("lobby", "hello", b"b");
    a.expect("lobby", "hello", "", &b.id, b"b");
}
