//! Sending the stream to one peer: sequence numbers, the frame being collected, and the journal.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use roomer_proto::ConnId;
use roomer_proto::cluster::{
    FrameKind, FrameRange, HEAD_MAX, Head, Ids, Item, Lost, Names, NodeId, StreamPosition,
};

use super::config::Config;
use super::origins::Origins;
use super::retransmission::{Retransmission, WINDOW};

/// The maximum size of a frame in bytes. Larger frames would delay others at the broker, and
/// smaller ones would cost more per message.
const MAX_FRAME: usize = 64 * 1024;

/// The parameters for sealing a frame that do not depend on the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealing {
    pub(super) now: Duration,
    pub(super) cluster: u64,
    pub(super) me: NodeId,
    /// The maximum payload of a broker message in bytes.
    pub(super) max_payload: usize,
}

impl Sealing {
    fn max_frame(&self) -> usize {
        // If the broker's limit is too small, frames exceed it, and are dropped and counted.
        self.max_payload.clamp(2 * HEAD_MAX, MAX_FRAME)
    }
}

#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) stream: u32,
    /// The position that the peer had applied when the stream began.
    after: StreamPosition,
    /// The messages that the peer has missed since `after`. `None` if unknown: any message may be
    /// missing.
    missed: Option<Origins>,
    /// The frame being collected, with space reserved for its head. Empty if there are no items.
    open: Vec<u8>,
    open_origins: Origins,
    /// The total size of the tunnel items in the open frame, in bytes.
    open_tunnels: usize,
    /// Sealed frames that the peer may still need. The numbers are consecutive and end at `sealed`.
    journal: VecDeque<Entry>,
    journal_bytes: usize,
    /// The last sealed frame's number.
    sealed: u64,
    /// The last published frame's number.
    published: u64,
    /// The last frame number of the stream's member list.
    state_end: u64,
    /// The number of the last frame of the member list that may be published now.
    state_window_end: u64,
    /// The total size of the member list's unpublished frames, in bytes.
    unpublished_state: usize,
    is_confirmed: bool,
    /// The total size of unpublished frames after the member list, in bytes.
    backlog: usize,
    /// The last frame number that the peer has applied.
    applied: u64,
    /// The total size of journal frames after `applied`, in bytes.
    unapplied: usize,
    /// The part of `unapplied` that consists of tunnel items.
    unapplied_tunnels: usize,
    retransmission: Option<Retransmission>,
}

#[derive(Debug)]
struct Entry {
    at: Duration,
    frame: Bytes,
    origins: Origins,
    /// The total size of the frame's tunnel items, in bytes.
    tunnels: usize,
}

impl Outgoing {
    pub(super) fn new(stream: u32, after: StreamPosition, missed: Option<Origins>) -> Self {
        Outgoing {
            stream,
            after,
            missed,
            open: Vec::new(),
            open_origins: Origins::default(),
            open_tunnels: 0,
            journal: VecDeque::new(),
            journal_bytes: 0,
            sealed: 0,
            published: 0,
            state_end: 0,
            state_window_end: 0,
            unpublished_state: 0,
            is_confirmed: false,
            backlog: 0,
            applied: 0,
            unapplied: 0,
            unapplied_tunnels: 0,
            retransmission: None,
        }
    }

    /// Returns true if frames may wait for an acknowledgement.
    pub(super) fn waits_for_peer(&self) -> bool {
        self.retransmission.is_some() || self.is_sending_state()
    }

    /// Returns true if the member list is not completely published.
    fn is_sending_state(&self) -> bool {
        self.published < self.state_end
    }

    /// Returns the last frame's number for a heartbeat: all recorded changes are in the frames up to
    /// this number, unless the member list is still being sent.
    pub(super) fn report(&mut self, sealing: &Sealing) -> u64 {
        if self.is_sending_state() {
            // Unpublished frames of the member list wait for the peer, which would otherwise request
            // them as missing. It compares digests only after the list.
            return self.published;
        }
        // The frame being collected is published right after the heartbeat.
        self.seal(sealing);
        self.sealed
    }

    /// Returns true if the peer has acknowledged the stream's member list. Before that, the peer
    /// may request another stream, and everything after the list would be lost.
    pub(super) fn is_confirmed(&self) -> bool {
        self.is_confirmed
    }

    /// Handles an acknowledgement that did not overtake the peer's earlier stream frames.
    pub(super) fn confirm(&mut self) {
        self.is_confirmed |= self.state_end > 0 && self.applied >= self.state_end;
    }

    /// Returns the number of bytes that are unpublished, or that the peer has not applied.
    pub(super) fn unapplied(&self) -> usize {
        self.unapplied + self.open.len()
    }

    /// Returns the part of [`unapplied`](Self::unapplied) that consists of tunnel items.
    pub(super) fn unapplied_tunnels(&self) -> usize {
        self.unapplied_tunnels + self.open_tunnels
    }

