//! A minimal server for both protocols.
//!
//! The plan determines when it handles packets, rejects joins, kicks or moves the client, and
//! closes the connection.

use std::collections::{BTreeSet, VecDeque};
use std::mem::take;

use roomer_proto::extended::{ACK, ACK_NOW, ERROR, HELLO, REPLY, is_extended};
use roomer_proto::websocket::{Decoder, Event, Limits, close_frame, message_frame};
use roomer_proto::websocket::{Kind as MessageKind, ping_frame, pong_frame};
use roomer_proto::{JOIN, LEAVE, LEAVE_ACK, Packet, PacketRef, ROOT};

use super::answers::{ACCEPT, RESPONSES};
use super::plan::{ROOMS, Server};
use crate::fault::{Fault, ensure};

/// The number of other clients that the server simulates.
const OTHER_COUNT: usize = 3;

pub fn other_id(number: usize) -> String {
    format!("0000000{}-0000-4000-8000-000000000000", number % OTHER_COUNT)
}

/// The state that the server keeps for the client. With the extended protocol, it outlives the
/// connection.
#[derive(Default)]
pub struct Session {
    pub id: String,
    token: String,
    pub(super) rooms: BTreeSet<&'static str>,
    pub(super) is_extended: bool,
    /// The number of the client's packets that the server has handled in this session.
    handled: u64,
    /// All packets to the client that count in its acknowledgements, oldest first.
    log: Vec<Vec<u8>>,
    acknowledged: u64,
}

#[derive(Default)]
struct Connection {
    decoder: Decoder,
    /// The bytes of the handshake request, until it is answered.
    request: Vec<u8>,
    is_upgraded: bool,
    inbox: VecDeque<Packet>,
    /// Output that the client has not read yet.
    out: Vec<u8>,
    /// True if the stream ends after the bytes in `out`.
    is_ended: bool,
}

pub struct ScriptedServer {
    pub(super) kind: Server,
    greets: bool,
    connection: Option<Connection>,
    pub(super) session: Option<Session>,
    rejected: BTreeSet<usize>,
    pub(super) others: [BTreeSet<usize>; ROOMS.len()],
    response: usize,
    /// The number of sessions that the server has started.
    pub(super) sessions: u32,
    /// The number of messages that other clients have sent.
    pub(super) texts: u64,
    /// The texts of the messages that the server has handled, in order.
    pub handled: Vec<String>,
    /// The texts of the messages that the server has rejected with an error.
    pub refused: BTreeSet<String>,
    /// For each message sent to the client, in order: the number of the session, the room and the
    /// text.
    pub sent: Vec<(u32, &'static str, String)>,
}

impl ScriptedServer {
    /// Creates a server. If `greets` is false, the server sends no packets on its own after a
    /// handshake.
    pub fn new(kind: Server, greets: bool) -> Self {
        ScriptedServer {
            kind,
            greets,
            connection: None,
            session: None,
            rejected: BTreeSet::new(),
            others: Default::default(),
            response: 0,
            sessions: 0,
            texts: 0,
            handled: Vec::new(),
            refused: BTreeSet::new(),
            sent: Vec::new(),
        }
    }

    pub fn connect(&mut self) {
        self.disconnect();
        self.connection = Some(Connection::default());
    }

    /// Drops the connection, and all packets on it that have not been handled yet. The session of
    /// an extended client is kept.
    pub fn disconnect(&mut self) {
        self.connection = None;
        if self.session.as_ref().is_some_and(|session| !session.is_extended) {
            self.session = None;
        }
    }

    pub fn restart(&mut self) {
        self.session = None;
        self.close(Some(1012), "");
    }

    /// Returns the rooms that the client is in; none if there is no session.
    pub fn rooms(&self) -> BTreeSet<&'static str> {
        self.session.as_ref().map(|session| session.rooms.clone()).unwrap_or_default()
    }

    pub fn id(&self) -> Option<&str> {
        self.session.as_ref().map(|session| &*session.id)
    }

    /// Returns the sorted ids of a room's members.
    pub fn members(&self, room: &str) -> Vec<String> {
        let Some(at) = ROOMS.iter().position(|name| *name == room) else { return Vec::new() };
        let others = self.others.get(at).into_iter().flatten().map(|other| other_id(*other));
        let own = self.session.iter().filter(|session| session.rooms.contains(room));
        let mut members: Vec<String> = others.chain(own.map(|s| s.id.clone())).collect();
        members.sort_unstable();
        members
    }

    pub fn sessions(&self) -> u32 {
        self.sessions
    }

