//! The interface between a node and its broker.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::Subject;

/// A link to a broker that carries a cluster's frames.
///
/// A carrier delivers each frame at most once, and delivers one node's frames on one subject in
/// publication order. Frames may be lost whenever the link is down. The carrier subscribes to its
/// node's two [subjects](super::Subjects). It may also return the node's own frames, which are
/// ignored.
pub trait Carrier: Send + 'static {
    /// Returns the next event. The events never end, since the carrier reconnects after a failure.
    ///
    /// Also writes the queued frames, so one task must poll it continuously.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<CarrierEvent>;

    /// Queues a frame without blocking. Returns false, without an effect, if the link is down, if
    /// the frame is larger than the broker accepts, or if too many bytes are queued.
    fn publish(&mut self, to: Subject, frame: Bytes) -> bool;

    /// Writes the queued frames. Returns `Poll::Ready` when all of them are written, or when the
    /// link is down.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Closes the link so that the broker receives everything that was published. Dropping a link
    /// while frames arrive would reset the connection, and a reset may discard frames in transit.
    /// Returns `Poll::Ready` when the broker has closed the link as well; the caller applies a
    /// timeout. No other method is called after this one.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_flush(cx)
    }
}

/// A change in the link's state, or a received frame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CarrierEvent {
    /// The link is up, and the broker has confirmed the subscriptions.
    Up {
        /// The size in bytes of the largest frame that the broker accepts.
        max_payload: usize,
    },
    /// The link is down, for the reason in this sentence. Reported once per outage.
    Down(String),
    /// A notice for the operator about a working link, such as an outdated broker version.
    Notice(String),
    /// A frame published by a node.
    Frame(Bytes),
}
