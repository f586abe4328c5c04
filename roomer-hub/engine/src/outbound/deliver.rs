//! Delivers the rooms' batches to the outboxes of their members.
//!
//! That is the part of a flush that needs the server's lock. Which task flushes when is in
//! [`shared::flush`](crate::shared::flush).

use std::cell::Cell;
use std::sync::Arc;

use roomer_hub::{ConnKey, KeyMap, Members, Tables};

use crate::outbound::batch::RoomBatch;
use crate::outbound::socket_writer::SocketWriter;
use crate::outbound::{Chunk, FlushList, FlushWork, Outbound, SMALL_ROOM};

thread_local! {
    /// An empty list with the memory of this thread's last flush, for the next flush: otherwise each message
    /// would allocate and free a list.
    static SPARE_LIST: Cell<FlushList> = const { Cell::new(Vec::new()) };
}

/// The number of empty batches that are kept.
pub(super) const SPARE_BATCHES: usize = 16;

/// The most connections that a list of [`SPARE_LIST`] has memory for.
const MAX_SPARE: usize = 64;

/// Returns an empty list, with this thread's spare memory if it has any. A thread that ends has none: the
/// runtime may drop connections then.
pub(super) fn spare_list() -> FlushList {
    SPARE_LIST.try_with(Cell::take).unwrap_or_default()
}

/// Drops the connections of a list that was written, and keeps its memory.
pub(crate) fn keep_spare(mut list: FlushList) {
    list.clear();
    // A list without memory would replace one that has some, and a very long one would stay with
    // its thread for good.
    if (1..=MAX_SPARE).contains(&list.capacity()) {
        let _ = SPARE_LIST.try_with(|spare| spare.set(list));
    }
}

impl Outbound {
    /// Delivers batches and takes what has to be written. With `all`, of every room; otherwise of the
    /// small ones, and the first task that finds a large room dirty has to flush it later
    /// ([`FlushWork::has_more`]). Other senders of that room need not: if all flushed, each would
    /// write only what the one before it has just queued.
    pub(crate) fn take(&mut self, tables: &Tables, all: bool) -> FlushWork {
        let Outbound { writers, batches, spare_batches, dirty, flush_list, .. } = self;
        let mut work = FlushWork::default();
        dirty.retain(|&room| {
            let Some(batch) = batches.get_mut(room) else {
                return false;
            };
            let members = tables.members(room);
            // Looked up here and not at the broadcast: the room may have grown since.
            let is_small = members.len() <= SMALL_ROOM;
            if !all && !is_small {
                work.has_more |= !std::mem::replace(&mut batch.is_assigned, true);
                return true;
            }
            deliver(batch, members, writers, flush_list);
            // A small room is written in this poll. The batch of a large one stays, so that what arrives
            // until its flush ends is collected and not flushed by each sender.
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

    /// Ends a flush: rooms that collected messages meanwhile become dirty again. Returns true if
    /// there are any, which the caller has to flush later.
    pub(crate) fn finish(&mut self, work: &FlushWork) -> bool {
        let before = self.dirty.len();
        for &room in &work.rooms {
            match self.batches.get(room) {
                // The next message to the room begins a batch of its own, and with it a new flush.
                Some(batch) if batch.frames.is_empty() => {
                    self.batches.remove(room);
                }
                // The batch is still marked as queued and assigned, so its senders have scheduled
                // nothing.
                Some(_) => self.dirty.push(room),
                // The room has closed meanwhile.
                None => {}
            }
        }
        self.dirty.len() > before
    }
}

/// Queues bytes for one connection, and has it written.
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

/// Queues for one connection what a room has collected for it so far.
pub(super) fn deliver_to(
    batch: &mut RoomBatch,
    conn: ConnKey,
    writer: &Arc<SocketWriter>,
    flush_list: &mut FlushList,
) {
    // A connection that takes nothing is spared the copy.
    if !batch.frames.is_empty() && writer.is_open() {
        let pending = batch.pending_for(conn, writer.is_extended());
        schedule(conn, writer, Chunk::complete(pending), flush_list);
        // The connection has the whole batch now, which the delivery to all members must not
        // repeat.
        batch.exclude(conn, 0);
    }
}

/// Queues for every member what a room has collected for it, and empties the batch.
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
    // However many chunks a member gets, its writer is scheduled once.
    flush_list.reserve(members.len());
    if sealed.is_mixed() {
        let compressed = sealed.compressed();
        for conn in members {
            if let Some(writer) = writers.get(conn) {
                let compressed = compressed.as_ref().filter(|_| writer.takes_compressed());
                let push = |chunk: Chunk| {
                    schedule(conn, writer, chunk.compressible(compressed), flush_list);
                };
                sealed.mixed_chunks(conn, writer.is_extended(), push);
            }
        }
    } else {
        for conn in members {
            if let Some(writer) = writers.get(conn) {
                let push = |chunk| schedule(conn, writer, chunk, flush_list);
                sealed.chunks(conn, writer.is_extended(), push);
            }
        }
    }
    batch.reuse(sealed);
}
