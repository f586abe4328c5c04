//! What the server's one lock protects: the hub, and what its actions have caused.
//!
//! Everything here is bookkeeping in memory. Nothing writes to a socket, wakes a task or runs a
//! handler; that is done with the lock released, by whoever calls [`Core::take`].

use std::sync::Arc;
use std::time::Duration;

use roomer_proto::websocket::{self, Kind};
use roomer_proto::{JOIN_ACK, PacketRef, close};
use slotmap::SecondaryMap;

use crate::app::conn::ConnInfo;
use crate::app::conn_table::ConnTable;
use crate::app::hooks::{DisconnectReason, HookEvent, HookQueue};
#[cfg(feature = "audit")]
use crate::journal::Journal;
use crate::metrics::stats::Counts;
use crate::outbound::batch::RoomBatch;
use crate::outbound::chunk::Chunk;
use crate::outbound::outbox::Outbox;
use crate::outbound::shed::ClosingOutboxes;
use roomer_hub::Hub;
use roomer_hub::Snapshot;
use roomer_hub::{Action, Members, Permission};
use roomer_hub::{Command, Input};
use roomer_hub::{ConnKey, HandlerKey, RoomKey};

/// Rooms of up to this many members are flushed at once. In larger ones a flush takes long enough
/// that it pays to let the other senders who are ready have their say first.
const SMALL_ROOM: usize = 8;

/// A tick of this many bytes is handed over at once, so that a busy room does not hoard.
const LARGE_BATCH: usize = 128 * 1024;

/// Connections with something in their outboxes.
pub(crate) type FlushList = Vec<(ConnKey, Arc<Outbox>)>;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) hub: Hub,
    pub(crate) outboxes: SecondaryMap<ConnKey, Arc<Outbox>>,
    pub(crate) infos: ConnTable,
    batches: SecondaryMap<RoomKey, Box<RoomBatch>>,
    /// Rooms whose members are owed something.
    dirty: Vec<RoomKey>,
    /// A large room came to be dirty, and nobody has undertaken to flush it yet.
    needs_flusher: bool,
    /// Connections with something in their outboxes that nobody is about to write.
    flush_list: FlushList,
    /// Connections that are owed too much.
    pub(crate) congested: Vec<ConnKey>,
    pub(crate) closing_outboxes: ClosingOutboxes,
    pub(crate) hook_queue: HookQueue,
    pub(crate) counts: Counts,
    #[cfg(feature = "audit")]
    pub(crate) journal: Journal,
}

/// What an input led to, as far as it concerns whoever gave it.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// The key of the connection that was opened.
    pub(crate) opened: Option<ConnKey>,
    /// A handler to run, with the packet that was given.
    pub(crate) call: Option<HandlerKey>,
    /// A rule to ask about the packet that was given.
    pub(crate) ask: Option<Permission>,
    /// A receiver that is owed too much: whoever sends to it should wait.
    pub(crate) congested: Option<Arc<Outbox>>,
    /// The hub has closed the connection that the input is about.
    pub(crate) is_closed: bool,
}

/// What is to be done once the lock is released.
#[derive(Debug, Default)]
pub(crate) struct FlushWork {
    pub(crate) outboxes: FlushList,
    rooms: Vec<RoomKey>,
}

impl FlushWork {
    #[cfg(all(test, roomer_loom))]
    pub(crate) fn on(outboxes: FlushList) -> Self {
        FlushWork { outboxes, rooms: Vec::new() }
    }

    pub(crate) fn has_rooms(&self) -> bool {
        !self.rooms.is_empty()
    }
}

impl Core {
    pub(crate) fn new(hub: Hub, has_hooks: bool) -> Self {
        Core {
            hub,
            outboxes: SecondaryMap::new(),
            infos: ConnTable::default(),
            batches: SecondaryMap::new(),
            dirty: Vec::new(),
            needs_flusher: false,
            flush_list: Vec::new(),
            congested: Vec::new(),
            closing_outboxes: ClosingOutboxes::default(),
            hook_queue: HookQueue::new(has_hooks),
            counts: Counts::default(),
            #[cfg(feature = "audit")]
            journal: Journal::default(),
        }
    }

