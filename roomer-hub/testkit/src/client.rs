//! A scripted client: what it says, what it heard, and what befalls it.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::fmt;
use std::io::ErrorKind;
use std::rc::Rc;

use bytes::Bytes;
use roomer_proto::{JOIN, LEAVE, Packet, PacketRef};

use super::frames::{self, first};
use super::hearing::Heard;
use super::socket::Peer;
use super::view::View;

/// A client of a [`World`](super::World). A cheap handle: clones are the same client.
///
/// What it says goes under way at once and arrives when the world goes on
/// ([`settle`](super::World::settle), [`advance`](super::World::advance)). It answers pings and
/// close frames by itself, as every WebSocket client does, and checks whatever it hears against
/// roomer's contract; a breach panics, with the seed.
#[derive(Clone)]
pub struct Client(pub(super) Rc<RefCell<State>>);

/// How a connection ended, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The code of the server's close frame; `None` when the stream ended without one.
    pub code: Option<u16>,
    /// The close frame's reason.
    pub reason: String,
}

type Reaction = Rc<dyn Fn(&Client, &Packet)>;

pub(super) struct State {
    pub(super) number: usize,
    pub(super) peer: Peer,
    pub(super) task: usize,
    /// What is under way to the server.
    pub(super) under_way: VecDeque<u8>,
    /// The stream ends behind that: cleanly, or with an error.
    pub(super) end: Option<Result<(), ErrorKind>>,
    pub(super) is_reading: bool,
    pub(super) is_lost: bool,
    /// What came and is not read yet.
    pub(super) incoming: Vec<u8>,
    /// The status of the server's answer to the handshake.
    pub(super) status: Option<u16>,
    pub(super) subprotocol: Option<String>,
    pub(super) view: View,
    pub(super) heard: Vec<Packet>,
    pub(super) raw: Vec<Bytes>,
    pub(super) pongs: Vec<Bytes>,
    pub(super) closed: Option<Closed>,
    has_closed: bool,
    reactions: Vec<(String, Reaction)>,
    masks: u32,
}

impl Client {
    pub(super) fn new(number: usize, peer: Peer, task: usize, request: Vec<u8>) -> Self {
        Client(Rc::new(RefCell::new(State {
            number,
            peer,
            task,
            under_way: request.into(),
            end: None,
            is_reading: true,
            is_lost: false,
            incoming: Vec::new(),
            status: None,
            subprotocol: None,
            view: View::default(),
            heard: Vec::new(),
            raw: Vec::new(),
            pongs: Vec::new(),
            closed: None,
            has_closed: false,
            reactions: Vec::new(),
            masks: 0,
        })))
    }

    // What it says.

    /// Asks to join a room.
    pub fn join(&self, room: &str) {
        self.packet(&PacketRef { room, event: JOIN, ..PacketRef::default() });
    }

    /// Asks to leave a room.
    pub fn leave(&self, room: &str) {
        self.packet(&PacketRef { room, event: LEAVE, ..PacketRef::default() });
    }

    /// Sends an event to a room.
    pub fn send(&self, room: &str, event: &str, payload: impl AsRef<[u8]>) {
        let payload = payload.as_ref();
        self.packet(&PacketRef { room, event, payload, ..PacketRef::default() });
    }

    /// Sends an event to one client by its id.
    ///
    /// # Panics
    ///
    /// When the id is empty, which would be the whole room: the other client has not been told its
    /// id yet.
    pub fn send_to(&self, id: &str, event: &str, payload: impl AsRef<[u8]>) {
        assert!(!id.is_empty(), "the receiver has no id yet: settle the world first");
        let payload = payload.as_ref();
        self.packet(&PacketRef { room: "root", event, dst: id, payload, ..PacketRef::default() });
    }

    /// Sends a packet, whatever is in it.
    ///
    /// # Panics
    ///
    /// When a field has 4 GiB or more.
    pub fn packet(&self, packet: &PacketRef<'_>) {
        self.frame(first::FINAL | first::BINARY, &packet.to_bytes());
    }

    /// Sends a ping, which the server answers; see [`pongs`](Self::pongs).
    pub fn ping(&self, payload: impl AsRef<[u8]>) {
        self.frame(first::PING, payload.as_ref());
    }

    /// Begins to close the connection.
    pub fn close(&self, code: u16, reason: &str) {
        let body = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
        self.frame(first::CLOSE, &body);
        self.state_mut().has_closed = true;
    }

    /// Sends a WebSocket frame of any kind, masked; see [`frames`]. One that has ended its
    /// stream or lost its connection sends nothing more.
    pub fn frame(&self, start: u8, payload: &[u8]) {
        let mut state = self.state_mut();
        if state.end.is_some() || state.is_lost {
            return;
        }
        state.masks = state.masks.wrapping_add(0x9e37_79b9);
        let key = state.masks.to_be_bytes();
        let mut frame = Vec::new();
        frames::write(start, payload, key, &mut frame);
        state.under_way.extend(frame);
    }

    /// Sends any bytes, be they WebSocket or not.
    pub fn bytes(&self, bytes: &[u8]) {
        self.state_mut().under_way.extend(bytes);
    }

