//! What the server's one lock protects: the hub, and what its actions have caused.
//!
//! Everything here is bookkeeping in memory. Nothing writes to a socket, wakes a task or runs a
//! handler; that is done with the lock released, by whoever calls [`Core::take`].

use std::sync::Arc;
use std::time::Duration;

use roomer_proto::websocket::{self, Kind};
use roomer_proto::{JOIN_ACK, PacketRef, close};
use slotmap::SecondaryMap;

use crate::app::conn::Person;
use crate::app::hooks::{DisconnectReason, News, Wire};
use crate::app::people::People;
#[cfg(feature = "audit")]
use crate::journal::Journal;
use crate::metrics::stats::Counts;
use crate::outbound::batch::Tick;
use crate::outbound::chunk::Piece;
use crate::outbound::outbox::Link;
use crate::outbound::shed::Leaving;
use roomer_hub::Hub;
use roomer_hub::Snapshot;
use roomer_hub::{Action, Members, Permission};
use roomer_hub::{Command, Input};
use roomer_hub::{ConnKey, HandlerKey, RoomKey};

/// Rooms of up to this many members are flushed at once. In larger ones a flush takes long enough
/// that it pays to let the other senders who are ready have their say first.
const SMALL_ROOM: usize = 8;

/// A tick of this many bytes is handed over at once, so that a busy room does not hoard.
const LARGE_TICK: usize = 128 * 1024;

/// Connections with something in their outboxes.
pub(crate) type Listed = Vec<(ConnKey, Arc<Link>)>;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) hub: Hub,
    pub(crate) links: SecondaryMap<ConnKey, Arc<Link>>,
    pub(crate) people: People,
    ticks: SecondaryMap<RoomKey, Box<Tick>>,
    /// Rooms whose members are owed something.
    dirty: Vec<RoomKey>,
    /// A large room came to be dirty, and nobody has undertaken to flush it yet.
    unclaimed: bool,
    /// Connections with something in their outboxes that nobody is about to write.
    listed: Listed,
    /// Connections that are owed too much.
    pub(crate) jams: Vec<ConnKey>,
    pub(crate) leaving: Leaving,
    pub(crate) wire: Wire,
    pub(crate) counts: Counts,
    #[cfg(feature = "audit")]
    pub(crate) journal: Journal,
}

/// What an input led to, as far as it concerns whoever gave it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The key of the connection that was opened.
    pub(crate) opened: Option<ConnKey>,
    /// A handler to run, with the packet that was given.
    pub(crate) call: Option<HandlerKey>,
    /// A rule to ask about the packet that was given.
    pub(crate) ask: Option<Permission>,
    /// A receiver that is owed too much: whoever sends to it should wait.
    pub(crate) jam: Option<Arc<Link>>,
    /// The hub has closed the connection that the input is about.
    pub(crate) is_closed: bool,
}

/// What is to be done once the lock is released.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) links: Listed,
    rooms: Vec<RoomKey>,
}

impl Work {
    #[cfg(all(test, roomer_loom))]
    pub(crate) fn on(links: Listed) -> Self {
        Work { links, rooms: Vec::new() }
    }

    pub(crate) fn has_rooms(&self) -> bool {
        !self.rooms.is_empty()
    }
}

impl Core {
    pub(crate) fn new(hub: Hub, has_hooks: bool) -> Self {
        Core {
            hub,
            links: SecondaryMap::new(),
            people: People::default(),
            ticks: SecondaryMap::new(),
            dirty: Vec::new(),
            unclaimed: false,
            listed: Vec::new(),
            jams: Vec::new(),
            leaving: Leaving::default(),
            wire: Wire::new(has_hooks),
            counts: Counts::default(),
            #[cfg(feature = "audit")]
            journal: Journal::default(),
        }
    }