    /// Appends an item to the frame being collected, sealing frames as they fill up.
    pub(super) fn push(&mut self, item: &Item<'_>, sealing: &Sealing) {
        let max = sealing.max_frame();
        // An item larger than a frame starts a new frame, and is therefore split into as few parts
        // as possible.
        if self.open.len() > HEAD_MAX && self.open.len() + item.encoded_len() > max {
            self.seal(sealing);
        }
        if self.open.is_empty() {
            self.open.resize(HEAD_MAX, 0);
        }
        item.encode(&mut self.open);
        self.open_origins.add(item);
        if matches!(item, Item::Tunnel(_)) {
            self.open_tunnels += item.encoded_len();
        }
        while self.open.len() > max {
            // An item larger than a frame is split into several frames.
            let rest = self.open.split_off(max);
            let part = std::mem::replace(&mut self.open, rest);
            self.seal_frame(part, true, sealing);
            // The rest starts with the item's bytes, so insert space for a head in front of it.
            self.open.splice(..0, [0; HEAD_MAX]);
        }
    }

    /// Appends the stream's first item, which lists the messages that the peer has missed.
    pub(super) fn begin(&mut self, uptime_ms: u64, sealing: &Sealing) {
        let Some((rooms, senders)) = self.missed.as_ref().and_then(Origins::listed) else {
            return self.push(&Item::Begin { lost: Lost::All, uptime_ms }, sealing);
        };
        // Copy the rooms, because `push` modifies the stream from which the list is borrowed.
        let rooms: Vec<Box<str>> = rooms.to_vec();
        let rooms: Vec<&str> = rooms.iter().map(|room| &**room).collect();
        let senders: Vec<[u8; 16]> = senders.iter().map(ConnId::to_bytes).collect();
        let (rooms, senders) = (Names::new(&rooms), Ids::new(&senders));
        self.push(&Item::Begin { lost: Lost::Some { rooms, senders }, uptime_ms }, sealing);
    }

    /// Ends the stream's member list.
    pub(super) fn end_state(&mut self, sealing: &Sealing) {
        self.push(&Item::End, sealing);
        self.seal(sealing);
        self.state_end = self.sealed;
        self.state_window_end = self.window_end(1);
        self.unpublished_state = self.journal_bytes;
        // The member list does not count towards the backlog; otherwise, a node with many members
        // could never start a stream.
        self.backlog = 0;
    }

    /// Seals the frame being collected, giving it the next number.
    pub(super) fn seal(&mut self, sealing: &Sealing) {
        if !self.open.is_empty() {
            let frame = std::mem::take(&mut self.open);
            self.seal_frame(frame, false, sealing);
        }
    }

    fn seal_frame(&mut self, mut frame: Vec<u8>, more: bool, sealing: &Sealing) {
        self.sealed += 1;
        let kind = FrameKind::Stream { stream: self.stream, number: self.sealed, more };
        let mut head = Vec::with_capacity(HEAD_MAX);
        Head { cluster: sealing.cluster, from: sealing.me, kind }.encode(&mut head);
        // A stream frame's head always has the maximum length.
        frame[..HEAD_MAX].copy_from_slice(&head);
        // A split item is lost if any part is lost, so each part lists the item's origins.
        let origins = match more {
            true => self.open_origins.clone(),
            false => std::mem::take(&mut self.open_origins),
        };
        let tunnels = std::mem::take(&mut self.open_tunnels);
        self.unapplied_tunnels += tunnels;
        self.journal_bytes += frame.len();
        self.unapplied += frame.len();
        self.backlog += frame.len();
        self.journal.push_back(Entry { at: sealing.now, frame: frame.into(), origins, tunnels });
    }

    /// Returns a frame's index in the journal; `None` if the frame is not there.
    fn index(&self, number: u64) -> Option<usize> {
        // This cannot underflow: the journal's numbers are consecutive and end at `sealed`.
        let first = self.sealed + 1 - self.journal.len() as u64;
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        (index < self.journal.len()).then_some(index)
    }

    /// Returns the next frame to publish.
    pub(super) fn next_frame(&mut self, sealing: &Sealing) -> Option<Bytes> {
        if let Some(retransmission) = &self.retransmission {
            // Retransmissions go first, because the peer holds all later frames.
            match self.index(retransmission.next()?) {
                Some(index) => return Some(self.journal[index].frame.clone()),
                None => self.retransmission = None,
            }
        }
        if self.published == self.sealed {
            // Seal as late as possible so that a slow broker receives fewer but larger frames.
            self.seal(sealing);
        }
        let number = self.published + 1;
        if self.is_sending_state() && number > self.state_window_end {
            return None; // The peer must acknowledge earlier frames first.
        }
        let index = self.index(number)?;
        Some(self.journal[index].frame.clone())
    }

