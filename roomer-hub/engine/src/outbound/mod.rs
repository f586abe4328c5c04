//! Outbound queues: the room's batch for messages to a room, the receiver's outbox for others.
//!
//! ```text
//!  hub's action ──▶ RoomBatch ──────▶ Outbox ──────▶ socket
//!                   one per room      one per connection
//!                   │◀────────── a flush ──────────▶│
//!   under the server's lock ──────────────▶│◀─── without it
//! ```
//!
//! A broadcast is encoded once, and appended to the messages that its room has already collected
//! ([`batch`]). A flush seals the batch and queues the same bytes for every member ([`mod@deliver`],
//! [`outbox`]). It then writes each outbox to its socket without the server's lock
//! ([`socket_writer`]), compressed if the receiver has negotiated it ([`compressed`]). Many messages
//! to a busy room therefore cost one write per member.
//!
//! [`flush`] determines which task flushes, when, and how much it writes in one poll. Large flushes
//! are shared between threads ([`flush_pool`]). [`budget`] limits all connections' total memory.
//!
//! [`Outbound`] is the part of this module's state that is under the server's lock.

pub(crate) mod batch;
pub(crate) mod budget;
mod chunk;
pub(crate) mod closed_backlogs;
pub(crate) mod compressed;
pub(crate) mod deliver;
pub(crate) mod flush;
pub(crate) mod flush_pool;
mod mixed;
pub(crate) mod outbox;
pub(crate) mod replay;
mod sealed;
pub(crate) mod socket_writer;

use std::sync::Arc;
use std::task::Waker;

use roomer_hub::{Audience, ConnKey, KeyMap, Members, RoomKey, Snapshot, Tables};
use roomer_proto::websocket;
use roomer_proto::{JOIN_ACK, PacketRef};

use crate::outbound::batch::RoomBatch;
pub(crate) use crate::outbound::chunk::Chunk;
use crate::outbound::closed_backlogs::ClosingWriters;
use crate::outbound::compressed::CompressionRules;
use crate::outbound::deliver::{deliver, deliver_to, schedule};
use crate::outbound::socket_writer::SocketWriter;

/// The maximum number of members in a room that the sender's task flushes immediately. Flushing a
/// larger room takes long enough that other senders should be able to add their messages first.
pub(crate) const SMALL_ROOM: usize = 8;

/// A batch of this many bytes is delivered immediately so that a busy room's batch cannot grow
/// without limit.
const LARGE_BATCH: usize = 128 * 1024;

/// Connections with outboxes to write.
pub(crate) type FlushList = Vec<(ConnKey, Arc<SocketWriter>)>;

/// The pending output: batches by room, and outboxes by receiver.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    pub(crate) writers: KeyMap<ConnKey, Arc<SocketWriter>>,
    batches: KeyMap<RoomKey, Box<RoomBatch>>,
    /// Empty batches, whose allocations are reused by other rooms.
    #[allow(clippy::vec_box)] // Moved into the table of batches and back without reallocation.
    spare_batches: Vec<Box<RoomBatch>>,
    /// Rooms with batches to deliver.
    dirty: Vec<RoomKey>,
    /// Connections that have outboxes to write, and that no task has taken yet.
    flush_list: FlushList,
    /// Connections whose queue was above the high-water mark after a flush.
    pub(crate) congested: Vec<ConnKey>,
    pub(crate) closing: ClosingWriters,
    pub(crate) compression: CompressionRules,
}

/// The outboxes to write, and other work for a task that has released the lock.
#[derive(Debug, Default)]
pub(crate) struct FlushWork {
    pub(crate) writers: FlushList,
    /// The large rooms whose batches were delivered. New messages to them are collected until this
    /// flush ends.
    rooms: Vec<RoomKey>,
    /// True if the caller must flush the large rooms later.
    pub(crate) has_more: bool,
    /// Wakers of tasks that wait for clients' answers, which have now arrived.
    pub(crate) wakers: Vec<Waker>,
    /// The waker of the broker link's task, if there is something to publish.
    pub(crate) link: Option<Waker>,
}

impl FlushWork {
    #[cfg(all(test, roomer_loom))]
    pub(crate) fn on(writers: FlushList) -> Self {
        FlushWork { writers, ..FlushWork::default() }
    }

    pub(crate) fn has_rooms(&self) -> bool {
        !self.rooms.is_empty()
    }
}

impl Outbound {
    /// Adds the writer of a newly opened connection.
    pub(crate) fn opened(&mut self, conn: ConnKey, writer: Option<&Arc<SocketWriter>>) {
        self.writers.extend(writer.map(|writer| (conn, writer.clone())));
    }

