//! Opens connections: the socket and the WebSocket handshake.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::net::TcpStream;
use socket2::{Domain, SockRef, Socket, Type};

use crate::options::Target;

/// The key in the example of RFC 6455, and the accept value that the server must compute.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The number of connections from each source address. By default, a server permits 8,192
/// handshakes per address at the same time.
const PER_ADDRESS: usize = 8_000;
/// The first port of each source address.
const FIRST_PORT: usize = 10_000;

/// The maximum length of the head of a response, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Source addresses in 127/8 that only this run uses, with ports that are assigned here. Otherwise
/// the kernel's search for a free port would be slow or fail, because ports of earlier runs are in
/// TIME_WAIT.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    second: u8,
    third: u8,
}

impl Source {
    pub fn new() -> Source {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let [second, third, ..] = (now.subsec_micros().wrapping_mul(0x9e37_79b9)).to_be_bytes();
        Source { second: second.max(1), third }
    }

    fn address(self, conn: usize, attempt: usize) -> SocketAddr {
        let fourth = 1 + conn / PER_ADDRESS + 10 * attempt;
        let ip = Ipv4Addr::new(127, self.second, self.third, fourth as u8);
        SocketAddr::from((ip, (FIRST_PORT + conn % PER_ADDRESS) as u16))
    }
}

/// Creates a socket that is not connected yet.
pub fn socket(target: &Target) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target.addr), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from_std(socket.into()))
}

/// Configures a socket so that it sends a reset when it is dropped: unsent bytes are discarded, and
/// its port is free immediately.
pub fn reset(socket: &TcpStream) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

/// Creates a socket, and starts to connect it to the server.
pub fn connect(target: &Target, source: Source, conn: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target.addr), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    let local = matches!(target.addr.ip(), IpAddr::V4(ip) if ip.is_loopback());
    if local && cfg!(target_os = "linux") {
        socket.set_reuse_address(true)?;
        // Another program may listen on this port, on all addresses. In that case, try the next
        // port.
        let mut attempts = 0..4;
        attempts
            .try_for_each(|attempt| match socket.bind(&source.address(conn, attempt).into()) {
                Ok(()) => Err(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < 3 => Ok(()),
                Err(error) => Err(Err(error)),
            })
            .err()
            .unwrap_or(Ok(()))?;
    }
    match socket.connect(&target.addr.into()) {
        Err(error)
            if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
        {
            Err(explain(error, target))
        }
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// Adds a hint to the error of a connection that has failed.
pub fn explain(error: io::Error, target: &Target) -> io::Error {
    let words = match error.kind() {
        io::ErrorKind::ConnectionRefused => format!(
            "no server listens at {}: start one there, or set its address with --url",
            target.addr
        ),
        _ => format!("connecting to {}: {error}", target.addr),
    };
    io::Error::new(error.kind(), words)
}

/// Returns the request of the WebSocket handshake.
pub fn request(target: &Target) -> Vec<u8> {
    format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n",
        target.path, target.host
    )
    .into_bytes()
}

/// Returns the length of the head of a response, or `None` if it is incomplete. Returns an error if
/// it is not the expected response.
pub fn response(data: &[u8], target: &Target) -> io::Result<Option<usize>> {
    let Some(end) = data.windows(4).position(|window| window == b"\r\n\r\n") else {
        return match data.len() {
            0..MAX_HEAD => Ok(None),
            _ => Err(io::Error::other("the server's response has no end")),
        };
    };
    let head = String::from_utf8_lossy(&data[..end]);
    let status = head.lines().next().unwrap_or_default();
    let accepted = head.lines().any(|line| {
        let (name, value) = line.split_once(':').unwrap_or_default();
        name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == ACCEPT
    });
    if !status.starts_with("HTTP/1.1 101") {
        return Err(io::Error::other(format!(
            "the server rejected a WebSocket at {}: {status}",
            target.path
        )));
    }
    if !accepted {
        return Err(io::Error::other("the server's Sec-WebSocket-Accept is missing or wrong"));
    }
    Ok(Some(end + 4))
}
