//! The queue of outgoing packets: ordering, rate, and confirmation by the server.
//!
//! An extended server confirms packets by count. A plain server does not confirm messages, but it
//! handles a client's packets in order, and answers every request to leave a room, even a
//! nonexistent one. Such a request serves as a *probe*: its answer confirms all packets before it.
//! A pong cannot serve as confirmation, since the Go original sends it ahead of queued messages.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::item::{Item, Kind};
use super::limits::{
    FIRST_PACE, FIRST_WINDOW, LARGEST_WINDOW, PACKET_BYTES, PROBE_BYTES, PROBE_DELAY, RELAX_TIME,
    SLOWEST_PACE,
};

#[derive(Debug)]
pub(super) struct Outbox {
    /// Committed but unconfirmed packets of this session or, with a plain server, of this
    /// connection, oldest first.
    sent: VecDeque<Item>,
    sent_bytes: usize,
    /// The number of packets in `sent` that were written to the current connection.
    written: usize,
    /// The number of packets confirmed so far, which is also the last confirmed packet's number.
    confirmed: u64,
    /// Joins, leaves, answers and other control packets not yet committed.
    requests: VecDeque<Item>,
    /// Messages and requests that are not committed yet.
    queue: VecDeque<Item>,
    queued_bytes: usize,
    /// The maximum number of unconfirmed packets; `None` once the backlog has been written.
    window: Option<usize>,
    pace: Duration,
    paced_at: Duration,
    relax_at: Duration,
    /// The number of bytes committed since a confirmation was last requested.
    unprobed: usize,
    probe_at: Option<Duration>,
    /// True if the client must request a confirmation.
    pub(super) must_confirm: bool,
    confirmation_requested_at: Option<Duration>,
    /// True if a probe is needed in either protocol, to show that all requests were answered.
    pub(super) must_probe: bool,
    /// The numbers of unanswered probes, oldest first.
    probes: VecDeque<u64>,
}

