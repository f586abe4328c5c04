//! Connects clients of `roomer_proto::client` to the real server, in the test kit's virtual time.

#![allow(clippy::unwrap_used, reason = "a panic in a simulation is reported as a fault")]

use std::time::Duration;

use roomer_engine::Builder;
use roomer_proto::ConnId;
use roomer_proto::client::{Action, Address, Client, Event, Message, Options, SendStatus, State};
use roomer_testkit::socket::Peer;
use roomer_testkit::{Rng, World, socket};

pub const MINUTE: Duration = Duration::from_secs(60);

pub struct Net {
    pub world: World,
    pub rng: Rng,
    pub ends: Vec<End>,
    /// If false, connection attempts fail.
    pub is_up: bool,
}

/// A client and its connection.
pub struct End {
    pub client: Client,
    pub address: Address,
    peer: Option<Peer>,
    task: usize,
    /// Bytes in flight to the server.
    in_flight: Vec<u8>,
    pub events: Vec<Event>,
    /// If true, the network accepts all bytes, but delivers none.
    pub is_dark: bool,
    pub attempts: usize,
}

impl Net {
    pub fn new<E>(seed: u64, builder: Builder<E>) -> Self {
        let world = World::new(seed, builder);
        Net { world, rng: Rng::new(seed ^ 0xc11e), ends: Vec::new(), is_up: true }
    }

    /// Adds a client. Returns its number.
    pub fn add(&mut self, options: Options) -> usize {
        self.ends.push(End {
            client: Client::new(options),
            address: "ws://test/ws".parse().unwrap(),
            peer: None,
            task: 0,
            in_flight: Vec::new(),
            events: Vec::new(),
            is_dark: false,
            attempts: 0,
        });
        self.ends.len() - 1
    }

    pub fn join(&mut self, number: usize, room: &str) {
        let now = self.world.now();
        self.ends[number].client.join(now, room).unwrap();
    }

    pub fn leave(&mut self, number: usize, room: &str) {
        let now = self.world.now();
        self.ends[number].client.leave(now, room);
    }

    pub fn send(&mut self, number: usize, room: &str, text: &str) -> SendStatus {
        let now = self.world.now();
        self.ends[number].client.send(now, room, "chat", None, text.as_bytes()).unwrap()
    }

    /// Exchanges bytes until neither side makes progress without more time.
    pub fn settle(&mut self) {
        loop {
            self.world.settle();
            let mut has_moved = false;
            for number in 0..self.ends.len() {
                has_moved |= self.exchange(number);
            }
            if !has_moved {
                return;
            }
        }
    }

    /// Advances the time by `span`. Stops at each timer on the way, and exchanges the bytes that
    /// are then due.
    pub fn advance(&mut self, span: Duration) {
        let end = self.world.now() + span;
        loop {
            self.settle();
            let now = self.world.now();
            let deadlines = self.ends.iter().filter_map(|end| end.client.deadline(now));
            let due = deadlines.chain(self.world.next_due()).min();
            let next = due.unwrap_or(end).clamp(now, end);
            self.world.jump(next - now);
            if next == end {
                return self.settle();
            }
        }
    }

    /// Moves some of the bytes between a client and the server, in both directions. Returns true if
    /// any were moved.
    fn exchange(&mut self, number: usize) -> bool {
        let now = self.world.now();
        let mut has_moved = false;
        // Poll until the client needs nothing more, as the contract of `poll` requires.
        while let Some(need) = {
            let random = self.rng.next();
            self.ends[number].client.poll(now, random)
        } {
            has_moved = true;
            match need {
                Action::Connect => self.connect(number),
                Action::Disconnect => self.drop_connection(number),
                _ => unreachable!(),
            }
        }
        self.exchange_bytes(number) || has_moved
    }

    fn exchange_bytes(&mut self, number: usize) -> bool {
        let now = self.world.now();
        let end = &mut self.ends[number];
        let rng = &mut self.rng;
        let mut has_moved = end.client.transmit(now, &mut end.in_flight, &mut || key(rng));
        // The network still accepts the client's bytes, but drops them, as if a cable behind a
        // router were cut.
        if end.is_dark {
            end.in_flight.clear();
        }
        if let Some(peer) = &end.peer {
            let some = self.rng.below(end.in_flight.len() + 1);
            if !end.in_flight.is_empty() {
                let size = if some < 4 { end.in_flight.len() } else { some };
                peer.deliver(&end.in_flight[..size]);
                end.in_flight.drain(..size);
                // Report progress whenever bytes were accepted, as a real driver does.
                end.client.progressed(now);
                has_moved = true;
            }
            let available = peer.available();
            if available > 0 && !end.is_dark {
                let mut bytes = Vec::new();
                let some = 1 + self.rng.below(available);
                peer.take(if some < 8 { available } else { some }, &mut bytes);
                peer.set_space(usize::MAX);
                end.client.receive(now, &mut bytes);
                has_moved = true;
            // The stream ends only after all bytes have been read.
            } else if peer.is_shut_down() && !end.is_dark {
                end.peer = None;
                end.client.disconnected(now);
                has_moved = true;
            }
        }
        while let Some(event) = end.client.next_event() {
            end.events.push(event);
        }
        has_moved
    }

