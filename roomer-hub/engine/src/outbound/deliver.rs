//! Delivers rooms' batches to their members' outboxes.
//!
//! This module is the part of a flush that runs under the server's lock.
//! [`flush`](super::flush) determines which task flushes, and when.

use std::cell::Cell;
use std::sync::Arc;

use roomer_hub::{ConnKey, KeyMap, Members, Tables};

use crate::outbound::batch::RoomBatch;
use crate::outbound::socket_writer::SocketWriter;
use crate::outbound::{Chunk, FlushList, FlushWork, Outbound, SMALL_ROOM};

thread_local! {
    /// An empty list with the allocation of this thread's last flush, which the next flush reuses.
    /// Without it, each message would allocate and free a list.
    static SPARE_LIST: Cell<FlushList> = const { Cell::new(Vec::new()) };
}

/// The maximum number of empty batches kept for reuse.
pub(super) const SPARE_BATCHES: usize = 16;

/// The maximum capacity of a list in [`SPARE_LIST`].
const MAX_SPARE: usize = 64;

/// Returns an empty list, with this thread's spare allocation if there is one. A terminating thread
/// has none: the runtime may drop connections while thread-locals are destroyed.
pub(super) fn spare_list() -> FlushList {
    SPARE_LIST.try_with(Cell::take).unwrap_or_default()
}

/// Clears a list whose outboxes were written, and keeps its allocation.
pub(crate) fn keep_spare(mut list: FlushList) {
    list.clear();
    // Do not keep an empty allocation, which would replace a useful one, nor a very large one, which
    // would be kept for the thread's lifetime.
    if (1..=MAX_SPARE).contains(&list.capacity()) {
        let _ = SPARE_LIST.try_with(|spare| spare.set(list));
    }
}

impl Outbound {
    /// Delivers batches and takes the pending output of all rooms or, without `all`, of small rooms
    /// only. In the latter case, the first task that finds a large room dirty must flush it later
    /// ([`FlushWork::has_more`]). Other senders to that room do not flush it: each flush would
    /// write only the messages just queued by the previous sender.
    pub(crate) fn take(&mut self, tables: &Tables, all: bool) -> FlushWork {
        let Outbound { writers, batches, spare_batches, dirty, flush_list, .. } = self;
        let mut work = FlushWork::default();
        dirty.retain(|&room| {
            let Some(batch) = batches.get_mut(room) else {
                return false;
            };
            let members = tables.members(room);
            // Determine the room's size here and not at the broadcast, since the room may have
            // grown in the meantime.
            let is_small = members.len() <= SMALL_ROOM;
            if !all && !is_small {
                work.has_more |= !std::mem::replace(&mut batch.is_assigned, true);
                return true;
            }
            deliver(batch, members, writers, flush_list);
            // Remove a small room's batch, since the room is flushed in this poll. Keep a large
            // room's batch, so that messages that arrive before its flush ends are collected
            // instead of flushed by each sender.
            if is_small {
                let batch = batches.remove(room).filter(|_| spare_batches.len() < SPARE_BATCHES);
                spare_batches.extend(batch.map(|mut batch| {
                    batch.reset();
                    batch
                }));
            } else {
                work.rooms.push(room);
            }
            false
        });
        if !flush_list.is_empty() {
            work.writers = std::mem::replace(flush_list, spare_list());
        }
        work
    }

    /// Ends a flush. Rooms that collected messages in the meantime become dirty again. Returns true
    /// if there are such rooms, which the caller must flush later.
    pub(crate) fn finish(&mut self, work: &FlushWork) -> bool {
        let before = self.dirty.len();
        for &room in &work.rooms {
            match self.batches.get(room) {
                // The next message to the room creates a new batch and schedules a flush.
                Some(batch) if batch.frames.is_empty() => {
                    self.batches.remove(room);
                }
                // The batch is still marked as queued and assigned, so the senders of its messages
                // have not scheduled a flush.
                Some(_) => self.dirty.push(room),
                // The room has since been closed.
                None => {}
            }
        }
        self.dirty.len() > before
    }
}

/// Queues bytes for one connection, and schedules its writer.
// Without the attribute, it depends on the program whether a call is made for each delivery.
#[inline(always)]
pub(super) fn schedule(
    conn: ConnKey,
    writer: &Arc<SocketWriter>,
    chunk: Chunk,
    flush_list: &mut FlushList,
) {
    if writer.push(chunk) {
        flush_list.push((conn, writer.clone()));
    }
}

/// Queues for one connection the part of a room's batch that has been collected so far.
pub(super) fn deliver_to(
    batch: &mut RoomBatch,
    conn: ConnKey,
    writer: &Arc<SocketWriter>,
    flush_list: &mut FlushList,
) {
    // Skip the copy for a connection that no longer accepts output.
    if !batch.frames.is_empty() && writer.is_open() {
        let pending = batch.pending_for(conn, writer.is_extended());
        schedule(conn, writer, Chunk::complete(pending), flush_list);
        // Exclude the connection from the whole batch so that the later delivery to all members
        // does not repeat it.
        batch.exclude(conn, 0);
    }
}

/// Queues a room's batch for every member, and empties it.
pub(super) fn deliver(
    batch: &mut RoomBatch,
    members: Members<'_>,
    writers: &KeyMap<ConnKey, Arc<SocketWriter>>,
    flush_list: &mut FlushList,
) {
    if batch.frames.is_empty() {
        return;
    }
    let sealed = batch.seal();
    // Each writer is scheduled once, however many chunks its member receives.
    flush_list.reserve(members.len());
    if sealed.is_mixed() {
        let compressed = sealed.compressed();
        for conn in members {
            if let Some(writer) = writers.get(conn) {
                let compressed = compressed.as_ref().filter(|_| writer.accepts_compressed());
                let push = |chunk: Chunk| {
                    schedule(conn, writer, chunk.compressible(compressed), flush_list);
                };
                sealed.mixed_chunks(conn, writer.is_extended(), push);
            }
        }
    } else {
        for conn in members {
            let Some(writer) = writers.get(conn) else { continue };
            let is_extended = writer.is_extended();
            if is_extended || !sealed.is_whole_for(conn) {
                let push = |chunk| schedule(conn, writer, chunk, flush_list);
                sealed.chunks(conn, is_extended, push);
            } else if writer.push_batch(sealed.queue()) {
                flush_list.push((conn, writer.clone()));
            }
        }
    }
    batch.reuse(sealed);
}