    /// Gives the hub an input and does the bookkeeping of its actions. `opening` is the link of
    /// a connection that opens.
    pub(crate) fn apply(
        &mut self,
        now: Duration,
        input: Input<'_>,
        opening: Option<&Arc<Outbox>>,
    ) -> Applied {
        let mut applied = Applied::default();
        #[cfg(feature = "audit")]
        self.journal.note(&input);
        let Core {
            hub,
            outboxes,
            infos,
            batches,
            dirty,
            flush_list,
            congested,
            closing_outboxes,
            hook_queue,
            counts,
            ..
        } = self;
        let mut spoken_in = None;
        let mut has_joined = false;
        let mut actions = hub.handle(now, input);
        while let Some(action) = actions.next() {
            match action {
                Action::Opened { conn } => {
                    applied.opened = Some(conn);
                    #[cfg(feature = "audit")]
                    self.journal.opened(conn);
                    outboxes.extend(opening.map(|outbox| (conn, outbox.clone())));
                }
                Action::Joined { conn, room, name } => {
                    has_joined = true;
                    if let Some(batch) = batches.get_mut(room) {
                        batch.exclude(conn, 0);
                    }
                    hook_queue.push(infos.get(conn), || HookEvent::Joined(name.into()));
                }
                Action::Left { conn, room, name } => {
                    hook_queue.push(infos.get(conn), || HookEvent::Left(name.into()));
                    if let (Some(batch), Some(outbox)) = (batches.get_mut(room), outboxes.get(conn))
                    {
                        flush_batch_to(batch, conn, outbox, flush_list);
                    }
                }
                Action::RoomClosed { room, .. } => {
                    batches.remove(room);
                }
                Action::JoinAck { to, id, room, snapshot } => {
                    if let Some(outbox) = outboxes.get(to) {
                        // One who was in already hears first what the snapshot has in it.
                        if !has_joined
                            && let Some(room) = actions.hub().room(room)
                            && let Some(batch) = batches.get_mut(room)
                        {
                            flush_batch_to(batch, to, outbox, flush_list);
                        }
                        let packet = PacketRef { room, event: JOIN_ACK, src: id, ..EMPTY_PACKET };
                        join_ack(to, outbox, &packet, snapshot, flush_list);
                        counts.messages_out += 1;
                    }
                }
                Action::Send { to, packet } => {
                    let Some(outbox) = outboxes.get(to) else { continue };
                    // What its rooms owe the receiver of a direct message comes first, so that a
                    // sender's messages keep their order whether they are direct or not.
                    if !packet.dst.is_empty() && !batches.is_empty() {
                        for room in actions.hub().rooms_of(to) {
                            if let Some(batch) = batches.get_mut(room) {
                                flush_batch_to(batch, to, outbox, flush_list);
                            }
                        }
                    }
                    schedule(to, outbox, Chunk::complete(frame(&packet)), flush_list);
                    counts.messages_out += 1;
                    if outbox.is_congested() {
                        applied.congested = Some(outbox.clone());
                    }
                }
                Action::Broadcast { room, members, except, packet } => {
                    if members.iter().all(|member| Some(member) == except) {
                        continue;
                    }
                    if !batches.contains_key(room) {
                        batches.insert(room, Box::default());
                    }
                    let batch = &mut batches[room];
                    let start = batch.frames.len();
                    let encoded = websocket::packet_frame(&packet, &mut batch.frames);
                    debug_assert!(encoded.is_ok(), "fields came from a message below 4 GiB");
                    if let Some(conn) = except {
                        batch.exclude(conn, start);
                    }
                    if batch.frames.len() >= LARGE_BATCH {
                        deliver_batch(batch, members, outboxes, flush_list);
                    } else if !std::mem::replace(&mut batch.queued, true) {
                        dirty.push(room);
                    }
                    let left_out = except.is_some_and(|conn| actions.hub().is_member(conn, room));
                    counts.messages_out += (members.len() - usize::from(left_out)) as u64;
                    spoken_in = Some(room);
                }
                Action::Call { handler, .. } => applied.call = Some(handler),
                Action::Ask { about, .. } => applied.ask = Some(about),
                Action::Close { conn, code, reason } => {
                    applied.is_closed = true;
                    *counts.closes.entry(code).or_default() += 1;
                    hook_queue.push_lifecycle(infos.get(conn), || {
                        HookEvent::Gone(DisconnectReason::ByServer(code), reason.into())
                    });
                    infos.remove(conn);
                    if let Some(outbox) = outboxes.remove(conn) {
                        counts.bytes_out += outbox.count_written();
                        // What one that does not read has waiting would only be in the way.
                        let cut = code == websocket::code::TRY_AGAIN_LATER;
                        outbox.close(Some(code), reason, cut);
                        closing_outboxes.add(&outbox);
                        flush_list.push((conn, outbox));
                    }
                }
                Action::Rejected => {}
            }
        }
        if let Some(room) = spoken_in.filter(|_| !congested.is_empty()) {
            congested.retain(|&conn| outboxes.get(conn).is_some_and(|outbox| outbox.is_over()));
            let is_congested_here =
                |&&conn: &&ConnKey| outboxes[conn].is_congested() && hub.is_member(conn, room);
            let congested = congested.iter().find(is_congested_here);
            applied.congested = congested.and_then(|&conn| outboxes.get(conn)).cloned();
        }
        applied
    }

