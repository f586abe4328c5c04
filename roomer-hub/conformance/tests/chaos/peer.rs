//! A non-blocking WebSocket client. A single thread can drive many of them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use roomer_conformance::http::HttpRequest;
use roomer_conformance::wire::{self, Frame};

/// The maximum number of bytes that are read from one connection before the next one is read.
const MAX_READ: usize = 256 * 1024;

/// The size of [`ReceiveBuffer::Small`], in bytes.
const SMALL_BUFFER: usize = 16 * 1024;

pub(super) struct Peer {
    stream: TcpStream,
    /// Bytes read from the socket. Those before `at` have been consumed.
    inbox: Vec<u8>,
    at: usize,
    outbox: Vec<u8>,
    is_upgraded: bool,
    end: Option<End>,
}

/// The way in which the server has ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Fin,
    Reset,
}

/// The receive buffer of a client's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReceiveBuffer {
    Default,
    /// The buffer is so small that the server often has to wait for the client.
    Small,
}

/// Opens a non-blocking socket. It may still be connecting when this returns.
pub(super) fn dial(addr: SocketAddr, receive_buffer: ReceiveBuffer) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("descriptors");
    socket.set_nonblocking(true).unwrap();
    if receive_buffer == ReceiveBuffer::Small {
        socket.set_recv_buffer_size(SMALL_BUFFER).unwrap();
    }
    socket.set_tcp_nodelay(true).unwrap();
    match socket.connect(&addr.into()) {
        Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => {
            panic!("cannot connect: {error}")
        }
        _ => socket.into(),
    }
}

const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

impl Peer {
    /// Starts to connect, and sends the upgrade request as soon as possible.
    pub(super) fn dial(addr: SocketAddr, receive_buffer: ReceiveBuffer) -> Peer {
        Peer::dial_at(addr, receive_buffer, "/ws")
    }

    /// Like `dial`, but requests this path and query.
    pub(super) fn dial_at(addr: SocketAddr, receive_buffer: ReceiveBuffer, target: &str) -> Peer {
        let stream = dial(addr, receive_buffer);
        let outbox = HttpRequest::upgrade(addr).target(target).bytes();
        let mut peer =
            Peer { stream, inbox: Vec::new(), at: 0, outbox, is_upgraded: false, end: None };
        // On loopback, the socket is usually connected already. On a busy machine, the next turn may
        // come later than the timeout of the handshake.
        peer.flush();
        peer
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
    }

    /// Returns the number of bytes that are queued but not sent yet.
    pub(super) fn unsent(&self) -> usize {
        self.outbox.len()
    }

    /// Returns the number of bytes that were read but not parsed yet.
    pub(super) fn unread(&self) -> usize {
        self.inbox.len() - self.at
    }

    pub(super) fn flush(&mut self) {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(size) => drop(self.outbox.drain(..size)),
                Err(error) if is_early(&error) => return,
                // The next read returns how the connection has ended.
                Err(_) => return self.outbox.clear(),
            }
        }
    }

    /// Reads the bytes that have arrived, up to [`MAX_READ`]. Returns true if there were any.
    pub(super) fn read(&mut self) -> bool {
        if self.at > self.inbox.len() / 2 {
            self.inbox.drain(..std::mem::take(&mut self.at));
        }
        let mut chunk = [0; 64 * 1024];
        let mut total = 0;
        while self.end.is_none() && total < MAX_READ {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.end = Some(End::Fin),
                Ok(size) => {
                    self.inbox.extend_from_slice(&chunk[..size]);
                    total += size;
                    if size < chunk.len() {
                        break;
                    }
                }
                Err(error) if is_early(&error) => break,
                Err(_) => self.end = Some(End::Reset),
            }
        }
        total > 0
    }

    /// Returns the next complete frame. Requires that the response to the handshake had the status
    /// 101.
    pub(super) fn next(&mut self) -> Option<(u8, &[u8])> {
        if !self.is_upgraded {
            let head = self.inbox.windows(4).position(|four| four == b"\r\n\r\n")?;
            let head = &self.inbox[..head + 4];
            assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
            self.at += head.len();
            self.is_upgraded = true;
        }
        let at = self.at;
        let Frame { opcode, payload } = wire::incoming(&self.inbox[at..])?;
        self.at += payload.end;
        Some((opcode, &self.inbox[at + payload.start..at + payload.end]))
    }

    /// Returns how the connection has ended; `None` if it is open.
    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    /// Ends the sending direction of the stream.
    pub(super) fn shutdown_write(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Closes the connection with a TCP reset.
    pub(super) fn reset(self) {
        reset(&self.stream);
    }
}

/// Configures a socket so that dropping it sends a reset.
pub(super) fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Returns true if the operation cannot complete yet, and must be tried again later.
pub(super) fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected)
}
