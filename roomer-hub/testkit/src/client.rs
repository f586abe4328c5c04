//! A scripted client that sends packets, records what it receives, and can stall or disconnect.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::fmt;
use std::io::ErrorKind;
use std::rc::Rc;

use bytes::Bytes;
use roomer_proto::{JOIN, LEAVE, Packet, PacketRef};

use super::frames::{self, first_byte};
use super::receive::Received;
use super::session::Session;
use super::socket::Peer;
use super::view::View;

/// A client of a [`World`](super::World). Cheap to clone: clones refer to the same client.
///
/// Bytes that the client sends are in flight until the world runs
/// ([`settle`](super::World::settle), [`advance`](super::World::advance)). The client answers pings
/// and close frames automatically, as every WebSocket client does. It checks every received packet
/// against roomer's contract, and a violation panics with the seed.
#[derive(Clone)]
pub struct Client(pub(super) Rc<RefCell<State>>);

/// The end of a connection, as seen by the client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The code in the server's close frame; `None` if the stream ended without a close frame.
    pub code: Option<u16>,
    /// The reason in the close frame, which may be empty.
    pub reason: String,
}

type Reaction = Rc<dyn Fn(&Client, &Packet)>;

pub(super) struct State {
    pub(super) number: usize,
    pub(super) peer: Peer,
    pub(super) task: usize,
    /// Bytes in flight to the server.
    pub(super) in_flight: VecDeque<u8>,
    /// The end of the stream after the bytes in flight: clean, or an error.
    pub(super) end: Option<Result<(), ErrorKind>>,
    pub(super) is_reading: bool,
    pub(super) is_lost: bool,
    /// Received bytes that do not form a whole frame yet.
    pub(super) incoming: Vec<u8>,
    /// The HTTP response's status; `None` during the handshake.
    pub(super) status: Option<u16>,
    pub(super) subprotocol: Option<String>,
    pub(super) view: View,
    /// Present if the client uses the extended protocol. Its state survives a lost connection.
    pub(super) session: Option<Session>,
    pub(super) messages: Vec<Packet>,
    pub(super) raw: Vec<Bytes>,
    pub(super) pongs: Vec<Bytes>,
    pub(super) closed: Option<Closed>,
    has_sent_close: bool,
    reactions: Vec<(String, Reaction)>,
    /// The number of requests that the client has sent.
    pub(super) requests: u64,
    masks: u32,
}

impl Client {
    pub(super) fn new(number: usize, peer: Peer, task: usize, request: Vec<u8>) -> Self {
        Client(Rc::new(RefCell::new(State {
            number,
            peer,
            task,
            in_flight: request.into(),
            end: None,
            is_reading: true,
            is_lost: false,
            incoming: Vec::new(),
            status: None,
            subprotocol: None,
            view: View::default(),
            session: None,
            messages: Vec::new(),
            raw: Vec::new(),
            pongs: Vec::new(),
            closed: None,
            has_sent_close: false,
            reactions: Vec::new(),
            requests: 0,
            masks: 0,
        })))
    }

    // Sending.

    /// Requests to join a room.
    pub fn join(&self, room: &str) {
        self.send_packet(&PacketRef { room, event: JOIN, ..PacketRef::default() });
    }

    /// Requests to leave a room.
    pub fn leave(&self, room: &str) {
        self.send_packet(&PacketRef { room, event: LEAVE, ..PacketRef::default() });
    }

    /// Sends an event to a room.
    pub fn send(&self, room: &str, event: &str, payload: impl AsRef<[u8]>) {
        let payload = payload.as_ref();
        self.send_packet(&PacketRef { room, event, payload, ..PacketRef::default() });
    }

    /// Sends an event to the client with this id.
    ///
    /// # Panics
    ///
    /// Panics if the id is empty because the other client has not received its id yet. A message
    /// without a receiver would address the whole room.
    pub fn send_to(&self, id: &str, event: &str, payload: impl AsRef<[u8]>) {
        assert!(!id.is_empty(), "the receiver has no id yet: settle the world first");
        let payload = payload.as_ref();
        self.send_packet(&PacketRef {
            room: "root",
            event,
            dst: id,
            payload,
            ..PacketRef::default()
        });
    }

