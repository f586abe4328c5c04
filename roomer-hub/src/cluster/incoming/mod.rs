//! Receiving a peer's stream: ordering frames, holding early ones, and requesting missing ones.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use roomer_proto::cluster::{Beat, FrameRange, StreamPosition};

use super::gap::{Gap, MAX_REQUESTS, RETRY_INTERVAL};
use super::profiles::GuestProfiles;
use super::transfer::Transfer;

/// The delays before the request for a stream is repeated; the last one is used from then on.
const RETRIES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_secs(1),
];

/// The number of applied bytes after which an acknowledgement is sent, in addition to heartbeats.
const REPORT_BYTES: usize = 256 * 1024;

/// The timeout for the member list at the start of a stream, counted from its last progress.
const TRANSFER_WAIT: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// The most recently requested stream's number; 0 before the first request.
    requested_stream: u32,
    /// The next retry of the stream request; `None` once a frame of that stream has arrived.
    retry: Option<Retry>,
    /// The stream being applied; 0 if there is none.
    stream: u32,
    /// The number of the frame to apply next.
    next: u64,
    /// The highest frame number that the peer is known to have sent.
    known: u64,
    /// The highest frame number that has arrived, held or not.
    arrived: u64,
    /// The first part of an item that continues in the next frame.
    pub(super) partial: Vec<u8>,
    held: BTreeMap<u64, Bytes>,
    held_bytes: usize,
    gap: Option<Gap>,
    /// True from the loss of the link to the broker until the peer's next frame. Until then, the
    /// peer cannot answer, so nothing counts as lost.
    is_paused: bool,
    /// The members at the start of the stream, until the list is complete.
    pub(super) transfer: Option<Transfer>,
    /// The time at which the transfer last made progress.
    progress_at: Duration,
    /// True once the transfer has ended.
    is_live: bool,
    /// The position in the peer's stream up to which the guests in the hub are current.
    shown: StreamPosition,
    /// The peer's uptime when the stream began.
    pub(super) began_ms: u64,
    /// The sum of the peer's seat hashes, according to its stream.
    pub(super) digest: u64,
    /// The peer's info and users by connection, according to its stream.
    pub(super) profiles: GuestProfiles,
    /// The number of bytes applied since the last acknowledgement.
    unreported: usize,
    /// The number of frames known to be lost after `shown`.
    missing: Option<u64>,
}

#[derive(Debug)]
struct Retry {
    at: Duration,
    tries: usize,
}

/// The treatment of a received frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Apply the frame: it is the next one in its stream.
    Next,
    /// Ignore the frame: it has already been applied, or its stream has ended.
    Stale,
    /// Wait for the frames before it.
    Early,
}

/// The request to send at a tick.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextRequest {
    Nothing,
    /// Request the stream again, or a new one.
    RequestStream,
    /// Request missing frames.
    Resend(FrameRange),
    /// Reset the stream: missing frames did not arrive in time.
    GiveUp,
}

