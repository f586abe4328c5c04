//! The interface between a node and a broker.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::Subject;

/// A link to a broker that carries the frames of a cluster.
///
/// A carrier delivers a frame at most once, and the frames of one node on one subject in the order in
/// which it published them. Frames may be lost whenever the link is down. It subscribes to the two
/// [subjects](super::Subjects) of its node. It may return the node's own frames, which are ignored.
pub trait Carrier: Send + 'static {
    /// Returns the next event. It never ends: after a failure the carrier connects again by itself.
    ///
    /// Also writes what waits for the broker, so one task has to poll it all the time.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<CarrierEvent>;

    /// Queues a frame, and never waits. Returns false, without an effect, while the link is down, if
    /// the frame is larger than the broker accepts, or if too many bytes wait for the broker.
    fn publish(&mut self, to: Subject, frame: Bytes) -> bool;

    /// Writes the queued frames. Returns ready when all of them are written, or when the link is down.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ends the link so that the broker receives all that was published: a link that is dropped while
    /// frames arrive is reset, which may remove frames on their way. Returns ready when the broker has
    /// ended the link as well; the caller bounds the wait. Only `poll_close` is called after it.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_flush(cx)
    }
}

/// A change of the link, or a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CarrierEvent {
    /// The link is up, and the broker has confirmed the subscriptions.
    Up {
        /// The largest frame that the broker accepts, in bytes.
        max_payload: usize,
    },
    /// The link is down, for the reason in this sentence. Reported once for each outage.
    Down(String),
    /// A remark for the operator about a link that works, such as an old version of the broker.
    Notice(String),
    /// A frame that a node has published.
    Frame(Bytes),
}
