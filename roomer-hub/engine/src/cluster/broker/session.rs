//! The interface between a carrier and a broker's protocol.

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;

use crate::cluster::address::{Broker, Protocol};
use crate::cluster::{Subject, Subjects};

/// The maximum number of bytes of frames that wait for the broker; a single larger frame waits
/// alone.
pub(in crate::cluster) const MAX_QUEUED: usize = 1024 * 1024;

/// One connection to a broker, over memory: bytes and times come in, bytes and events come out.
pub trait BrokerSession: Send {
    /// Receives bytes that the broker has sent. Call [`next_event`](Self::next_event) until it
    /// returns `None` before the next call, so that the bytes do not accumulate.
    fn receive(&mut self, bytes: &[u8], now: Duration);

    /// Returns the next event; `None` until more bytes are received.
    fn next_event(&mut self) -> Option<SessionEvent>;

    /// Continues after TLS has started. Until then nothing was sent, so no login was readable.
    fn secured(&mut self, now: Duration);

    /// Returns the time at which [`tick`](Self::tick) is due.
    fn deadline(&self) -> Duration;

    /// Pings a silent broker, and gives up one that does not answer. Receive the bytes that have
    /// arrived first: after a pause of the whole process, the broker is not to blame for the silence.
    fn tick(&mut self, now: Duration);

    /// Queues a frame. Returns false, without an effect, if the session is not up, if the frame is
    /// larger than the broker accepts, or if more than 1 MiB would wait.
    fn publish(&mut self, to: Subject, frame: Bytes) -> bool;

    /// Returns true if bytes wait for the broker.
    fn has_output(&self) -> bool;

    /// Fills in the first bytes that wait for the broker, for one write. Returns the number of slices.
    fn output<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize;

    /// Removes bytes that are written.
    fn written(&mut self, count: usize);
}

/// A change of a [`BrokerSession`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// The caller must start TLS on the stream and call [`BrokerSession::secured`].
    Secure,
    /// The subscriptions are confirmed.
    Up {
        /// The largest frame that the broker accepts, in bytes.
        max_payload: usize,
    },
    /// A remark for the operator.
    Notice(String),
    /// A frame that a node has published.
    Frame(Bytes),
    /// The connection can no longer be used, for the reason in this part of a sentence. The last event.
    Down(String),
}

/// Creates the session of a new connection, by the scheme of its address.
pub(super) fn open(broker: &Broker, subjects: &Subjects, now: Duration) -> Box<dyn BrokerSession> {
    match broker.protocol {
        #[cfg(feature = "nats")]
        Protocol::Nats => Box::new(crate::cluster::nats::Session::with(broker, subjects, now)),
        #[cfg(feature = "redis")]
        Protocol::Redis => Box::new(crate::cluster::redis::Session::with(broker, subjects, now)),
    }
}