    /// Sends a packet with any fields, valid or not.
    ///
    /// # Panics
    ///
    /// Panics if a field has 4 GiB or more.
    pub fn send_packet(&self, packet: &PacketRef<'_>) {
        let bytes = packet.to_bytes();
        if self.state_mut().record_sent(&bytes) {
            self.send_binary(&bytes);
        }
    }

    pub(super) fn send_binary(&self, message: &[u8]) {
        self.send_frame(first_byte::FINAL | first_byte::BINARY, message);
    }

    /// Sends a ping. [`pongs`](Self::pongs) returns the answers' payloads.
    pub fn ping(&self, payload: impl AsRef<[u8]>) {
        self.send_frame(first_byte::PING, payload.as_ref());
    }

    /// Starts the closing handshake.
    pub fn close(&self, code: u16, reason: &str) {
        let body = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
        self.send_frame(first_byte::CLOSE, &body);
        self.state_mut().has_sent_close = true;
    }

    /// Sends a masked WebSocket frame with any first byte; see [`frames`]. Does nothing after the
    /// client has ended its stream or lost its connection.
    pub fn send_frame(&self, start: u8, payload: &[u8]) {
        let mut state = self.state_mut();
        if state.end.is_some() || state.is_lost {
            return;
        }
        // A different key for each frame exposes a server that ignores keys.
        state.masks = state.masks.wrapping_add(0x9e37_79b9);
        let key = state.masks.to_be_bytes();
        let mut frame = Vec::new();
        frames::write(start, payload, key, &mut frame);
        state.in_flight.extend(frame);
    }

    /// Sends raw bytes, valid WebSocket or not.
    pub fn send_bytes(&self, bytes: &[u8]) {
        self.state_mut().in_flight.extend(bytes);
    }

    /// Calls `reaction` for each message of `event` received from any room, after the message has
    /// been recorded. Bytes that the reaction sends are in flight like any other bytes.
    pub fn on(&self, event: &str, reaction: impl Fn(&Client, &Packet) + 'static) {
        self.state_mut().reactions.push((event.into(), Rc::new(reaction)));
    }

    // Faults.

    /// Stops reading. The socket accepts `room` more bytes from the server before it is full.
    pub fn stall(&self, room: usize) {
        let mut state = self.state_mut();
        state.is_reading = false;
        state.peer.set_space(room);
    }

    /// Starts reading again after [`stall`](Self::stall).
    pub fn resume(&self) {
        let mut state = self.state_mut();
        state.is_reading = true;
        state.peer.set_space(usize::MAX);
    }

    /// Closes the sending direction, but keeps receiving. The server reads the bytes in flight,
    /// then the end of the stream.
    pub fn half_close(&self) {
        self.state_mut().end.get_or_insert(Ok(()));
    }

    /// Loses the connection with an error that the server notices immediately. Bytes in flight are
    /// lost.
    pub fn reset(&self) {
        self.unplug();
        self.notify();
    }

    /// Loses the connection silently, as when a cable is unplugged: the client no longer reads, and
    /// no more bytes arrive at the server.
    pub fn unplug(&self) {
        let mut state = self.state_mut();
        state.is_lost = true;
        state.is_reading = false;
        state.in_flight.clear();
        state.peer.discard_unread();
        state.peer.set_space(0);
        state.closed.get_or_insert(Closed { code: None, reason: String::new() });
    }

    /// Makes the server's socket report that the connection was lost.
    pub(super) fn notify(&self) {
        let state = self.state();
        state.peer.end_stream(Err(ErrorKind::ConnectionReset));
        state.peer.fail_writes(ErrorKind::ConnectionReset);
    }

    // Receiving.

    /// Returns the client's id; empty until it has joined `root`.
    #[must_use]
    pub fn id(&self) -> String {
        self.state().view.id.clone()
    }

