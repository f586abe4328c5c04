//! A blocking WebSocket client for tests.
//!
//! A test states which event must be received next, and fails on any other event. Each received
//! frame is checked against the rules for frames from servers ([`wire::incoming`]), and each
//! message must be binary.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;

pub use crate::http::TIMEOUT;
use crate::http::{HttpRequest, HttpResponse, dial, uninterrupted};
use crate::wire::{self, Frame, Packet, PacketView};

/// Waits for all nodes of a cluster after each step of a client, so that tests can be written as if
/// all clients were connected to one server.
pub trait Settle: Send + Sync {
    /// Waits until all nodes show a client as a member of a room.
    fn joined(&self, id: &str, room: &str);

    /// Waits until no node shows a client as a member of a room, or of any room.
    fn left(&self, id: &str, room: Option<&str>);

    /// Makes each of the other nodes send the event `fence` to a client. Returns the number of
    /// these nodes.
    fn fence(&self, id: &str) -> usize;
}

pub struct Client {
    pub stream: TcpStream,
    /// If the client is connected to a node of a cluster, waits for the other nodes.
    pub settle: Option<Arc<dyn Settle>>,
    /// Bytes read from the socket. Those before `at` have been consumed.
    inbox: Vec<u8>,
    at: usize,
    is_reset: bool,
    pub id: String,
    /// The members of `root` in the client's first `join_ack`.
    pub root_members: Vec<String>,
    fences: u32,
}

/// An event that a client has received.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    Packet(Packet),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    /// The peer closed the stream.
    End,
    /// The peer reset the stream.
    Reset,
}

/// An event that a client has received, with the position of its payload in the inbox.
enum Incoming {
    Frame { opcode: u8, start: usize, end: usize },
    End,
    Reset,
}

impl Client {
    /// Connects a client and waits until it has joined `root`.
    pub fn connect(addr: SocketAddr) -> Client {
        Client::upgrade(dial(addr), &HttpRequest::upgrade(addr))
    }

    /// Connects with a given request.
    pub fn upgrade(mut stream: TcpStream, request: &HttpRequest) -> Client {
        stream.write_all(&request.bytes()).unwrap();
        Client::established(stream)
    }

    /// Completes a handshake whose request has been sent already: reads the response, and waits for
    /// the first `join_ack`.
    pub fn established(stream: TcpStream) -> Client {
        let mut client = Client::unread(stream);
        let ack = client.expect_packet();
        client.id.clone_from(&ack.src);
        client.root_members = client.snapshot("root", ack);
        client
    }

    /// Completes a handshake whose request has been sent already. Reads no packet after it.
    pub fn unread(mut stream: TcpStream) -> Client {
        let (response, inbox) = HttpResponse::read_head(&mut stream);
        assert_eq!(response.status, 101, "{response:?}");
        let (id, root_members) = (String::new(), Vec::new());
        Client { stream, settle: None, inbox, at: 0, is_reset: false, id, root_members, fences: 0 }
    }

    /// Sends raw bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Sends a message to all members of `room`, without waiting for delivery.
    pub fn send_to_room(&mut self, room: &str, event: &str, payload: &[u8]) {
        self.send(&wire::to_room(room, event, payload));
    }

    /// Sends a direct message to one client.
    pub fn send_to_client(&mut self, dst: &str, room: &str, event: &str, payload: &[u8]) {
        self.send(&wire::to_client(dst, room, event, payload));
    }

    /// Joins a room. The `join_ack` must be the next packet. Returns the members in it.
    pub fn join(&mut self, room: &str) -> Vec<String> {
        self.send_to_room(room, "join", b"");
        let ack = self.expect_packet();
        self.snapshot(room, ack)
    }

    /// Leaves `root` at the start of a test. Before the answer, notices about other clients may
    /// arrive.
    pub fn leave_root(&mut self) {
        self.send_to_room("root", "leave", b"");
        loop {
            let packet = self.expect_packet();
            assert_eq!(packet.room, "root");
            match &*packet.event {
                "new_member" | "member_left" => {}
                "leave_ack" => return,
                _ => panic!("{packet:?}"),
            }
        }
    }

    /// Leaves a room. The `leave_ack` must be the next packet.
    pub fn leave(&mut self, room: &str) {
        self.send_to_room(room, "leave", b"");
        self.expect_left(room);
    }

