//! Ports for servers that tests stop and start again at the same address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process;
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, Socket, Type};

/// The first port of the range. The range lies below the ports that the kernel assigns to sockets
/// bound to port 0, which other tests use constantly.
const FIRST: u16 = 10_000;

/// The number of blocks of ports, and of ports in each. A block belongs to one process. The tests
/// of the JavaScript client divide the range in the same way (`js/test/support/port.js`).
const BLOCKS: u32 = 340;
const SIZE: u16 = 64;

/// The blocks of this process.
struct Blocks {
    /// For each block, a UDP socket that is bound to the number of its first port.
    locks: Vec<UdpSocket>,
    /// The next port of the last block, and the number of ports after it.
    next: (u16, u16),
}

/// Returns a loopback port that is not in use, and that stays free while the test's server is down.
///
/// A check for listening sockets would not be enough: while a test's server is down, another
/// process could start a server at its port. So the process keeps a UDP socket bound to the first
/// number of each of its blocks until it ends. Servers use TCP, whose port numbers are separate.
pub fn own_port() -> u16 {
    static OWN: Mutex<Blocks> = Mutex::new(Blocks { locks: Vec::new(), next: (0, 0) });
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if own.next.1 == 0 {
            let (first, lock) = reserve_block();
            own.locks.push(lock);
            own.next = (first, SIZE);
        }
        let (port, left) = own.next;
        own.next = (port + 1, left - 1);
        if bind(port).is_ok() {
            return port;
        }
    }
}

/// Binds a socket to a loopback port, which fails if another program uses the port.
///
/// The socket does not listen, so that a server can start while the socket still exists. A child
/// process that another thread of this process starts has a copy of the socket until it executes
/// its program, which can take long on a busy machine. With a copy of a listening socket, the port
/// would be in use until then.
pub fn bind(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // Servers set this option as well, so their listeners do not conflict with this socket.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    Ok(socket)
}

/// Reserves a block that no other process has. Returns its first port, and the socket that keeps
/// the block reserved.
fn reserve_block() -> (u16, UdpSocket) {
    let starts = (0..BLOCKS).map(|n| {
        let block = (process::id() + n) % BLOCKS;
        FIRST + block as u16 * SIZE
    });
    let lock = |first| UdpSocket::bind((Ipv4Addr::LOCALHOST, first)).ok();
    starts
        .filter_map(|first| Some((first, lock(first)?)))
        .next()
        .expect("other processes have reserved all ports")
}
