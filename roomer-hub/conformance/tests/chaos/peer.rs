//! One WebSocket client of many on one thread: nothing in it waits.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use roomer_conformance::http::HttpRequest;
use roomer_conformance::wire::{self, Frame};

/// Bytes that are read of one connection before others have their turn.
const TURN: usize = 256 * 1024;

/// See [`Width::Narrow`], in bytes.
const NARROW: usize = 16 * 1024;

pub(super) struct Peer {
    stream: TcpStream,
    /// What was read; everything before `at` is used up.
    inbox: Vec<u8>,
    at: usize,
    outbox: Vec<u8>,
    is_upgraded: bool,
    end: Option<End>,
}

/// How the other side ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Fin,
    Reset,
}

/// How much a client's own kernel takes for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Usual,
    /// So little that the server often has to wait for it.
    Narrow,
}

/// A socket that waits for nothing, not even for being connected.
pub(super) fn dial(addr: SocketAddr, width: Width) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("descriptors");
    socket.set_nonblocking(true).unwrap();
    if width == Width::Narrow {
        socket.set_recv_buffer_size(NARROW).unwrap();
    }
    socket.set_tcp_nodelay(true).unwrap();
    match socket.connect(&addr.into()) {
        Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => panic!("no way in: {error}"),
        _ => socket.into(),
    }
}

const IN_PROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

impl Peer {
    /// Sets out to come in.
    pub(super) fn dial(addr: SocketAddr, width: Width) -> Peer {
        let stream = dial(addr, width);
        let outbox = HttpRequest::upgrade(addr).bytes();
        Peer { stream, inbox: Vec::new(), at: 0, outbox, is_upgraded: false, end: None }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
    }

    /// Bytes that the socket has not taken yet.
    pub(super) fn unsent(&self) -> usize {
        self.outbox.len()
    }

    /// Bytes that were read and not looked at yet.
    pub(super) fn unread(&self) -> usize {
        self.inbox.len() - self.at
    }

    pub(super) fn flush(&mut self) {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(size) => drop(self.outbox.drain(..size)),
                Err(error) if is_early(&error) => return,
                // Reading tells how the connection has ended.
                Err(_) => return self.outbox.clear(),
            }
        }
    }

    /// Reads what is there, though not for ever. True when there was something.
    pub(super) fn read(&mut self) -> bool {
        if self.at > self.inbox.len() / 2 {
            self.inbox.drain(..std::mem::take(&mut self.at));
        }
        let mut chunk = [0; 64 * 1024];
        let mut total = 0;
        while self.end.is_none() && total < TURN {
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

    /// The next frame of what was read. The answer to the handshake must be 101.
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

    /// How the connection has ended, once everything before the end was used.
    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    /// Ends the writing direction.
    pub(super) fn hang_up(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Goes so that the other side sees a reset.
    pub(super) fn reset(self) {
        reset(&self.stream);
    }
}

/// Has the socket end by a reset when it is dropped.
pub(super) fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Whether an error only says that it is too early.
pub(super) fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected)
}