    /// Gives the hub an input and does the bookkeeping of its actions. `newcomer` is the link of
    /// a connection that opens.
    pub(crate) fn apply(
        &mut self,
        now: Duration,
        input: Input<'_>,
        newcomer: Option<&Arc<Link>>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        #[cfg(feature = "audit")]
        self.journal.note(&input);
        let Core { hub, links, people, ticks, dirty, listed, jams, leaving, wire, counts, .. } =
            self;
        let mut spoken_in = None;
        let mut has_joined = false;
        let mut actions = hub.handle(now, input);
        while let Some(action) = actions.next() {
            match action {
                Action::Opened { conn } => {
                    outcome.opened = Some(conn);
                    #[cfg(feature = "audit")]
                    self.journal.opened(conn);
                    links.extend(newcomer.map(|link| (conn, link.clone())));
                }
                Action::Joined { conn, room, name } => {
                    has_joined = true;
                    if let Some(tick) = ticks.get_mut(room) {
                        tick.skip(conn, 0);
                    }
                    wire.note(people.get(conn), || News::Joined(name.into()));
                }
                Action::Left { conn, room, name } => {
                    wire.note(people.get(conn), || News::Left(name.into()));
                    if let (Some(tick), Some(link)) = (ticks.get_mut(room), links.get(conn)) {
                        settle(tick, conn, link, listed);
                    }
                }
                Action::RoomClosed { room, .. } => {
                    ticks.remove(room);
                }
                Action::JoinAck { to, id, room, snapshot } => {
                    if let Some(link) = links.get(to) {
                        // One who was in already hears first what the snapshot has in it.
                        if !has_joined
                            && let Some(room) = actions.hub().room(room)
                            && let Some(tick) = ticks.get_mut(room)
                        {
                            settle(tick, to, link, listed);
                        }
                        let packet = PacketRef { room, event: JOIN_ACK, src: id, ..NOTHING };
                        join_ack(to, link, &packet, snapshot, listed);
                        counts.messages_out += 1;
                    }
                }
                Action::Send { to, packet } => {
                    let Some(link) = links.get(to) else { continue };
                    // What its rooms owe the receiver of a direct message comes first, so that a
                    // sender's messages keep their order whether they are direct or not.
                    if !packet.dst.is_empty() && !ticks.is_empty() {
                        for room in actions.hub().rooms_of(to) {
                            if let Some(tick) = ticks.get_mut(room) {
                                settle(tick, to, link, listed);
                            }
                        }
                    }
                    list(to, link, Piece::whole(frame(&packet)), listed);
                    counts.messages_out += 1;
                    if link.is_jammed() {
                        outcome.jam = Some(link.clone());
                    }
                }
                Action::Broadcast { room, members, except, packet } => {
                    if members.iter().all(|member| Some(member) == except) {
                        continue;
                    }
                    if !ticks.contains_key(room) {
                        ticks.insert(room, Box::default());
                    }
                    let tick = &mut ticks[room];
                    let start = tick.frames.len();
                    let encoded = websocket::packet_frame(&packet, &mut tick.frames);
                    debug_assert!(encoded.is_ok(), "fields came from a message below 4 GiB");
                    if let Some(conn) = except {
                        tick.skip(conn, start);
                    }
                    if tick.frames.len() >= LARGE_TICK {
                        hand_over(tick, members, links, listed);
                    } else if !std::mem::replace(&mut tick.awaited, true) {
                        dirty.push(room);
                    }
                    let left_out = except.is_some_and(|conn| actions.hub().is_member(conn, room));
                    counts.messages_out += (members.len() - usize::from(left_out)) as u64;
                    spoken_in = Some(room);
                }
                Action::Call { handler, .. } => outcome.call = Some(handler),
                Action::Ask { about, .. } => outcome.ask = Some(about),
                Action::Close { conn, code, reason } => {
                    outcome.is_closed = true;
                    *counts.closes.entry(code).or_default() += 1;
                    wire.note_life(people.get(conn), || {
                        News::Gone(DisconnectReason::ByServer(code), reason.into())
                    });
                    people.remove(conn);
                    if let Some(link) = links.remove(conn) {
                        counts.bytes_out += link.count_written();
                        // What one that does not read has waiting would only be in the way.
                        let cut = code == websocket::code::TRY_AGAIN_LATER;
                        link.close(Some(code), reason, cut);
                        leaving.add(&link);
                        listed.push((conn, link));
                    }
                }
                Action::Refused => {}
            }
        }
        if let Some(room) = spoken_in.filter(|_| !jams.is_empty()) {
            jams.retain(|&conn| links.get(conn).is_some_and(|link| link.is_over()));
            let is_jam = |&&conn: &&ConnKey| links[conn].is_jammed() && hub.is_member(conn, room);
            let jam = jams.iter().find(is_jam);
            outcome.jam = jam.and_then(|&conn| links.get(conn)).cloned();
        }
        outcome
    }

    /// A connection is there: who it is, is known before anything is said of it.
    pub(crate) fn arrived(&mut self, person: &Arc<Person>) {
        self.people.insert(person);
        let Core { hub, wire, .. } = self;
        wire.note_life(Some(person), || News::Connected);
        for room in hub.rooms_of(person.key) {
            wire.note(Some(person), || News::Joined(hub.name(room).unwrap_or_default().into()));
        }
    }

    /// Closes the oldest connection of a user that has more than it may.
    pub(crate) fn limit_user(&mut self, now: Duration, newcomer: &Person, most: usize) {
        let Some(user) = newcomer.user() else { return };
        let mut conns = self.people.of(user);
        if conns.len() > most
            && let Some(conn) = conns.next()
        {
            drop(conns);
            let (code, reason) = close::REPLACED.frame();
            self.apply(now, Input::Command(Command::Close { conn, code, reason }), None);
        }
    }

    /// A connection is gone without a close of the hub's making.
    pub(crate) fn gone(&mut self, now: Duration, conn: ConnKey, why: DisconnectReason) {
        self.apply(now, Input::Gone { conn }, None);
        if let Some(link) = self.links.remove(conn) {
            self.counts.bytes_out += link.count_written();
            self.leaving.add(&link);
        }
        if let Some(person) = self.people.remove(conn) {
            self.counts.lost += u64::from(why == DisconnectReason::Lost);
            self.counts.by_peer += u64::from(why != DisconnectReason::Lost);
            self.wire.note_life(Some(&person), || News::Gone(why, "".into()));
        }
    }