    pub fn expect_left(&mut self, room: &str) {
        let id = self.id.clone();
        self.expect(room, "leave_ack", "", &id, id.as_bytes());
        if let Some(nodes) = &self.settle {
            nodes.left(&id, Some(room));
        }
    }

    /// Checks every byte of a `join_ack`. Returns the members in it.
    pub fn snapshot(&self, room: &str, ack: Packet) -> Vec<String> {
        let names = (&*ack.room, &*ack.event, &*ack.dst, &*ack.src);
        assert_eq!(names, (room, "join_ack", "", &*self.id));
        let json = String::from_utf8(ack.payload).expect("JSON is UTF-8");
        if json.starts_with('{') {
            // In an extended client's list, an entry contains more than the member's id.
            let list: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            let ids = list["members"].as_array().expect("members").iter();
            return ids.map(|member| member[0].as_str().expect("an id").into()).collect();
        }
        let inner = json.strip_prefix('[').and_then(|json| json.strip_suffix(']'));
        let cells = inner.unwrap_or_else(|| panic!("not an array: {json}")).split(',');
        let unquote = |cell: &str| {
            let id = cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"'));
            let id = id.unwrap_or_else(|| panic!("not a string: {cell} in {json}"));
            assert_eq!(id.len(), 36, "{json}");
            id.to_owned()
        };
        let members: Vec<String> = cells.map(unquote).collect();
        let mut once = members.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), members.len(), "a member is listed twice: {json}");
        assert!(members.contains(&self.id), "the joining client is missing: {json}");
        if let Some(nodes) = &self.settle {
            nodes.joined(&self.id, room);
        }
        members
    }

    /// Requires that exactly this packet is received next.
    #[track_caller]
    pub fn expect(&mut self, room: &str, event: &str, dst: &str, src: &str, payload: &[u8]) {
        let expected = Packet {
            room: room.into(),
            event: event.into(),
            dst: dst.into(),
            src: src.into(),
            payload: payload.into(),
        };
        assert_eq!(self.receive(), Received::Packet(expected));
    }

    #[track_caller]
    pub fn expect_new_member(&mut self, room: &str, id: &str) {
        self.expect(room, "new_member", "", "", id.as_bytes());
    }

    #[track_caller]
    pub fn expect_member_left(&mut self, room: &str, id: &str) {
        self.expect(room, "member_left", "", "", id.as_bytes());
    }

    /// Checks that no other packet is pending: sends a message to this client itself, which must be
    /// received next.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        self.fences += 1;
        let (id, mark) = (self.id.clone(), self.fences.to_be_bytes());
        // Messages that other nodes have sent before must arrive before their fences.
        for _ in 0..self.settle.as_ref().map_or(0, |nodes| nodes.fence(&id)) {
            self.expect("root", "fence", &id, "", b"");
        }
        self.send_to_client(&id, "fence", "fence", &mark);
        self.expect("fence", "fence", &id, &id, &mark);
    }

    /// Requires that a close frame with this code is received next, and then the end of the stream.
    /// Returns the reason.
    #[track_caller]
    pub fn expect_close(&mut self, code: u16) -> String {
        let Received::Close(Some(seen), reason) = self.receive() else {
            panic!("not a close frame with a code")
        };
        assert_eq!(seen, code, "{reason}");
        self.expect_end();
        reason
    }

    /// Requires that the end of the stream is received next, without a reset.
    #[track_caller]
    pub fn expect_end(&mut self) {
        assert_eq!(self.receive(), Received::End);
    }

    /// Performs the closing handshake: close frames in both directions, then the end of the stream.
    pub fn close(mut self) {
        self.send(&wire::close(1000, ""));
        self.expect_close(1000);
        if let Some(nodes) = &self.settle {
            nodes.left(&self.id, None);
        }
    }

    /// Closes the connection with a reset.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Ends the sending direction of the stream.
    pub fn shutdown_write(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Requires that a packet is received next, and returns it.
    #[track_caller]
    pub fn expect_packet(&mut self) -> Packet {
        match self.receive() {
            Received::Packet(packet) => packet,
            other => panic!("not a packet: {other:?}"),
        }
    }

    /// Like [`expect_packet`](Self::expect_packet), but does not copy the packet.
    #[track_caller]
    pub fn expect_view(&mut self) -> PacketView<'_> {
        PacketView::decode(self.expect_message())
    }

    /// Requires that a message is received next. Returns its bytes, which are not checked.
    #[track_caller]
    pub fn expect_message(&mut self) -> &[u8] {
        match self.incoming() {
            Incoming::Frame { opcode: wire::BINARY, start, end } => &self.inbox[start..end],
            Incoming::Frame { opcode, start, end } => {
                panic!("opcode {opcode}: {}", self.inbox[start..end].escape_ascii())
            }
            Incoming::End | Incoming::Reset => panic!("the stream has ended"),
        }
    }

    /// Waits for the next event.
    pub fn receive(&mut self) -> Received {
        let (opcode, data) = match self.incoming() {
            Incoming::Frame { opcode, start, end } => (opcode, &self.inbox[start..end]),
            Incoming::End => return Received::End,
            Incoming::Reset => return Received::Reset,
        };
        match opcode {
            wire::BINARY => Received::Packet(PacketView::decode(data).into()),
            wire::PING => Received::Ping(data.to_vec()),
            wire::PONG => Received::Pong(data.to_vec()),
            wire::CLOSE => match data.split_first_chunk() {
                Some((code, reason)) => {
                    let reason = String::from_utf8(reason.to_vec()).expect("reasons are UTF-8");
                    Received::Close(Some(u16::from_be_bytes(*code)), reason)
                }
                None => {
                    assert_eq!(data.len(), 0, "half a close code");
                    Received::Close(None, String::new())
                }
            },
            _ => panic!("opcode {opcode}: {}", data.escape_ascii()),
        }
    }

    /// Lets time pass. Returns true if no bytes arrive for this long and the connection stays open.
    /// A test must not conclude from this that nothing would have arrived later.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        if self.at < self.inbox.len() {
            return false;
        }
        self.stream.set_read_timeout(Some(time)).unwrap();
        let result = uninterrupted(|| self.stream.peek(&mut [0]));
        self.stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        matches!(result, Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    fn incoming(&mut self) -> Incoming {
        loop {
            let at = self.at;
            if let Some(Frame { opcode, payload }) = wire::incoming(&self.inbox[at..]) {
                self.at += payload.end;
                return Incoming::Frame {
                    opcode,
                    start: at + payload.start,
                    end: at + payload.end,
                };
            }
            if !self.read() {
                return self.ending();
            }
        }
    }

    /// Returns how the stream has ended. It must not end within a frame.
    fn ending(&self) -> Incoming {
        assert_eq!(self.at, self.inbox.len(), "the stream ended within a frame");
        if self.is_reset { Incoming::Reset } else { Incoming::End }
    }

    /// Reads at most this many bytes without parsing them, as over a slow link. Returns the number
    /// of bytes read.
    pub fn read_some(&mut self, most: usize) -> usize {
        let size = self.inbox.len();
        self.inbox.resize(size + most, 0);
        let read = uninterrupted(|| self.stream.read(&mut self.inbox[size..]));
        let read = read.expect("the connection is open");
        assert_ne!(read, 0, "the connection was closed");
        self.inbox.truncate(size + read);
        read
    }

    /// Reads more bytes into the inbox. Returns false at the end of the stream.
    fn read(&mut self) -> bool {
        self.inbox.drain(..std::mem::take(&mut self.at));
        let mut chunk = [0; 16 * 1024];
        match uninterrupted(|| self.stream.read(&mut chunk)) {
            Ok(0) => false,
            Ok(size) => {
                self.inbox.extend_from_slice(&chunk[..size]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                self.is_reset = true;
                false
            }
            Err(error) => panic!("nothing arrives: {error}"),
        }
    }
}

/// Makes the clients join a new room in order. Consumes the notices about those that join later.
pub fn join_all(room: &str, members: &mut [Client]) {
    for i in 0..members.len() {
        let snapshot = members[i].join(room);
        assert_eq!(snapshot.len(), i + 1);
        let id = members[i].id.clone();
        for earlier in &mut members[..i] {
            assert!(snapshot.contains(&earlier.id));
            earlier.expect_new_member(room, &id);
        }
    }
}

/// Checks for each client that no event is pending.
#[track_caller]
pub fn expect_nothing<const N: usize>(clients: [&mut Client; N]) {
    for client in clients {
        client.expect_nothing();
    }
}