    /// Calls `reaction` for each message of `event` that comes, from whatever room, once it has
    /// been noted. What the reaction says goes under way like anything else.
    pub fn on(&self, event: &str, reaction: impl Fn(&Client, &Packet) + 'static) {
        self.state_mut().reactions.push((event.into(), Rc::new(reaction)));
    }

    // What befalls it.

    /// Stops reading: what the server writes fills the socket, which takes `room` bytes more.
    pub fn stall(&self, room: usize) {
        let mut state = self.state_mut();
        state.is_reading = false;
        state.peer.room(room);
    }

    /// Goes on reading.
    pub fn resume(&self) {
        let mut state = self.state_mut();
        state.is_reading = true;
        state.peer.room(usize::MAX);
    }

    /// Says no more, but goes on listening: the server reads what is under way, then the end.
    pub fn half_close(&self) {
        self.state_mut().end.get_or_insert(Ok(()));
    }

    /// Loses the connection; the server hears of it at once. What was under way is lost.
    pub fn reset(&self) {
        self.vanish();
        self.notify();
    }

    /// Loses the connection without a word, as by a pulled plug: the server finds that its writes
    /// go nowhere and nothing comes any more.
    pub fn vanish(&self) {
        let mut state = self.state_mut();
        state.is_lost = true;
        state.is_reading = false;
        state.under_way.clear();
        state.peer.lose_unread();
        state.peer.room(0);
        state.closed.get_or_insert(Closed { code: None, reason: String::new() });
    }

    /// Has the server's system hear that a connection is lost.
    pub(super) fn notify(&self) {
        let state = self.state();
        state.peer.end(Err(ErrorKind::ConnectionReset));
        state.peer.refuse(ErrorKind::ConnectionReset);
    }

    // What it heard.

    /// Its id; empty until it is in `root`.
    #[must_use]
    pub fn id(&self) -> String {
        self.state().view.id.clone()
    }

    /// The status of the server's answer to the handshake: 101 when it agreed.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.state().status
    }

    /// The subprotocol that the server has selected.
    #[must_use]
    pub fn subprotocol(&self) -> Option<String> {
        self.state().subprotocol.clone()
    }

    /// Whether it is in `root` and its connection has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let state = self.state();
        !state.view.id.is_empty() && state.closed.is_none()
    }

    /// How its connection ended, if it has.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.state().closed.clone()
    }

    /// The messages of a room so far, in order; not those about membership. Direct messages are of
    /// the room `root`.
    #[must_use]
    pub fn messages(&self, room: &str) -> Vec<Packet> {
        self.state().heard.iter().filter(|packet| packet.room == room).cloned().collect()
    }

    /// The payloads of an event in a room so far, in order, as text.
    #[must_use]
    pub fn texts(&self, room: &str, event: &str) -> Vec<String> {
        let state = self.state();
        let heard = state.heard.iter().filter(|p| p.room == room && p.event == event);
        heard.map(|packet| String::from_utf8_lossy(&packet.payload).into_owned()).collect()
    }

    /// Binary messages that are no packets: what handlers have sent with
    /// [`Conn::try_send`](roomer_engine::Conn::try_send).
    #[must_use]
    pub fn raw(&self) -> Vec<Bytes> {
        self.state().raw.clone()
    }

    /// The payloads of the pongs so far.
    #[must_use]
    pub fn pongs(&self) -> Vec<Bytes> {
        self.state().pongs.clone()
    }

    /// The ids of a room's members as this client knows them, sorted; `None` when it is not in
    /// the room.
    #[must_use]
    pub fn members(&self, room: &str) -> Option<Vec<String>> {
        let state = self.state();
        state.view.rooms.get(room).map(|members| members.iter().cloned().collect())
    }

    /// The names of the rooms that it is in, sorted.
    #[must_use]
    pub fn rooms(&self) -> Vec<String> {
        self.state().view.rooms.keys().cloned().collect()
    }

    /// Forgets the messages so far, so that an assertion can be about the next ones.
    pub fn forget(&self) {
        let mut state = self.state_mut();
        state.heard.clear();
        state.raw.clear();
        state.pongs.clear();
    }

    pub(super) fn state(&self) -> Ref<'_, State> {
        self.0.borrow()
    }

    pub(super) fn state_mut(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    /// Takes in bytes that have come, and reacts.
    ///
    /// # Errors
    ///
    /// What a server must not send, in words.
    pub(super) fn hear(&self, bytes: &[u8]) -> Result<(), String> {
        self.state_mut().incoming.extend_from_slice(bytes);
        loop {
            let heard = self.state_mut().hear_one()?;
            let Some(heard) = heard else { return Ok(()) };
            match heard {
                Heard::Ping(payload) => self.frame(first::PONG, &payload),
                Heard::Close(body) => {
                    if !std::mem::replace(&mut self.state_mut().has_closed, true) {
                        self.frame(first::CLOSE, &body);
                    }
                }
                Heard::Packet(packet) => {
                    let state = self.state();
                    let due = state.reactions.iter().filter(|(event, _)| packet.event == **event);
                    let due: Vec<Reaction> = due.map(|(_, reaction)| reaction.clone()).collect();
                    drop(state);
                    due.iter().for_each(|reaction| reaction(self, &packet));
                }
                Heard::Other => {}
            }
        }
    }

    /// The server has ended the stream.
    pub(super) fn hear_end(&self) {
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
