//! A WebSocket client that waits for what should come, and takes nothing else.
//!
//! Whatever it reads, it checks what is true of everything a server sends: sound frames
//! ([`wire::incoming`]), binary messages only.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use crate::http::{Answer, Ask, dial};
use crate::wire::{self, Frame, Packet, View};

/// The longest that anything which should come may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Client {
    pub stream: TcpStream,
    /// What was read; everything before `at` is used up.
    inbox: Vec<u8>,
    at: usize,
    is_reset: bool,
    pub id: String,
    /// The members of `root` that the first `join_ack` told.
    pub welcome: Vec<String>,
    fences: u32,
}

/// Something that came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    Packet(Packet),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    /// The stream's end.
    End,
    /// The stream's end by a reset.
    Reset,
}

/// Where something that came in lies in the inbox.
enum Place {
    Frame { opcode: u8, start: usize, end: usize },
    End,
    Reset,
}

impl Client {
    /// Comes in and is welcomed to root.
    pub fn connect(addr: SocketAddr) -> Client {
        Client::upgrade(dial(addr), &Ask::upgrade(addr))
    }

    /// Comes in by a request of one's own.
    pub fn upgrade(mut stream: TcpStream, ask: &Ask) -> Client {
        stream.write_all(&ask.bytes()).unwrap();
        Client::welcomed(stream)
    }

    /// The request is sent: reads the answer, then the welcome.
    pub fn welcomed(mut stream: TcpStream) -> Client {
        let (answer, inbox) = Answer::read_head(&mut stream);
        assert_eq!(answer.status, 101, "{answer:?}");
        let (id, welcome) = (String::new(), Vec::new());
        let mut client = Client { stream, inbox, at: 0, is_reset: false, id, welcome, fences: 0 };
        let ack = client.packet();
        client.id.clone_from(&ack.src);
        client.welcome = client.snapshot("root", ack);
        client
    }

    /// Sends any bytes at all.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Broadcasts.
    pub fn say(&mut self, room: &str, event: &str, payload: &[u8]) {
        self.send(&wire::to_room(room, event, payload));
    }

    /// Sends to one client.
    pub fn tell(&mut self, dst: &str, room: &str, event: &str, payload: &[u8]) {
        self.send(&wire::to_client(dst, room, event, payload));
    }

    /// Joins; the answer must come next. Returns the members it tells.
    pub fn join(&mut self, room: &str) -> Vec<String> {
        self.say(room, "join", b"");
        let ack = self.packet();
        self.snapshot(room, ack)
    }

    /// Leaves; the answer must come next.
    pub fn leave(&mut self, room: &str) {
        self.say(room, "leave", b"");
        self.expect_left(room);
    }

    pub fn expect_left(&mut self, room: &str) {
        let id = self.id.clone();
        self.expect(room, "leave_ack", "", &id, id.as_bytes());
    }