    /// A connection is there: who it is, is known before anything is said of it.
    pub(crate) fn arrived(&mut self, info: &Arc<ConnInfo>) {
        self.infos.insert(info);
        let Core { hub, hook_queue, .. } = self;
        hook_queue.push_lifecycle(Some(info), || HookEvent::Connected);
        for room in hub.rooms_of(info.key) {
            hook_queue
                .push(Some(info), || HookEvent::Joined(hub.name(room).unwrap_or_default().into()));
        }
    }

    /// Closes the oldest connection of a user that has more than it may.
    pub(crate) fn limit_user(&mut self, now: Duration, opening: &ConnInfo, most: usize) {
        let Some(user) = opening.user() else { return };
        let mut conns = self.infos.of(user);
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
        if let Some(outbox) = self.outboxes.remove(conn) {
            self.counts.bytes_out += outbox.count_written();
            self.closing_outboxes.add(&outbox);
        }
        if let Some(info) = self.infos.remove(conn) {
            self.counts.lost += u64::from(why == DisconnectReason::Lost);
            self.counts.by_peer += u64::from(why != DisconnectReason::Lost);
            self.hook_queue.push_lifecycle(Some(&info), || HookEvent::Gone(why, "".into()));
        }
    }

    /// Queues one message for one connection, outside all rooms.
    pub(crate) fn send(&mut self, conn: ConnKey, frame: Vec<u8>) -> bool {
        let Some(outbox) = self.outboxes.get(conn).filter(|outbox| !outbox.is_over()) else {
            return false;
        };
        schedule(conn, outbox, Chunk::complete(frame), &mut self.flush_list);
        true
    }

    /// Sends a message back to where it came from.
    pub(crate) fn echo(&mut self, conn: ConnKey, kind: Kind, data: &[u8]) {
        let mut frame = Vec::new();
        websocket::message_frame(kind, data, &mut frame);
        if let Some(outbox) = self.outboxes.get(conn) {
            schedule(conn, outbox, Chunk::complete(frame), &mut self.flush_list);
        }
    }

    /// Puts a link on the list of those to be written.
    pub(crate) fn schedule(&mut self, conn: ConnKey, outbox: &Arc<Outbox>) {
        self.flush_list.push((conn, outbox.clone()));
    }