    fn connect(&mut self, number: usize) {
        let now = self.world.now();
        self.ends[number].attempts += 1;
        if !self.is_up {
            return self.ends[number].client.failed(now, "it is down");
        }
        let (socket, peer) = socket();
        let connection = self.world.server().connect(socket, None);
        let random = u128::from(self.rng.next()).to_be_bytes();
        let task = self.world.spawn(connection);
        let end = &mut self.ends[number];
        (end.peer, end.task, end.is_dark) = (Some(peer), task, false);
        // Bytes from the previous connection must not reach the new one.
        end.in_flight.clear();
        end.client.connected(&end.address, random);
    }

    /// Drops a connection at the client's request, after delivering the bytes that the client still
    /// had to send.
    fn drop_connection(&mut self, number: usize) {
        let now = self.world.now();
        let end = &mut self.ends[number];
        let rng = &mut self.rng;
        end.client.transmit(now, &mut end.in_flight, &mut || key(rng));
        if let Some(peer) = end.peer.take() {
            if !end.is_dark {
                peer.deliver(&end.in_flight);
                peer.end_stream(Ok(()));
            }
            // From now on the server's writes succeed, but their bytes are never read.
            peer.set_space(usize::MAX);
        }
        end.in_flight.clear();
    }

    /// Cuts a connection. Both ends notice the cut. Data in flight in either direction is lost.
    pub fn cut(&mut self, number: usize) {
        let now = self.world.now();
        let rng = &mut self.rng;
        let end = &mut self.ends[number];
        // Part of the pending output may have been written to the network before the cut.
        end.client.transmit(now, &mut end.in_flight, &mut || key(rng));
        let Some(peer) = end.peer.take() else { return };
        let some = self.rng.below(end.in_flight.len() + 1);
        if !end.is_dark {
            peer.deliver(&end.in_flight[..some]);
        }
        end.in_flight.clear();
        // A reset may overtake bytes that the server has not read yet.
        if self.rng.chance(50) {
            peer.discard_unread();
        }
        peer.end_stream(Err(std::io::ErrorKind::ConnectionReset));
        peer.fail_writes(std::io::ErrorKind::ConnectionReset);
        end.client.disconnected(now);
    }

    /// From now on, drops all of a connection's bytes, while the connection looks open to both
    /// ends.
    pub fn drop_silently(&mut self, number: usize) {
        self.ends[number].is_dark = true;
    }

    pub fn state(&self, number: usize) -> State {
        self.ends[number].client.state()
    }

    pub fn id(&self, number: usize) -> ConnId {
        self.ends[number].client.id().unwrap()
    }

    /// Returns the sorted ids of a room's members, as the client lists them; empty if the client is
    /// not in the room.
    pub fn members(&self, number: usize, room: &str) -> Vec<ConnId> {
        let members = self.ends[number].client.members(room);
        members.map(|members| members.ids().copied().collect()).unwrap_or_default()
    }

    /// Returns the texts that a client has received in a room, in order.
    pub fn texts(&self, number: usize, room: &str) -> Vec<String> {
        let of_room = |message: &&Message| message.room == *room && message.event == *"chat";
        let texts = self.messages(number).into_iter().filter(of_room);
        texts.map(|message| message.text().unwrap().to_owned()).collect()
    }

    pub fn messages(&self, number: usize) -> Vec<&Message> {
        fn message(event: &Event) -> Option<&Message> {
            match event {
                Event::Message(message) => Some(message),
                _ => None,
            }
        }
        self.ends[number].events.iter().filter_map(message).collect()
    }

    /// Returns the texts of the messages that a client has reported as lost.
    pub fn lost(&self, number: usize) -> Vec<String> {
        let events = self.ends[number].events.iter();
        let text = |event: &Event| match event {
            Event::Lost(lost) => Some(lost.packet.text().unwrap().to_owned()),
            _ => None,
        };
        events.filter_map(text).collect()
    }

    /// Removes all of a client's recorded events, and returns those that are not messages.
    pub fn take_events(&mut self, number: usize) -> Vec<Event> {
        let events = std::mem::take(&mut self.ends[number].events);
        events.into_iter().filter(|event| !matches!(event, Event::Message(_))).collect()
    }
}

fn key(rng: &mut Rng) -> [u8; 4] {
    (rng.next() as u32).to_be_bytes()
}

/// Returns the options of a client that uses the plain protocol.
pub fn plain() -> Options {
    let mut options = Options::default();
    options.extended = false;
    options
}

/// Formats the numbers in a range as texts.
pub fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}