    /// Returns the pending output, and true if the stream ends after it. Returns `None` without a
    /// connection.
    pub fn out(&mut self) -> Option<(&mut Vec<u8>, bool)> {
        self.connection.as_mut().map(|connection| (&mut connection.out, connection.is_ended))
    }

    /// Reads bytes that the client has sent.
    pub fn receive(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        if !connection.is_upgraded {
            connection.request.extend_from_slice(bytes);
            if !connection.request.ends_with(b"\r\n\r\n") {
                return Ok(());
            }
            let request = String::from_utf8(take(&mut connection.request));
            let request = request.map_err(|_| Fault::new("the request is not text".into()))?;
            return self.answer_handshake(&request);
        }
        let limits = Limits::default();
        let mut feed = connection.decoder.feed(&limits, bytes);
        while let Some(event) = feed.next() {
            match event {
                Ok(Event::Message { kind, data }) => {
                    ensure!(kind == MessageKind::Binary, "the client sends text");
                    let packet = Packet::decode(data.to_vec().into());
                    let packet = packet.map_err(|error| Fault::new(format!("sent: {error}")))?;
                    connection.inbox.push_back(packet);
                }
                Ok(Event::Close { .. }) => connection.is_ended = true,
                Ok(Event::Ping(payload)) => pong_frame(payload, &mut connection.out),
                Ok(_) => {}
                Err(violation) => return Err(Fault::new(format!("the client: {violation:?}"))),
            }
        }
        Ok(())
    }