    /// Records that a connection joined a room, and excludes it from the messages collected so far.
    pub(crate) fn joined(&mut self, conn: ConnKey, room: RoomKey) {
        if let Some(batch) = self.batches.get_mut(room) {
            batch.exclude(conn, 0);
        }
    }

    /// Records that a connection left a room. The messages collected so far are delivered to the
    /// connection, but no later ones.
    pub(crate) fn left(&mut self, conn: ConnKey, room: RoomKey) {
        let Outbound { writers, batches, flush_list, .. } = self;
        if let (Some(batch), Some(writer)) = (batches.get_mut(room), writers.get(conn)) {
            deliver_to(batch, conn, writer, flush_list);
        }
    }

    pub(crate) fn room_closed(&mut self, room: RoomKey) {
        self.batches.remove(room);
    }

    /// Queues a `join_ack`. `rejoined` is the room, if the connection was already a member of it.
    /// Returns false if the connection does not accept output.
    pub(crate) fn join_ack(
        &mut self,
        to: ConnKey,
        rejoined: Option<RoomKey>,
        packet: PacketRef<'_>,
        snapshot: Snapshot<'_>,
    ) -> bool {
        let Outbound { writers, batches, flush_list, .. } = self;
        let Some(writer) = writers.get(to) else { return false };
        // An existing member first receives the notices that the snapshot already reflects.
        if let Some(batch) = rejoined.and_then(|room| batches.get_mut(room)) {
            // If they followed the snapshot, the notices would announce members that the snapshot
            // already contains.
            deliver_to(batch, to, writer, flush_list);
        }
        let packet = PacketRef { event: JOIN_ACK, ..packet };
        // For a small room, one chunk contains the whole frame. For a large room, the frame
        // includes chunks that all its snapshots share.
        let mut chunk = Vec::new();
        let is_copied = snapshot.runs().all(|run| run.chunks().is_empty());
        let (len, copied) = (snapshot.len(), if is_copied { snapshot.len() } else { 0 });
        let encoded = websocket::packet_frame_head(&packet, len, copied, &mut chunk);
        debug_assert!(encoded.is_ok(), "a room of a hundred million members");
        for run in snapshot.runs() {
            for shared in run.chunks() {
                // `chunk` now contains the frame's header, or the previous run's tail.
                if !chunk.is_empty() {
                    schedule(to, writer, Chunk::partial(std::mem::take(&mut chunk)), flush_list);
                }
                schedule(to, writer, Chunk::partial(shared.clone()), flush_list);
            }
            run.write_tail(&mut chunk);
        }
        schedule(to, writer, Chunk::complete(chunk), flush_list);
        true
    }

    /// Queues a packet for one connection, which is a member of `rooms`. Returns the receiver's
    /// writer, or `None` if the connection has ended.
    pub(crate) fn send(
        &mut self,
        to: ConnKey,
        packet: &PacketRef<'_>,
        rooms: impl Iterator<Item = RoomKey>,
    ) -> Option<&Arc<SocketWriter>> {
        let Outbound { writers, batches, flush_list, .. } = self;
        let writer = writers.get(to)?;
        // Deliver the receiver's room batches before a direct message, so that one sender's direct
        // and room messages stay in order.
        if !packet.dst.is_empty() && !batches.is_empty() {
            for room in rooms {
                if let Some(batch) = batches.get_mut(room) {
                    deliver_to(batch, to, writer, flush_list);
                }
            }
        }
        schedule(to, writer, Chunk::complete(encode(packet)), flush_list);
        Some(writer)
    }

    /// Adds a packet to a room's batch, for all members of one or both kinds except `except`.
    pub(crate) fn broadcast(
        &mut self,
        room: RoomKey,
        members: Members<'_>,
        except: Option<ConnKey>,
        audience: Audience,
        packet: &PacketRef<'_>,
    ) {
        let Outbound { writers, batches, spare_batches, dirty, flush_list, compression, .. } = self;
        if !batches.contains_key(room) {
            batches.insert(room, spare_batches.pop().unwrap_or_default());
        }
        let batch = &mut batches[room];
        let start = batch.frames.len();
        let encoded = websocket::packet_frame(packet, &mut batch.frames);
        debug_assert!(encoded.is_ok(), "fields came from a message below 4 GiB");
        batch.restrict(start, audience);
        if let Some(threshold) = compression.threshold(packet.room, batch.frames.len() - start) {
            batch.compress_from(threshold);
        }
        if let Some(conn) = except {
            batch.exclude(conn, start);
        }
        // Delivering the batch puts its receivers on the flush list. If the room is also on the
        // dirty list, the next flush finds its batch empty.
        if batch.frames.len() >= LARGE_BATCH {
            deliver(batch, members, writers, flush_list);
        } else if !std::mem::replace(&mut batch.is_queued, true) {
            dirty.push(room);
        }
    }