    /// Checks a `join_ack` to the byte.
    pub fn snapshot(&self, room: &str, ack: Packet) -> Vec<String> {
        let names = (&*ack.room, &*ack.event, &*ack.dst, &*ack.src);
        assert_eq!(names, (room, "join_ack", "", &*self.id));
        let json = String::from_utf8(ack.payload).expect("JSON is UTF-8");
        let inner = json.strip_prefix('[').and_then(|json| json.strip_suffix(']'));
        let cells = inner.unwrap_or_else(|| panic!("no array: {json}")).split(',');
        let unquote = |cell: &str| {
            let id = cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"'));
            let id = id.unwrap_or_else(|| panic!("no string {cell} in {json}"));
            assert_eq!(id.len(), 36, "{json}");
            id.to_owned()
        };
        let members: Vec<String> = cells.map(unquote).collect();
        let mut once = members.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), members.len(), "somebody twice: {json}");
        assert!(members.contains(&self.id), "without the joiner: {json}");
        members
    }

    /// The next thing must be exactly this packet.
    #[track_caller]
    pub fn expect(&mut self, room: &str, event: &str, dst: &str, src: &str, payload: &[u8]) {
        let expected = Packet {
            room: room.into(),
            event: event.into(),
            dst: dst.into(),
            src: src.into(),
            payload: payload.into(),
        };
        assert_eq!(self.next(), Seen::Packet(expected));
    }

    #[track_caller]
    pub fn expect_new_member(&mut self, room: &str, id: &str) {
        self.expect(room, "new_member", "", "", id.as_bytes());
    }

    #[track_caller]
    pub fn expect_member_left(&mut self, room: &str, id: &str) {
        self.expect(room, "member_left", "", "", id.as_bytes());
    }

    /// Nothing has come that was not expected: sends a message to itself, which must come next.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        self.fences += 1;
        let (id, mark) = (self.id.clone(), self.fences.to_be_bytes());
        self.tell(&id, "fence", "fence", &mark);
        self.expect("fence", "fence", &id, &id, &mark);
    }

    /// A close frame must come next, then the end. Returns its reason.
    #[track_caller]
    pub fn expect_close(&mut self, code: u16) -> String {
        let Seen::Close(Some(seen), reason) = self.next() else { panic!("no close with a code") };
        assert_eq!(seen, code, "{reason}");
        self.expect_end();
        reason
    }

    /// The end must come next, and not by a reset.
    #[track_caller]
    pub fn expect_end(&mut self) {
        assert_eq!(self.next(), Seen::End);
    }

    /// Goes as the protocol wants it: close frames both ways, then the end.
    pub fn goodbye(mut self) {
        self.send(&wire::close(1000, ""));
        self.expect_close(1000);
    }

    /// Goes without a word: the other side sees a reset.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Ends the writing direction.
    pub fn hang_up(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next thing must be a packet.
    #[track_caller]
    pub fn packet(&mut self) -> Packet {
        match self.next() {
            Seen::Packet(packet) => packet,
            other => panic!("no packet: {other:?}"),
        }
    }

    /// As [`packet`](Self::packet), without making a copy.
    #[track_caller]
    pub fn view(&mut self) -> View<'_> {
        View::decode(self.message())
    }

    /// The next thing must be a message. Its bytes, unchecked.
    #[track_caller]
    pub fn message(&mut self) -> &[u8] {
        match self.place() {
            Place::Frame { opcode: wire::BINARY, start, end } => &self.inbox[start..end],
            Place::Frame { opcode, start, end } => {
                panic!("opcode {opcode}: {}", self.inbox[start..end].escape_ascii())
            }
            Place::End | Place::Reset => panic!("the end"),
        }
    }

    /// Whatever comes next.
    #[allow(clippy::should_implement_trait, reason = "a client does not end as an iterator does")]
    pub fn next(&mut self) -> Seen {
        let (opcode, data) = match self.place() {
            Place::Frame { opcode, start, end } => (opcode, &self.inbox[start..end]),
            Place::End => return Seen::End,
            Place::Reset => return Seen::Reset,
        };
        match opcode {
            wire::BINARY => Seen::Packet(View::decode(data).into()),
            wire::PING => Seen::Ping(data.to_vec()),
            wire::PONG => Seen::Pong(data.to_vec()),
            wire::CLOSE => match data.split_first_chunk() {
                Some((code, reason)) => {
                    let reason = String::from_utf8(reason.to_vec()).expect("reasons are UTF-8");
                    Seen::Close(Some(u16::from_be_bytes(*code)), reason)
                }
                None => {
                    assert_eq!(data.len(), 0, "half a close code");
                    Seen::Close(None, String::new())
                }
            },
            _ => panic!("opcode {opcode}: {}", data.escape_ascii()),
        }
    }

    /// Whether nothing comes for this long, without the connection's end. A way to pass time: no
    /// test may conclude from it that nothing would have come later.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        if self.at < self.inbox.len() {
            return false;
        }
        self.stream.set_read_timeout(Some(time)).unwrap();
        let result = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        matches!(result, Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    fn place(&mut self) -> Place {
        loop {
            let at = self.at;
            if let Some(Frame { opcode, payload }) = wire::incoming(&self.inbox[at..]) {
                self.at += payload.end;
                return Place::Frame { opcode, start: at + payload.start, end: at + payload.end };
            }
            if !self.read() {
                return self.ending();
            }
        }
    }

    /// The stream has ended where a frame would begin; how?
    fn ending(&self) -> Place {
        assert_eq!(self.at, self.inbox.len(), "the end inside a frame");
        if self.is_reset { Place::Reset } else { Place::End }
    }

    /// Reads a piece of what has arrived, to be looked at later: how a slow link is made.
    pub fn read_some(&mut self, most: usize) {
        let size = self.inbox.len();
        self.inbox.resize(size + most, 0);
        let read = self.stream.read(&mut self.inbox[size..]).expect("there is more to come");
        self.inbox.truncate(size + read);
    }

    /// Reads on. False at the end.
    fn read(&mut self) -> bool {
        self.inbox.drain(..std::mem::take(&mut self.at));
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(size) => {
                    self.inbox.extend_from_slice(&chunk[..size]);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    self.is_reset = true;
                    return false;
                }
                Err(error) => panic!("nothing comes: {error}"),
            }
        }
    }
}