    /// Returns the status of the handshake response: 101 if the server accepted.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.state().status
    }

    /// Returns the subprotocol that the server selected.
    #[must_use]
    pub fn subprotocol(&self) -> Option<String> {
        self.state().subprotocol.clone()
    }

    /// Returns true if the client has joined `root` and its connection has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let state = self.state();
        !state.view.id.is_empty() && state.closed.is_none()
    }

    /// Returns how the connection ended; `None` while it is open.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.state().closed.clone()
    }

    /// Returns the messages received in a room, in order, without membership notices. Direct
    /// messages belong to the room `root`.
    #[must_use]
    pub fn messages(&self, room: &str) -> Vec<Packet> {
        self.state().messages.iter().filter(|packet| packet.room == room).cloned().collect()
    }

    /// Returns the payloads received with an event in a room, in order, as text.
    #[must_use]
    pub fn texts(&self, room: &str, event: &str) -> Vec<String> {
        let state = self.state();
        let received = state.messages.iter().filter(|p| p.room == room && p.event == event);
        received.map(|packet| String::from_utf8_lossy(&packet.payload).into_owned()).collect()
    }

    /// Returns all text messages, and all binary messages that are not packets. Handlers send those
    /// with [`Conn::send_raw`](roomer_engine::Conn::send_raw).
    #[must_use]
    pub fn raw(&self) -> Vec<Bytes> {
        self.state().raw.clone()
    }

    /// Returns the payloads of all pongs received.
    #[must_use]
    pub fn pongs(&self) -> Vec<Bytes> {
        self.state().pongs.clone()
    }

    /// Returns the ids of a room's members from the packets received so far, sorted; `None` if this
    /// client is not in the room.
    #[must_use]
    pub fn members(&self, room: &str) -> Option<Vec<String>> {
        let state = self.state();
        state.view.rooms.get(room).map(|members| members.iter().cloned().collect())
    }

    /// Returns the names of the rooms that the client is in, sorted.
    #[must_use]
    pub fn rooms(&self) -> Vec<String> {
        self.state().view.rooms.keys().cloned().collect()
    }

    /// Clears all recorded messages and pongs so that the next assertion sees only new ones.
    pub fn clear_messages(&self) {
        let mut state = self.state_mut();
        state.messages.clear();
        state.raw.clear();
        state.pongs.clear();
    }

    pub(super) fn state(&self) -> Ref<'_, State> {
        self.0.borrow()
    }

    pub(super) fn state_mut(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    /// Processes received bytes, and runs the reactions.
    ///
    /// # Errors
    ///
    /// Returns a description of the bytes or packet that violates the protocol.
    pub(super) fn receive(&self, bytes: &[u8]) -> Result<(), String> {
        self.state_mut().incoming.extend_from_slice(bytes);
        loop {
            let received = self.state_mut().receive_one()?;
            let Some(received) = received else { return Ok(()) };
            match received {
                Received::Ping(payload) => self.send_frame(first_byte::PONG, &payload),
                Received::Close(body) => {
                    if !std::mem::replace(&mut self.state_mut().has_sent_close, true) {
                        self.send_frame(first_byte::CLOSE, &body);
                    }
                }
                Received::Session(packet) => self.answer_session(&packet),
                Received::Packet(packet) => {
                    self.answer_session(&packet);
                    let state = self.state();
                    let due = state.reactions.iter().filter(|(event, _)| packet.event == **event);
                    let due: Vec<Reaction> = due.map(|(_, reaction)| reaction.clone()).collect();
                    // Release the borrow before running the reactions, which may use this client.
                    drop(state);
                    due.iter().for_each(|reaction| reaction(self, &packet));
                }
                Received::Other => {}
            }
        }
    }

    /// Records that the server has ended the stream.
    pub(super) fn receive_end(&self) {
        let mut state = self.state_mut();
        state.closed.get_or_insert(Closed { code: None, reason: String::new() });
        state.end.get_or_insert(Ok(()));
    }
}

impl State {
    pub(super) fn has_ended(&self) -> bool {
        self.closed.is_some()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Client")
            .field("number", &state.number)
            .field("id", &state.view.id)
            .field("closed", &state.closed)
            .finish_non_exhaustive()
    }
}