    fn answer_handshake(&mut self, request: &str) -> Result<(), Fault> {
        let response = RESPONSES[self.response].replace("ACCEPT", ACCEPT);
        let Some(connection) = &mut self.connection else { return Ok(()) };
        connection.out.extend_from_slice(format!("HTTP/1.1 {response}\r\n\r\n").as_bytes());
        if self.response > 1 {
            connection.is_ended = true;
            return Ok(());
        }
        connection.is_upgraded = true;
        let target = request.split(' ').nth(1).unwrap_or_default();
        let value = |key: &str| {
            let pairs = target.split_once('?').map_or("", |(_, query)| query).split('&');
            pairs
                .filter_map(|pair| pair.split_once('='))
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value)
        };
        let is_extended = self.kind != Server::Plain && value("roomer") == Some("2");
        let received = value("received").and_then(|count| count.parse::<u64>().ok());
        let returns = value("session").zip(received);
        self.begin(is_extended, returns)
    }

    /// Starts a session. If `returns` contains the current session's token, resumes that session
    /// instead.
    fn begin(&mut self, is_extended: bool, returns: Option<(&str, u64)>) -> Result<(), Fault> {
        let known = self.session.take();
        let resumed = returns.and_then(|(token, received)| {
            known.filter(|session| is_extended && session.token == token).map(|s| (s, received))
        });
        if let Some((mut session, received)) = resumed {
            let is_honest = self.kind != Server::Hostile;
            let total = session.log.len() as u64;
            ensure!(!is_honest || received <= total, "received {received} of {total}");
            session.token.push('+');
            let missed = session.log.get(received as usize..).unwrap_or_default().to_vec();
            self.session = Some(session);
            self.hello(true);
            missed.iter().for_each(|bytes| self.write(bytes));
            return Ok(());
        }
        self.sessions += 1;
        let id = format!("{:08x}-1111-4111-8111-111111111111", self.sessions);
        let token = format!("t{}", self.sessions);
        self.session = Some(Session { id, token, is_extended, ..Session::default() });
        if self.greets {
            if is_extended {
                self.hello(false);
            }
            self.enter(ROOT);
        }
        Ok(())
    }

    fn hello(&mut self, is_resumed: bool) {
        let Some(Session { id, token, handled, .. }) = &self.session else { return };
        let payload = format!(
            r#"{{"version":2,"session":"{token}","resumed":{is_resumed},"received":{handled},"heartbeat":25000}}"#
        );
        let (src, payload) = (id.clone(), payload.into_bytes());
        self.send(PacketRef { room: ROOT, event: HELLO, dst: "", src: &src, payload: &payload });
    }

    /// Sends a packet to the client. In the extended protocol, also keeps it in case the client
    /// must receive it again.
    pub fn send(&mut self, packet: PacketRef<'_>) {
        let bytes = packet.to_bytes().to_vec();
        if let Some(session) = &mut self.session
            && session.is_extended
            && !matches!(packet.event, HELLO | ACK)
        {
            session.log.push(bytes.clone());
        }
        self.write(&bytes);
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(connection) = self.connection.as_mut().filter(|c| c.is_upgraded && !c.is_ended)
        {
            message_frame(MessageKind::Binary, bytes, &mut connection.out);
        }
    }

    /// Appends arbitrary bytes to the output, which need not form a frame.
    pub fn write_raw(&mut self, bytes: &[u8]) {
        if let Some(connection) = self.connection.as_mut().filter(|c| c.is_upgraded && !c.is_ended)
        {
            connection.out.extend_from_slice(bytes);
        }
    }

    pub fn ping(&mut self) {
        if let Some(connection) = self.connection.as_mut().filter(|c| c.is_upgraded && !c.is_ended)
        {
            ping_frame(&mut connection.out);
        }
    }

    /// Closes the connection and ends the session.
    pub fn close(&mut self, code: Option<u16>, reason: &str) {
        self.session = None;
        if let Some(connection) = self.connection.as_mut().filter(|c| !c.is_ended) {
            if connection.is_upgraded {
                close_frame(code, reason, &mut connection.out);
            }
            connection.is_ended = true;
        }
    }

    /// Ends the stream without a close frame, as a restarting proxy does.
    pub fn end(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.is_ended = true;
        }
    }

    pub fn respond(&mut self, response: usize) {
        self.response = response;
    }

    pub fn reject(&mut self, room: usize, is_rejected: bool) {
        if is_rejected {
            self.rejected.insert(room)
        } else {
            self.rejected.remove(&room)
        };
    }

    /// Handles at most `most` of the client's packets. Returns false if there were none.
    pub fn handle(&mut self, most: usize) -> Result<bool, Fault> {
        for done in 0..most {
            let packet = self.connection.as_mut().and_then(|c| c.inbox.pop_front());
            let Some(packet) = packet else { return Ok(done > 0) };
            self.packet(&packet)?;
        }
        Ok(true)
    }

    fn packet(&mut self, packet: &Packet) -> Result<(), Fault> {
        let Packet { room, event, dst, payload, .. } = packet;
        let Some(session) = &mut self.session else { return Ok(()) };
        if session.is_extended && *event == *ACK {
            let count = std::str::from_utf8(payload).ok().and_then(|text| text.parse::<u64>().ok());
            let most = session.log.len() as u64;
            let is_right =
                count.is_some_and(|count| (session.acknowledged..=most).contains(&count));
            // With a hostile server, the client also counts packets that the server itself does not
            // count.
            ensure!(is_right || self.kind == Server::Hostile, "acknowledged {count:?} of {most}");
            session.acknowledged = count.unwrap_or_default();
            if *dst == *ACK_NOW {
                self.acknowledge("");
            }
            return Ok(());
        }
        session.handled += 1;
        let known = ROOMS.iter().position(|name| **name == **room);
        match &**event {
            JOIN => match known {
                // A client that is already a member is never rejected.
                Some(at) if session.rooms.contains(ROOMS[at]) || !self.rejected.contains(&at) => {
                    self.enter(ROOMS[at]);
                }
                _ => self.answer(room, LEAVE_ACK, b""),
            },
            LEAVE => {
                session.rooms.remove(&**room);
                self.answer(room, LEAVE_ACK, b"");
            }
            REPLY | ERROR => {}
            event if is_extended(event) => {}
            _ => self.message(packet),
        }
        Ok(())
    }

    fn message(&mut self, packet: &Packet) {
        let Packet { room, dst, payload, .. } = packet;
        let Some(session) = &self.session else { return };
        if let Some((to, tag)) = dst.split_once(':') {
            let dst = format!(":{tag}");
            let (event, payload) = if to.is_empty() {
                (REPLY, &**payload)
            } else {
                (ERROR, &br#"{"code":"gone","message":""}"#[..])
            };
            return self.send(PacketRef { room, event, dst: &dst, src: "", payload });
        }
        let text = String::from_utf8_lossy(payload).into_owned();
        if !dst.is_empty() || session.rooms.contains(&**room) {
            return self.handled.push(text);
        }
        // In the plain protocol, the rejection of a message is not reported.
        if session.is_extended {
            let payload = br#"{"code":"refused","message":"not a member"}"#;
            self.send(PacketRef { room: ROOT, event: ERROR, dst: "", src: "", payload });
            self.refused.insert(text);
        }
    }

    /// Acknowledges all packets that have been handled so far.
    pub fn acknowledge(&mut self, dst: &str) {
        let Some(session) = self.session.as_ref().filter(|session| session.is_extended) else {
            return;
        };
        let payload = session.handled.to_string().into_bytes();
        self.send(PacketRef { room: ROOT, event: ACK, dst, src: "", payload: &payload });
    }
}