    /// Queues one message for one connection, outside all rooms.
    pub(crate) fn send(&mut self, conn: ConnKey, frame: Vec<u8>) -> bool {
        let Some(link) = self.links.get(conn).filter(|link| !link.is_over()) else {
            return false;
        };
        list(conn, link, Piece::whole(frame), &mut self.listed);
        true
    }

    /// Sends a message back to where it came from.
    pub(crate) fn echo(&mut self, conn: ConnKey, kind: Kind, data: &[u8]) {
        let mut frame = Vec::new();
        websocket::message_frame(kind, data, &mut frame);
        if let Some(link) = self.links.get(conn) {
            list(conn, link, Piece::whole(frame), &mut self.listed);
        }
    }

    /// Puts a link on the list of those to be written.
    pub(crate) fn list(&mut self, conn: ConnKey, link: &Arc<Link>) {
        self.listed.push((conn, link.clone()));
    }

    /// Hands over what rooms owe their members and takes what is to be written. Without `all`,
    /// large rooms stay for whoever claims them.
    pub(crate) fn take(&mut self, all: bool) -> Work {
        let Core { hub, links, ticks, dirty, unclaimed, listed, .. } = self;
        *unclaimed &= !all;
        let mut rooms = Vec::new();
        dirty.retain(|&room| {
            let Some(tick) = ticks.get_mut(room) else {
                return false;
            };
            let members = hub.members(room);
            let is_small = members.len() <= SMALL_ROOM;
            if !all && !is_small {
                // Here and not when it was spoken in: it may have grown since, unheard.
                *unclaimed |= !std::mem::replace(&mut tick.claimed, true);
                return true;
            }
            hand_over(tick, members, links, listed);
            if is_small {
                ticks.remove(room);
            } else {
                rooms.push(room);
            }
            false
        });
        Work { links: std::mem::take(listed), rooms }
    }

    /// Whether the caller has to come back and flush large rooms once others have had their say.
    /// Only one is asked to: if all who speak in a busy room came back, each would flush what
    /// the one before has just said.
    pub(crate) fn claim(&mut self) -> bool {
        std::mem::take(&mut self.unclaimed)
    }

    /// Puts rooms that got new messages while they were written back on the list, for the caller
    /// to come back for. False when there are none.
    pub(crate) fn settle_up(&mut self, work: &Work) -> bool {
        let before = self.dirty.len();
        for &room in &work.rooms {
            match self.ticks.get(room) {
                Some(tick) if tick.frames.is_empty() => {
                    self.ticks.remove(room);
                }
                Some(_) => self.dirty.push(room),
                None => {}
            }
        }
        self.dirty.len() > before
    }
}

/// Encodes a packet for one receiver.
pub(crate) fn frame(packet: &PacketRef<'_>) -> Vec<u8> {
    let mut frame = Vec::new();
    let encoded = websocket::packet_frame(packet, &mut frame);
    debug_assert!(encoded.is_ok(), "fields came from a message below 4 GiB");
    frame
}

/// The fields that a packet has anyway.
const NOTHING: PacketRef<'_> = PacketRef { room: "", event: "", dst: "", src: "", payload: &[] };

/// Queues a `join_ack`: one piece for a small room, shared pages for a large one.
fn join_ack(
    conn: ConnKey,
    link: &Arc<Link>,
    packet: &PacketRef<'_>,
    snapshot: Snapshot<'_>,
    listed: &mut Listed,
) {
    let mut piece = Vec::new();
    let encoded = websocket::packet_frame_head(packet, snapshot.len(), &mut piece);
    debug_assert!(encoded.is_ok(), "a room of a hundred million members");
    for page in snapshot.pages() {
        if !piece.is_empty() {
            list(conn, link, Piece::part(std::mem::take(&mut piece)), listed);
        }
        list(conn, link, Piece::part(page.clone()), listed);
    }
    snapshot.write_tail(&mut piece);
    list(conn, link, Piece::whole(piece), listed);
}

fn list(conn: ConnKey, link: &Arc<Link>, piece: Piece, listed: &mut Listed) {
    if link.push(piece) {
        listed.push((conn, link.clone()));
    }
}

/// Gives one connection what a room owes it so far.
fn settle(tick: &mut Tick, conn: ConnKey, link: &Arc<Link>, listed: &mut Listed) {
    if !tick.frames.is_empty() && link.is_open() {
        list(conn, link, Piece::whole(tick.owed(conn)), listed);
        tick.skip(conn, 0);
    }
}

/// Gives every member what the room owes it.
fn hand_over(
    tick: &mut Tick,
    members: Members<'_>,
    links: &SecondaryMap<ConnKey, Arc<Link>>,
    listed: &mut Listed,
) {
    if tick.frames.is_empty() {
        return;
    }
    let sealed = tick.seal();
    listed.reserve(members.len());
    for conn in members.iter() {
        if let Some(link) = links.get(conn) {
            sealed.pieces(conn, |piece| list(conn, link, Piece::whole(piece), listed));
        }
    }
}

#[cfg(feature = "audit")]
mod audit;
#[cfg(test)]
mod tests;