impl Incoming {
    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }

    /// Returns true if no stream has been requested since the peer was created or declared dead.
    pub(super) fn is_idle(&self) -> bool {
        self.retry.is_none() && self.stream == 0
    }

    /// Returns true until a frame from the requested stream has arrived.
    pub(super) fn is_waiting(&self) -> bool {
        self.retry.is_some()
    }

    pub(super) fn has_gap(&self) -> bool {
        self.gap.is_some()
    }

    /// Returns the last applied position in the current stream.
    pub(super) fn applied(&self) -> StreamPosition {
        StreamPosition { stream: self.stream, number: self.next.saturating_sub(1) }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes + self.partial.len()
    }

    /// Requests a stream under a new number. Returns the position in `shown`.
    pub(super) fn request_stream(&mut self, now: Duration, stream: u32) -> StreamPosition {
        // Only a live stream has changed the guests in the hub; an incomplete transfer has not.
        if self.is_live {
            self.shown = self.applied();
            self.missing = (self.next <= self.known).then(|| self.known + 1 - self.next);
        }
        let tries = self.retry.take().map_or(0, |retry| retry.tries + 1);
        let wait = RETRIES[tries.min(RETRIES.len() - 1)];
        self.retry = Some(Retry { at: now + wait, tries });
        self.requested_stream = stream;
        self.start(0);
        self.shown
    }

    /// Resets everything except the stream's number, after the guests have left.
    pub(super) fn reset(&mut self) {
        self.start(0);
        self.retry = None;
        self.shown = StreamPosition::default();
        self.missing = None;
        self.digest = 0;
        self.profiles = GuestProfiles::default();
    }

    fn start(&mut self, stream: u32) {
        self.stream = stream;
        (self.next, self.known, self.arrived) = (1, 0, 0);
        self.partial = Vec::new();
        self.held.clear();
        self.held_bytes = 0;
        self.gap = None;
        self.transfer = None;
        self.is_live = false;
    }

    /// Ends the transfer, since the guests in the hub now reflect this stream. Returns the number
    /// of frames known to be lost before it.
    pub(super) fn become_live(&mut self) -> Option<u64> {
        self.is_live = true;
        self.transfer = None;
        self.unreported = REPORT_BYTES; // Acknowledge immediately: submissions wait for it.
        self.missing.take()
    }

    /// Determines how to treat a received frame.
    pub(super) fn receive(
        &mut self,
        now: Duration,
        (stream, number): (u32, u64),
        frame: &Bytes,
        max_held: usize,
    ) -> Received {
        // The first frame to arrive ends the previous stream, even if it is not number 1.
        if stream == self.requested_stream && self.retry.is_some() {
            self.start(stream);
            self.retry = None;
            self.progress_at = now;
        }
        let is_current = stream == self.stream && stream != 0;
        if !is_current || number < self.next {
            // This is a retransmission, so the missing frames will follow.
            self.gap.iter_mut().filter(|_| is_current).for_each(|gap| gap.since = now);
            return Received::Stale;
        }
        self.known = self.known.max(number);
        self.arrived = self.arrived.max(number);
        if number == self.next {
            return Received::Next;
        }
        if self.held.insert(number, frame.clone()).is_none() {
            self.held_bytes += frame.len();
        }
        // Drop the frames that are needed last. They are requested from the peer's journal once the
        // frames before them have been applied.
        while self.held_bytes > max_held
            && let Some((_, dropped)) = self.held.pop_last()
        {
            self.held_bytes -= dropped.len();
        }
        Received::Early
    }

    /// Records that the next frame was applied. Returns the frame after it, if it was held.
    pub(super) fn advance(&mut self, now: Duration, len: usize) -> Option<Bytes> {
        self.next += 1;
        self.unreported += len;
        self.progress_at = now;
        let frame = self.held.remove(&self.next)?;
        self.held_bytes -= frame.len();
        Some(frame)
    }

    /// Returns the applied position if an acknowledgement is due.
    pub(super) fn report(&mut self) -> Option<StreamPosition> {
        let is_due = self.unreported >= REPORT_BYTES;
        is_due.then(|| self.unreported = 0).map(|()| self.applied())
    }

    /// Returns the duration of a gap that has just been closed.
    pub(super) fn close_gap(&mut self, now: Duration) -> Option<Duration> {
        if self.next <= self.known {
            // Frames still missing get the full timeout. Those already requested are on their way.
            if let Some(gap) = &mut self.gap {
                let is_requested = gap.requests > 0 && self.next <= gap.requested_up_to;
                (gap.since, gap.requests) = (now, u32::from(is_requested));
                gap.is_scattered |= !is_requested;
                if is_requested {
                    gap.requested_at = now;
                }
            }
            return None;
        }
        self.gap.take().map(|gap| now.saturating_sub(gap.since))
    }

    /// Handles the last frame number in the peer's stream, as reported by a heartbeat. Returns true
    /// if that frame has been applied, false if frames are in flight or missing, and `None` if the
    /// report is about another stream.
    pub(super) fn reported(&mut self, stream: u32, last: u64) -> Option<bool> {
        if stream != self.stream || stream == 0 {
            return None;
        }
        self.known = self.known.max(last);
        Some(self.next == last + 1 && self.partial.is_empty())
    }

    /// Returns true if the peer's reported digests of its members or of their info and users differ
    /// from the stream's.
    pub(super) fn differs(&self, beat: &Beat<'_>, profiles: Option<u64>) -> bool {
        // Earlier releases do not report a digest of profiles.
        self.digest != beat.digest
            || profiles.is_some_and(|digest| digest != self.profiles.digest())
    }

    /// Returns the request due now.
    pub(super) fn due(&mut self, now: Duration, repair_timeout: Duration) -> NextRequest {
        if let Some(retry) = &self.retry {
            return if retry.at <= now { NextRequest::RequestStream } else { NextRequest::Nothing };
        }
        if self.stream == 0 || self.is_paused {
            return NextRequest::Nothing;
        }
        if self.next > self.known {
            // No frame is known to be missing, but the last frames of the member list may be lost.
            let is_stuck = !self.is_live && self.progress_at + TRANSFER_WAIT <= now;
            return if is_stuck { NextRequest::RequestStream } else { NextRequest::Nothing };
        }
        // Heartbeats use another subject, so they may overtake the frames that they report.
        let is_sure = self.next <= self.arrived;
        let gap = self.gap.get_or_insert(Gap {
            since: now,
            requested_at: now,
            requests: 0,
            requested_up_to: 0,
            is_scattered: false,
        });
        if gap.lost_at(repair_timeout).is_some_and(|at| at <= now) {
            return NextRequest::GiveUp;
        }
        let is_first = gap.requests == 0 && is_sure;
        if !is_first && (gap.requests >= MAX_REQUESTS || gap.requested_at + RETRY_INTERVAL > now) {
            return NextRequest::Nothing;
        }
        (gap.requests, gap.requested_at) = (gap.requests + 1, now);
        let first_held = self.held.keys().next();
        // With scattered losses, requesting each gap separately would cost one round trip each.
        // Request the whole range, since few frames have arrived in between.
        let first_held = first_held.filter(|_| !gap.is_scattered);
        let last = first_held.map_or(self.known, |held| held - 1);
        gap.requested_up_to = last;
        NextRequest::Resend(FrameRange { stream: self.stream, first: self.next, last })
    }

    /// Returns the time at which [`due`](Self::due) must be called if no frame arrives earlier.
    pub(super) fn due_at(&self, repair_timeout: Duration) -> Option<Duration> {
        if let Some(retry) = &self.retry {
            return Some(retry.at);
        }
        if self.is_paused {
            return None;
        }
        if let Some(gap) = &self.gap {
            let again = (gap.requests < MAX_REQUESTS).then_some(gap.requested_at + RETRY_INTERVAL);
            return again.into_iter().chain(gap.lost_at(repair_timeout)).min();
        }
        (self.stream != 0 && !self.is_live).then_some(self.progress_at + TRANSFER_WAIT)
    }

    /// Stops the timeouts until the peer's next frame, since the link is down.
    pub(super) fn pause(&mut self) {
        self.is_paused = true;
    }

    /// Restarts the timeouts when a frame from the peer shows that it can answer.
    pub(super) fn resume(&mut self, now: Duration) {
        if std::mem::take(&mut self.is_paused) {
            // The previous requests may have been lost with the link, so do not count them.
            self.gap = None;
            self.progress_at = now;
        }
    }

    /// Makes a pending request due now, because it may have been lost while the link was down.
    pub(super) fn retry_now(&mut self, now: Duration) {
        if let Some(retry) = &mut self.retry {
            retry.at = now;
        }
    }
}

#[cfg(test)]
mod tests;
