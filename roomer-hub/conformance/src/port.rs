//! Ports for servers that tests stop and start again at the same address.

use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The first port of the range. The range lies below the ports that the kernel assigns to sockets
/// bound to port 0, which other tests use constantly.
const FIRST: usize = 10_000;
/// The size of the port range.
const COUNT: usize = 22_000;

/// The number of ports per process. Test processes that run at the same time start at different
/// offsets.
const OWN: usize = 64;

/// Returns a loopback port that is not in use, and that stays free while the test's server is down.
pub fn own_port() -> u16 {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    loop {
        let number = process::id() as usize * OWN + TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = (FIRST + number % COUNT) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