    /// Records that the frame returned by [`next_frame`](Self::next_frame) was published.
    pub(super) fn frame_published(&mut self, now: Duration, len: usize) {
        if let Some(retransmission) = &mut self.retransmission {
            if !retransmission.advance() {
                self.retransmission = None;
            }
            return;
        }
        self.published += 1;
        let unpublished = match self.published > self.state_end {
            true => &mut self.backlog,
            false => &mut self.unpublished_state,
        };
        *unpublished = unpublished.saturating_sub(len);
        // The frame may have waited for acknowledgements of the member list's first frames.
        if let Some(index) = self.index(self.published) {
            self.journal[index].at = now;
        }
    }

    /// Schedules the retransmission of frames. Returns false if they are no longer in the journal.
    pub(super) fn resend(&mut self, demand: FrameRange) -> bool {
        // The peer has applied all frames before the first missing one. This may permit more of the
        // member list, even if no published frame is missing.
        self.applied(StreamPosition {
            stream: demand.stream,
            number: demand.first.saturating_sub(1),
        });
        let last = demand.last.min(self.published);
        // A request may arrive after the peer has received some of the frames.
        let first = demand.first.max(self.applied + 1);
        if first > last {
            // The frames are about to be published for the first time, or the peer has them all.
            return true;
        }
        if self.index(first).is_none() {
            return false;
        }
        // Extend a pending range to cover both requests. Peers ignore duplicate frames.
        let last = self.retransmission.as_ref().map_or(last, |pending| pending.last().max(last));
        let window_end = self.window_end(first);
        self.retransmission = Some(Retransmission::new(first, last, window_end));
        true
    }

    /// Handles an acknowledgement of applied frames.
    pub(super) fn applied(&mut self, applied: StreamPosition) {
        if applied.stream != self.stream {
            return;
        }
        // A peer cannot have applied more than was published, whatever it reports.
        for number in self.applied + 1..=applied.number.min(self.published) {
            if let Some(entry) = self.index(number).map(|index| &self.journal[index]) {
                self.unapplied -= entry.frame.len();
                self.unapplied_tunnels -= entry.tunnels;
            }
            self.applied = number;
        }
        if !self.waits_for_peer() {
            return;
        }
        let window_end = self.window_end(self.applied + 1);
        self.retransmission =
            self.retransmission.take().and_then(|pending| pending.after(self.applied, window_end));
        if self.is_sending_state() {
            self.state_window_end = self.state_window_end.max(window_end);
        }
    }

    /// Returns the number of the last frame of a window that starts with frame `first`. If that frame
    /// is no longer in the journal, the window is empty.
    fn window_end(&self, first: u64) -> u64 {
        let Some(index) = self.index(first) else { return first.saturating_sub(1) };
        let mut bytes = 0;
        let frames = self.journal.range(index..).take_while(|entry| {
            bytes += entry.frame.len();
            bytes <= WINDOW
        });
        // Frames are smaller than the window, so there is at least one.
        first + frames.count() as u64 - 1
    }

    /// Removes from the journal the frames that are applied, too old, or above the limit. Returns
    /// false if the stream must be dropped, because too many bytes are unpublished.
    pub(super) fn trim(&mut self, now: Duration, config: &Config) -> bool {
        if self.backlog + self.open.len() > config.backlog_bytes {
            return false;
        }
        while let Some(entry) = self.journal.front() {
            let number = self.sealed + 1 - self.journal.len() as u64;
            let is_old = now.saturating_sub(entry.at) > config.journal_time;
            let published_bytes = self.journal_bytes - self.unpublished_state;
            let is_needed =
                number > self.applied && !is_old && published_bytes <= config.journal_bytes;
            // Keep an unpublished frame, however old it is, because the peer cannot have received
            // it.
            if number > self.published || is_needed {
                break;
            }
            self.journal_bytes -= entry.frame.len();
            if number > self.applied {
                self.unapplied -= entry.frame.len();
                self.unapplied_tunnels -= entry.tunnels;
            }
            self.journal.pop_front();
        }
        true
    }

    /// Returns the origins of all messages after the peer's applied position. `None` (unknown) if
    /// the journal no longer contains every frame after it.
    pub(super) fn origins_after(&self, applied: StreamPosition) -> Option<Origins> {
        // The peer has applied nothing from this stream, so it has missed all of it, in addition to
        // the messages that it had missed before.
        let is_unused = applied == self.after && applied.stream != self.stream;
        if !is_unused && (applied.stream != self.stream || applied.number < self.state_end) {
            return None;
        }
        let mut origins = if is_unused { self.missed.clone()? } else { Origins::default() };
        origins.merge(&self.open_origins);
        let number = if is_unused { self.state_end } else { applied.number };
        if number < self.sealed {
            let first = self.index(number + 1)?;
            self.journal.iter().skip(first).for_each(|entry| origins.merge(&entry.origins));
        }
        Some(origins)
    }
}
