//! Connection state that is allocated only while it is in use.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use crate::connection::dispatch::PendingCall;
use crate::connection::message_progress::MessageProgress;
use crate::connection::pause::Pause;
use crate::connection::slow_consumer::SlowConsumer;
use crate::core::congestion::Congestion;
use crate::outbound::socket_writer::SocketWriter;
use crate::timer::moment::Moment;

/// State that idle connections do not need. An idle connection stores only a null pointer.
#[derive(Default)]
pub(crate) struct Activity(Option<Box<Parts>>);

#[derive(Default)]
pub(crate) struct Parts {
    /// The progress of a partly received message.
    pub(crate) progress: MessageProgress,
    /// The number of received bytes buffered, as last reported to the memory budget.
    pub(crate) buffered: usize,
    /// Present while the socket is full.
    pub(crate) slow_consumer: Option<SlowConsumer>,
    /// Present while reading is paused because a receiver is congested.
    pub(crate) pause: Option<Box<Pause>>,
    /// The pending call of a handler or rule. Later messages wait for it.
    pub(crate) pending: Option<Box<PendingCall>>,
    /// The end of the client's stream, if it was seen behind waiting messages.
    pub(crate) ended: Option<Ended>,
}

/// A client's close frame or the end of its stream.
#[derive(Clone, Copy)]
pub(crate) struct Ended {
    /// The time at which it was seen.
    at: Moment,
    /// True if it is a close frame. The frame remains in the decoder's buffer.
    is_close: bool,
}

impl Activity {
    pub(crate) fn get(&self) -> Option<&Parts> {
        self.0.as_deref()
    }

    /// Returns the parts, if allocated.
    pub(crate) fn existing(&mut self) -> Option<&mut Parts> {
        self.0.as_deref_mut()
    }

    /// Returns the parts, allocating them if necessary.
    pub(crate) fn begin(&mut self) -> &mut Parts {
        self.0.get_or_insert_default()
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.get().is_some_and(|parts| parts.pending.is_some())
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.get().is_some_and(|parts| parts.pause.is_some())
    }

    /// Makes later messages wait for a handler or rule.
    pub(crate) fn wait_for(&mut self, call: Option<Box<PendingCall>>) {
        if call.is_some() {
            self.begin().pending = call;
        }
    }

    /// Returns true while reading is paused because a receiver is congested.
    pub(crate) fn poll_paused(&mut self, now: Duration, cx: &Context<'_>) -> bool {
        let Some(parts) = self.existing() else { return false };
        parts.pause.take_if(|pause| pause.poll_is_finished(now, cx));
        parts.pause.is_some()
    }

    /// Pauses reading until the receiver is no longer congested.
    pub(crate) fn pause(
        &mut self,
        receiver: Option<Congestion>,
        own: &Arc<SocketWriter>,
        until: Duration,
    ) {
        if let Some(pause) = Pause::new(receiver, own, until) {
            self.begin().pause = Some(pause);
        }
    }

    /// Records the progress of a partly received message ([`MessageProgress::record`]).
    pub(crate) fn record_progress(&mut self, now: Duration, unfinished: usize, is_new: bool) {
        // Do not allocate for a connection without a partly received message.
        if unfinished > 0 || self.0.is_some() {
            self.begin().progress.record(now, unfinished, is_new);
        }
    }

    /// Records that the client has closed the connection while its earlier messages are waiting.
    /// `is_close` is true if it has sent a close frame.
    pub(crate) fn end(&mut self, now: Duration, is_close: bool) {
        self.begin().ended.get_or_insert(Ended { at: now.into(), is_close });
    }

    /// Returns the time until which messages sent before the client's close are handled, if the
    /// client has closed the connection.
    pub(crate) fn late_at(&self, close_timeout: Duration) -> Option<Duration> {
        let ended = self.get().and_then(|parts| parts.ended);
        ended.map(|ended| Duration::from(ended.at) + close_timeout)
    }

    /// Returns true if the client's close frame was seen behind waiting messages.
    pub(crate) fn has_close_frame(&self) -> bool {
        self.get().and_then(|parts| parts.ended).is_some_and(|ended| ended.is_close)
    }

    /// Restarts the time limit for a partly received message ([`MessageProgress::restart`]).
    pub(crate) fn restart_progress(&mut self, now: Duration) {
        if let Some(parts) = self.existing() {
            parts.progress.restart(now);
        }
    }

    /// Frees the allocation if no part is in use.
    pub(crate) fn free_if_ended(&mut self) {
        self.0.take_if(|parts| parts.have_ended());
    }
}

impl Parts {
    fn have_ended(&self) -> bool {
        // Destructure so that the compiler reports a missing part.
        let Parts { progress, buffered, slow_consumer, pause, pending, ended } = self;
        progress.is_none()
            && *buffered == 0
            && slow_consumer.is_none()
            && pause.is_none()
            && pending.is_none()
            && ended.is_none()
    }
}
