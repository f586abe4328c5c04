//! A client that reconnects whenever it must, and checks everything that it receives.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use roomer_conformance::http::HttpRequest;
use roomer_conformance::wire::{self, PacketView};

/// The time for which the client waits for a message before it sends its next one.
const PAUSE: Duration = Duration::from_millis(10);

/// The observations of all clients, for checks that need more than one client.
#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    /// For each open client, the members that it sees.
    views: BTreeMap<String, BTreeSet<String>>,
    /// For a sender and a receiver: the first message that the sender has sent after it was
    /// notified of the receiver's join. The receiver must get this message and all later ones, or a
    /// notice of a leave.
    entitled: BTreeMap<(String, String), u32>,
    /// For each client, the senders from which it has received a message since the last fault
    /// ended.
    received: BTreeMap<String, BTreeSet<String>>,
}

impl Knowledge {
    pub(crate) fn all_agree(&self, clients: usize) -> bool {
        let all: BTreeSet<String> = self.views.keys().cloned().collect();
        all.len() == clients && self.views.values().all(|view| *view == all)
    }

    pub(crate) fn all_have_received_from_each_other(&self) -> bool {
        self.views.keys().all(|id| {
            let received = self.received.get(id).map_or(0, BTreeSet::len);
            received + 1 >= self.views.len()
        })
    }

    fn is_gone(&mut self, id: &str) {
        self.views.remove(id);
        self.received.remove(id);
        self.received.values_mut().for_each(|received| _ = received.remove(id));
        self.entitled.retain(|(from, to), _| from != id && to != id);
    }
}

pub(crate) struct Witness {
    addr: SocketAddr,
    knowledge: Arc<Mutex<Knowledge>>,
    ends: Arc<AtomicBool>,
    is_calm: Arc<AtomicBool>,
    checked: usize,
}

/// The state that belongs to the client's current connection.
struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,
    id: String,
    sent: u32,
    view: BTreeSet<String>,
    /// For each sender, its last message, and true if the message after that must not be missing.
    received: BTreeMap<String, (u32, bool)>,
}

impl Witness {
    pub(crate) fn new(
        addr: SocketAddr,
        knowledge: Arc<Mutex<Knowledge>>,
        ends: Arc<AtomicBool>,
        is_calm: Arc<AtomicBool>,
    ) -> Witness {
        Witness { addr, knowledge, ends, is_calm, checked: 0 }
    }

    /// Runs until the test ends. Returns the number of messages that were checked.
    pub(crate) fn run(mut self) -> usize {
        while !self.ends.load(Ordering::Acquire) {
            match Connection::open(self.addr) {
                Some(mut connection) => {
                    while !self.ends.load(Ordering::Acquire) && self.turn(&mut connection) {}
                    self.knowledge.lock().unwrap().is_gone(&connection.id);
                }
                // The node is down.
                None => thread::sleep(PAUSE),
            }
        }
        self.checked
    }

    /// Connects a new client. Returns the members of `root` in its snapshot.
    pub(crate) fn members(addr: SocketAddr) -> Option<BTreeSet<String>> {
        let mut connection = Connection::open(addr)?;
        while connection.view.is_empty() {
            let message = connection.next_message()?;
            if let Some(message) = message {
                let packet = PacketView::decode(&message);
                if packet.event == b"join_ack" {
                    connection.acknowledged(&packet);
                }
            }
        }
        Some(connection.view)
    }

    /// Sends a message, and checks those that have arrived. Returns false if the connection has
    /// ended.
    fn turn(&mut self, connection: &mut Connection) -> bool {
        if !connection.id.is_empty() {
            connection.sent += 1;
            let mut payload = connection.sent.to_be_bytes().to_vec();
            payload.push(self.is_calm.load(Ordering::Acquire).into());
            let bytes = wire::to_room("root", "n", &payload);
            if connection.stream.write_all(&bytes).is_err() {
                return false;
            }
        }
        loop {
            match connection.next_message() {
                None => return false,
                Some(None) => return true,
                Some(Some(message)) => self.check(connection, &PacketView::decode(&message)),
            }
        }
    }