    /// Queues a frame that is not a session packet, such as a ping or a pong. Has no effect if the
    /// connection has ended or is above its high-water mark.
    pub(crate) fn send_control(&mut self, conn: ConnKey, frame: Vec<u8>) {
        if let Some(writer) = self.writers.get(conn).filter(|writer| !writer.is_above())
            && writer.push_unlogged(Chunk::complete(frame))
        {
            self.flush_list.push((conn, writer.clone()));
        }
    }

    /// Queues a frame for one connection, regardless of its rooms. Returns false if the connection
    /// has ended or is above its high-water mark.
    pub(crate) fn send_frame(&mut self, conn: ConnKey, frame: Vec<u8>) -> bool {
        let Some(writer) = self.writers.get(conn).filter(|writer| !writer.is_above()) else {
            return false;
        };
        schedule(conn, writer, Chunk::complete(frame), &mut self.flush_list);
        true
    }

    /// Queues a close frame for a connection, and removes the connection's writer. Returns the number
    /// of bytes written to the connection since the last count.
    pub(crate) fn close(&mut self, conn: ConnKey, code: u16, reason: &str) -> Option<u64> {
        let writer = self.writers.remove(conn)?;
        let written = writer.count_written();
        // Messages queued for a client that does not read would only delay the close frame.
        let drop_unsent = code == websocket::code::TRY_AGAIN_LATER;
        writer.close(Some(code), reason, drop_unsent);
        self.closing.add(&writer);
        self.flush_list.push((conn, writer));
        Some(written)
    }

    /// Ends a connection without a close frame. The next flush wakes its task, which then ends.
    pub(crate) fn abort(&mut self, conn: ConnKey) {
        if let Some(writer) = self.writers.get(conn) {
            writer.kill();
            self.flush_list.push((conn, writer.clone()));
        }
    }

    /// Queues an acknowledgement, even above the high-water mark, since a long member list queued
    /// earlier must not suppress it. Above the mark, no further packets are read, so few
    /// acknowledgements are queued.
    pub(crate) fn send_ack(&mut self, conn: ConnKey, frame: Vec<u8>) {
        if let Some(writer) = self.writers.get(conn)
            && writer.push_unlogged(Chunk::complete(frame))
        {
            self.flush_list.push((conn, writer.clone()));
        }
    }

    /// Removes the writer of a connection that has ended. Returns the number of bytes written to the
    /// connection since the last count.
    pub(crate) fn remove(&mut self, conn: ConnKey) -> Option<u64> {
        let writer = self.writers.remove(conn)?;
        self.closing.add(&writer);
        Some(writer.count_written())
    }

    /// Detaches a connection from its socket. Its messages are kept for its next socket. Returns
    /// the writer that keeps them, or `None` if the hub has closed the connection.
    pub(crate) fn detach(
        &mut self,
        conn: ConnKey,
        lost: &Arc<SocketWriter>,
    ) -> Option<Arc<SocketWriter>> {
        let writer = self.writers.get_mut(conn).filter(|writer| Arc::ptr_eq(writer, lost))?;
        *writer = lost.detach();
        Some(writer.clone())
    }

    /// Schedules a connection's outbox to be written.
    pub(crate) fn schedule(&mut self, conn: ConnKey, writer: &Arc<SocketWriter>) {
        self.flush_list.push((conn, writer.clone()));
    }

    /// Returns a congested member of a room, if there is one. Senders to the room should pause
    /// until it has caught up.
    pub(crate) fn congested_member(
        &mut self,
        tables: &Tables,
        room: RoomKey,
    ) -> Option<Arc<SocketWriter>> {
        if self.congested.is_empty() {
            return None;
        }
        let Outbound { writers, congested, .. } = self;
        // Prune the list here, since the flush that ends a connection's congestion does not hold
        // the server's lock.
        congested.retain(|&conn| writers.get(conn).is_some_and(|writer| writer.is_above()));
        let members = congested.iter().filter(|&&conn| tables.is_member(conn, room));
        // The queue of a stalled member is above the mark too, but must not pause senders.
        members.map(|&conn| &writers[conn]).find(|writer| writer.is_congested()).cloned()
    }
}

/// Encodes a packet as a frame for one receiver.
pub(crate) fn encode(packet: &PacketRef<'_>) -> Vec<u8> {
    let mut frame = Vec::new();
    let encoded = websocket::packet_frame(packet, &mut frame);
    debug_assert!(encoded.is_ok(), "fields came from a message below 4 GiB");
    frame
}

#[cfg(feature = "audit")]
mod audit;
#[cfg(test)]
mod tests;
