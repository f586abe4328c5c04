//! The interface that a broker protocol implements.

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;

use crate::cluster::address::{Broker, Protocol};
use crate::cluster::{Subject, Subjects};

/// One connection to a broker, without I/O: it takes bytes and times, and returns bytes and events.
pub trait BrokerConnection: Send {
    /// Passes bytes received from the broker. Before the next call, call
    /// [`next_event`](Self::next_event) until it returns `None` so that undecoded bytes do not
    /// accumulate.
    fn receive(&mut self, bytes: &[u8], now: Duration);

    /// Returns the next event, or `None` if more bytes must be received first.
    fn next_event(&mut self) -> Option<BrokerEvent>;

    /// Continues the connection after the TLS handshake. No login is sent before that.
    fn secured(&mut self, now: Duration);

    /// Returns the time at which [`tick`](Self::tick) is due.
    fn deadline(&self) -> Duration;

    /// Pings a silent broker, and ends the connection if the broker does not answer. Pass the bytes
    /// that have already arrived first: the whole process may have been paused, in which case the
    /// broker was not silent.
    fn tick(&mut self, now: Duration);

    /// Queues a frame. Returns false, without an effect, if the connection is not up, if the frame is
    /// larger than the broker accepts, or if more than 1 MiB would be queued.
    fn publish(&mut self, to: Subject, frame: Bytes) -> bool;

    /// Returns true if there are bytes to write.
    fn has_output(&self) -> bool;

    /// Fills `slices` with the first bytes to write. Returns the number of slices.
    fn output<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize;

    /// Removes the first `count` bytes of the output, which have been written.
    fn written(&mut self, count: usize);
}

/// An event from a [`BrokerConnection`].
///
/// The enum is exhaustive, so that a caller that does not handle a new event fails to compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerEvent {
    /// The caller must start TLS on the stream and call [`BrokerConnection::secured`].
    Secure,
    /// The subscriptions are confirmed.
    Up {
        /// The size in bytes of the largest frame that the broker accepts.
        max_payload: usize,
    },
    /// A notice for the operator.
    Notice(String),
    /// A frame published by a node.
    Frame(Bytes),
    /// The connection has failed, for the reason in this clause. No further event follows.
    Down(String),
}

/// Creates the state of a new connection. The scheme of the broker's address selects the protocol.
pub(super) fn open(
    broker: &Broker,
    subjects: &Subjects,
    now: Duration,
) -> Box<dyn BrokerConnection> {
    match broker.protocol {
        #[cfg(feature = "nats")]
        Protocol::Nats => Box::new(crate::cluster::nats::Connection::with(broker, subjects, now)),
        #[cfg(feature = "redis")]
        Protocol::Redis => Box::new(crate::cluster::redis::Connection::with(broker, subjects, now)),
    }
}