    fn check(&mut self, connection: &mut Connection, packet: &PacketView<'_>) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut knowledge = self.knowledge.lock().unwrap();
        match packet.event {
            b"join_ack" => connection.acknowledged(packet),
            b"new_member" => {
                let id = text(packet.payload);
                assert!(connection.view.insert(id.clone()), "{id} is there already");
                connection.received.entry(id.clone()).or_default().1 = false;
                let next = connection.sent + 1;
                knowledge.entitled.insert((connection.id.clone(), id), next);
            }
            b"member_left" => {
                let id = text(packet.payload);
                assert!(connection.view.remove(&id), "{id} is not there");
                connection.received.entry(id.clone()).or_default().1 = false;
                knowledge.entitled.remove(&(connection.id.clone(), id));
            }
            b"n" => {
                let src = text(packet.src);
                assert!(connection.view.contains(&src), "{src} speaks and is not a member");
                let number = u32::from_be_bytes(packet.payload[..4].try_into().unwrap());
                let (last, is_run) = connection.received.entry(src.clone()).or_default();
                assert!(number > *last, "message {number} of {src} after {last}");
                let pair = (src.clone(), connection.id.clone());
                let entitled = knowledge.entitled.get(&pair).copied().unwrap_or(u32::MAX);
                let is_whole = !*is_run || number <= entitled.max(*last + 1);
                assert!(is_whole, "messages {last} + 1 to {number} - 1 of {src} are missing");
                (*last, *is_run) = (number, true);
                if packet.payload[4] == 1 {
                    knowledge.received.entry(connection.id.clone()).or_default().insert(src);
                }
                self.checked += 1;
            }
            event => panic!("the event {}", event.escape_ascii()),
        }
        if !connection.id.is_empty() {
            knowledge.views.insert(connection.id.clone(), connection.view.clone());
        }
    }
}

impl Connection {
    /// Connects to a node. Returns `None` if the node is down.
    fn open(addr: SocketAddr) -> Option<Connection> {
        let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(10)).ok()?;
        stream.set_nodelay(true).unwrap();
        stream.write_all(&HttpRequest::upgrade(addr).bytes()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut inbox = Vec::new();
        let end = loop {
            if let Some(end) = inbox.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            let mut chunk = [0; 4096];
            let size = stream.read(&mut chunk).ok().filter(|size| *size > 0)?;
            inbox.extend_from_slice(&chunk[..size]);
        };
        assert!(inbox.starts_with(b"HTTP/1.1 101"), "{}", inbox.escape_ascii());
        inbox.drain(..end);
        stream.set_read_timeout(Some(PAUSE)).unwrap();
        let (view, received) = (BTreeSet::new(), BTreeMap::new());
        Some(Connection { stream, inbox, id: String::new(), sent: 0, view, received })
    }

    fn acknowledged(&mut self, packet: &PacketView<'_>) {
        self.id = String::from_utf8(packet.src.to_vec()).unwrap();
        let text = String::from_utf8(packet.payload.to_vec()).unwrap();
        let members: Vec<&str> = text.split('"').skip(1).step_by(2).collect();
        self.view = members.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(self.view.len(), members.len(), "a member is listed twice: {text}");
    }

    /// Returns the next message. Returns `Some(None)` if none has arrived for a while, and `None`
    /// at the end of the stream.
    fn next_message(&mut self) -> Option<Option<Vec<u8>>> {
        loop {
            if let Some(frame) = wire::incoming(&self.inbox) {
                let data = self.inbox[frame.payload.clone()].to_vec();
                self.inbox.drain(..frame.payload.end);
                match frame.opcode {
                    wire::BINARY => return Some(Some(data)),
                    wire::PING => {
                        self.stream.write_all(&wire::frame(wire::FIN | wire::PONG, &data)).ok()?;
                        continue;
                    }
                    _ => return None,
                }
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(size) => self.inbox.extend_from_slice(&chunk[..size]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Some(None);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }
}