    /// Hands over what rooms owe their members and takes what is to be written. Without `all`,
    /// large rooms stay for whoever claims them.
    pub(crate) fn take(&mut self, all: bool) -> FlushWork {
        let Core { hub, outboxes, batches, dirty, needs_flusher, flush_list, .. } = self;
        *needs_flusher &= !all;
        let mut rooms = Vec::new();
        dirty.retain(|&room| {
            let Some(batch) = batches.get_mut(room) else {
                return false;
            };
            let members = hub.members(room);
            let is_small = members.len() <= SMALL_ROOM;
            if !all && !is_small {
                // Here and not when it was spoken in: it may have grown since, unheard.
                *needs_flusher |= !std::mem::replace(&mut batch.assigned, true);
                return true;
            }
            deliver_batch(batch, members, outboxes, flush_list);
            if is_small {
                batches.remove(room);
            } else {
                rooms.push(room);
            }
            false
        });
        FlushWork { outboxes: std::mem::take(flush_list), rooms }
    }

    /// Whether the caller has to come back and flush large rooms once others have had their say.
    /// Only one is asked to: if all who speak in a busy room came back, each would flush what
    /// the one before has just said.
    pub(crate) fn take_flush_duty(&mut self) -> bool {
        std::mem::take(&mut self.needs_flusher)
    }

    /// Puts rooms that got new messages while they were written back on the list, for the caller
    /// to come back for. False when there are none.
    pub(crate) fn finish_flush(&mut self, work: &FlushWork) -> bool {
        let before = self.dirty.len();
        for &room in &work.rooms {
            match self.batches.get(room) {
                Some(batch) if batch.frames.is_empty() => {
                    self.batches.remove(room);
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
const EMPTY_PACKET: PacketRef<'_> =
    PacketRef { room: "", event: "", dst: "", src: "", payload: &[] };

/// Queues a `join_ack`: one piece for a small room, shared pages for a large one.
fn join_ack(
    conn: ConnKey,
    outbox: &Arc<Outbox>,
    packet: &PacketRef<'_>,
    snapshot: Snapshot<'_>,
    flush_list: &mut FlushList,
) {
    let mut piece = Vec::new();
    let encoded = websocket::packet_frame_head(packet, snapshot.len(), &mut piece);
    debug_assert!(encoded.is_ok(), "a room of a hundred million members");
    for page in snapshot.pages() {
        if !piece.is_empty() {
            schedule(conn, outbox, Chunk::partial(std::mem::take(&mut piece)), flush_list);
        }
        schedule(conn, outbox, Chunk::partial(page.clone()), flush_list);
    }
    snapshot.write_tail(&mut piece);
    schedule(conn, outbox, Chunk::complete(piece), flush_list);
}

fn schedule(conn: ConnKey, outbox: &Arc<Outbox>, piece: Chunk, flush_list: &mut FlushList) {
    if outbox.push(piece) {
        flush_list.push((conn, outbox.clone()));
    }
}

/// Gives one connection what a room owes it so far.
fn flush_batch_to(
    batch: &mut RoomBatch,
    conn: ConnKey,
    outbox: &Arc<Outbox>,
    flush_list: &mut FlushList,
) {
    if !batch.frames.is_empty() && outbox.is_open() {
        schedule(conn, outbox, Chunk::complete(batch.pending_for(conn)), flush_list);
        batch.exclude(conn, 0);
    }
}

/// Gives every member what the room owes it.
fn deliver_batch(
    batch: &mut RoomBatch,
    members: Members<'_>,
    outboxes: &SecondaryMap<ConnKey, Arc<Outbox>>,
    flush_list: &mut FlushList,
) {
    if batch.frames.is_empty() {
        return;
    }
    let sealed = batch.seal();
    flush_list.reserve(members.len());
    for conn in members.iter() {
        if let Some(outbox) = outboxes.get(conn) {
            sealed.chunks(conn, |piece| schedule(conn, outbox, Chunk::complete(piece), flush_list));
        }
    }
}

#[cfg(feature = "audit")]
mod audit;
#[cfg(test)]
mod tests;