/// The maximum number and total size of queued messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Outbox {
            sent: VecDeque::new(),
            sent_bytes: 0,
            written: 0,
            confirmed: 0,
            requests: VecDeque::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            window: Some(FIRST_WINDOW),
            pace: Duration::ZERO,
            paced_at: Duration::ZERO,
            relax_at: Duration::ZERO,
            unprobed: 0,
            probe_at: None,
            must_confirm: false,
            confirmation_requested_at: None,
            must_probe: false,
            probes: VecDeque::new(),
        }
    }

    /// Returns the total size of all packets, queued or unconfirmed, in bytes.
    pub(super) fn held(&self) -> usize {
        self.sent_bytes + self.queued_bytes
    }

    /// Records that the server has handled everything written so far.
    pub(super) fn confirm_written(&mut self, now: Duration) {
        self.confirm(now, self.confirmed + self.written as u64);
    }

    /// Commits a probe behind all committed packets. Returns its number.
    pub(super) fn probe(&mut self, now: Duration, item: Item) -> u64 {
        let number = self.commit(now, item);
        self.probes.push_back(number);
        self.requested_confirmation(now);
        self.must_probe = false;
        number
    }

    /// Returns true if the client's info was sent, and is not confirmed.
    pub(super) fn has_unconfirmed_info(&self) -> bool {
        self.sent.iter().any(|item| item.kind == Kind::Info)
    }

    /// Returns true if a message to a room is not confirmed.
    pub(super) fn has_unconfirmed(&self, room: &str) -> bool {
        self.sent.iter().any(|item| item.kind == Kind::Message && item.room() == room)
    }

    /// Returns true if the packet with this number is confirmed.
    pub(super) fn is_confirmed(&self, number: u64) -> bool {
        number <= self.confirmed
    }

    /// Returns true if a pending probe was committed after the packet with this number.
    pub(super) fn is_probed(&self, number: u64) -> bool {
        self.probes.back().is_some_and(|probe| *probe > number)
    }

    /// Records the answer to the oldest probe. Returns the probe's number; `None` if no probe was
    /// pending.
    pub(super) fn finish_probe(&mut self) -> Option<u64> {
        self.probes.pop_front()
    }

    /// Returns true if a message to an open room may be sent without queueing.
    pub(super) fn is_free(&self, limits: Limits) -> bool {
        let is_paced = !self.pace.is_zero();
        !is_paced && self.queue.is_empty() && self.requests.is_empty() && self.fits(limits)
    }

    fn fits(&self, limits: Limits) -> bool {
        // Do not count the next packet, so that a packet longer than the limit can still be sent.
        self.sent_bytes <= limits.bytes && self.window.is_none_or(|window| self.sent.len() < window)
    }

    /// Returns true if the queue accepts a message of this length; an empty queue accepts any.
    pub(super) fn accepts(&self, bytes: usize, limits: Limits) -> bool {
        let fits = self.queue.is_empty() || self.queued_bytes + bytes <= limits.bytes;
        fits && self.queue.len() < limits.messages
    }

    pub(super) fn request(&mut self, item: Item) {
        push(&mut self.requests, item);
    }

    pub(super) fn queue(&mut self, item: Item) {
        self.queued_bytes += item.bytes.len();
        self.queue.push_back(item);
    }

    /// Commits an item, which fixes its place in the send order. Returns its number.
    pub(super) fn commit(&mut self, now: Duration, item: Item) -> u64 {
        self.sent_bytes += item.bytes.len();
        // A small packet counts as one kilobyte, so 64 small packets also trigger a request for
        // confirmation.
        self.unprobed += item.bytes.len().max(PACKET_BYTES);
        self.probe_at.get_or_insert(now + PROBE_DELAY);
        self.must_confirm |= self.unprobed >= PROBE_BYTES;
        push(&mut self.sent, item);
        self.confirmed + self.sent.len() as u64
    }

    /// Commits the next item that may be sent now. `is_open` returns true for items of open rooms.
    pub(super) fn next(
        &mut self,
        now: Duration,
        limits: Limits,
        is_open: impl Fn(&Item) -> bool,
    ) -> Option<Item> {
        if self.requests.is_empty() && self.queue.is_empty() {
            if self.written == self.sent.len() {
                // The backlog has been written: from now on, only the bytes are limited.
                self.window = None;
            }
            return None;
        }
        if !self.pace.is_zero() && now < self.paced_at {
            return None;
        }
        if !self.fits(limits) {
            // Only a confirmation can free space. If nothing was sent since the last request for a
            // confirmation, that request is still pending.
            self.must_confirm |= self.unprobed > 0;
            return None;
        }
        // Take control packets first: messages to a room wait for its join.
        let item = match self.requests.pop_front() {
            Some(item) => {
                free_if_empty(&mut self.requests);
                item
            }
            None => {
                // A closed room does not block other rooms, and the messages to each room stay in
                // order.
                let at = self.queue.iter().position(&is_open)?;
                let item = self.queue.remove(at)?;
                self.queued_bytes -= item.bytes.len();
                item
            }
        };
        self.paced_at = now + self.pace;
        Some(item)
    }

    /// Returns the next packet to write to the connection.
    pub(super) fn write_next(&mut self) -> Option<&Item> {
        let item = self.sent.get(self.written)?;
        self.written += 1;
        Some(item)
    }

    /// Returns the packet that was committed last, if it is not confirmed.
    pub(super) fn last(&self) -> Option<&Item> {
        self.sent.back()
    }

    pub(super) fn has_unwritten(&self) -> bool {
        self.written < self.sent.len()
    }

    /// Records that a confirmation was requested.
    pub(super) fn requested_confirmation(&mut self, now: Duration) {
        (self.unprobed, self.probe_at, self.must_confirm) = (0, None, false);
        self.confirmation_requested_at = Some(now);
    }

    /// Returns the time at which a confirmation was last requested.
    pub(super) fn confirmation_requested_at(&self) -> Option<Duration> {
        self.confirmation_requested_at
    }

    /// Returns the time at which a confirmation must be requested.
    pub(super) fn probe_at(&self) -> Option<Duration> {
        self.probe_at
    }

    /// Returns the time at which the next queued item may be sent, if pacing delays it.
    pub(super) fn paced_at(&self) -> Option<Duration> {
        let waits = !self.requests.is_empty() || !self.queue.is_empty();
        (waits && !self.pace.is_zero()).then_some(self.paced_at)
    }

    /// Returns true while a backlog is being sent with a limited window.
    pub(super) fn has_window(&self) -> bool {
        self.window.is_some()
    }

    pub(super) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Records that the server has handled the first `count` packets. Returns false if the count is
    /// impossible.
    pub(super) fn confirm(&mut self, now: Duration, count: u64) -> bool {
        let Some(new) = count.checked_sub(self.confirmed) else { return false };
        // The count includes packets that were not written, so the server is faulty or refers to
        // another session.
        if new > self.written as u64 {
            return false;
        }
        for item in self.sent.drain(..new as usize) {
            // This cannot underflow: `commit` added the same length, and `give_up` keeps an item's
            // bytes.
            self.sent_bytes -= item.bytes.len();
        }
        self.written -= new as usize;
        self.confirmed = count;
        if self.sent.is_empty() {
            (self.unprobed, self.probe_at, self.must_confirm) = (0, None, false);
            // Free the memory: an idle client should not hold buffers.
            self.sent = VecDeque::new();
            free_if_empty(&mut self.queue);
        }
        // Double the window with each confirmation, as in slow start, so that reconnecting clients
        // do not flood an overloaded server with their backlogs.
        self.window = self.window.map(|window| (2 * window).min(LARGEST_WINDOW));
        if !self.pace.is_zero() && now > self.relax_at {
            self.pace = if self.pace > FIRST_PACE { self.pace / 2 } else { Duration::ZERO };
            self.relax_at = now + RELAX_TIME;
        }
        true
    }

    /// Resumes the session on a new connection. The server has handled the first `count` packets;
    /// the others are written again. Returns false if the count is impossible.
    pub(super) fn resume(&mut self, now: Duration, count: u64) -> bool {
        let is_right = self.confirm(now, count);
        // Do this after `confirm`, which compares the count with what the last connection wrote.
        (self.written, self.window) = (0, Some(FIRST_WINDOW));
        // Set this above zero while packets are unconfirmed, so that `next` requests a confirmation
        // once the window is full.
        self.unprobed = self.sent.len() * PACKET_BYTES;
        self.probe_at = (!self.sent.is_empty()).then_some(now + PROBE_DELAY);
        is_right
    }

    /// Handles the loss of the session. Returns the packets that the server may have handled;
    /// unwritten messages are queued again.
    pub(super) fn reset(&mut self) -> VecDeque<Item> {
        let mut lost = core::mem::take(&mut self.sent);
        // `written` never exceeds the length: `confirm` reduces both by the same number.
        let unwritten = lost.split_off(self.written);
        // Iterate in reverse: each message is pushed to the front, so they keep their order.
        for item in unwritten.into_iter().rev().filter(Item::waits) {
            self.queued_bytes += item.bytes.len();
            self.queue.push_front(item);
        }
        // The next session queues joins, leaves and the info again, if the application still wants
        // them. Answers and tokens belong to the lost session.
        self.requests.clear();
        self.probes.clear();
        (self.sent_bytes, self.written, self.confirmed, self.unprobed) = (0, 0, 0, 0);
        (self.window, self.probe_at, self.must_confirm) = (Some(FIRST_WINDOW), None, false);
        self.must_probe = false;
        lost
    }

    /// Slows down sending, after the server closed the connection because the client was too fast.
    pub(super) fn slow_down(&mut self, now: Duration) {
        self.pace = (2 * self.pace).clamp(FIRST_PACE, SLOWEST_PACE);
        self.relax_at = now + RELAX_TIME;
    }

    /// Removes and returns the queued messages for which `is_over` returns true.
    pub(super) fn discard(&mut self, is_over: impl FnMut(&Item) -> bool) -> VecDeque<Item> {
        let queue = core::mem::take(&mut self.queue);
        let (gone, kept): (VecDeque<Item>, _) = queue.into_iter().partition(is_over);
        self.queue = kept;
        self.queued_bytes -= gone.iter().map(|item| item.bytes.len()).sum::<usize>();
        gone
    }

    /// Returns true if a request is still in the queue.
    pub(super) fn is_queued(&self, request: u64) -> bool {
        self.queue.iter().any(|item| item.kind == Kind::Request(request))
    }

    /// Removes a request from the queue, if it is still there.
    pub(super) fn withdraw(&mut self, request: u64) {
        let is_it = |item: &Item| item.kind == Kind::Request(request);
        if let Some(at) = self.queue.iter().position(is_it)
            && let Some(item) = self.queue.remove(at)
        {
            self.queued_bytes -= item.bytes.len();
        }
    }

    /// Returns the unconfirmed messages to a room from which the server has removed the client, and
    /// marks them as reported. The marked items keep their places in the send order.
    pub(super) fn give_up(&mut self, room: &str) -> Vec<Item> {
        let of_room = |item: &&mut Item| item.kind == Kind::Message && item.room() == room;
        let reported = self.sent.iter_mut().filter(of_room);
        reported
            .map(|item| core::mem::replace(item, Item { kind: Kind::Reported, ..item.clone() }))
            .collect()
    }
}

/// Appends an item. By default, the first allocation has space for four items, but the first packets
/// of a client are often its only ones.
fn push(items: &mut VecDeque<Item>, item: Item) {
    if items.capacity() == 0 {
        items.reserve_exact(1);
    }
    items.push_back(item);
}

/// Frees the memory of an empty queue, which an idle client does not need.
fn free_if_empty(items: &mut VecDeque<Item>) {
    if items.is_empty() {
        *items = VecDeque::new();
    }
}
