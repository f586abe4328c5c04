//! Operations reserved for the connection's own task: reading, shutting down, and waiting to write.

use std::io;
use std::task::{Context, Poll};

use super::{Pressure, SocketWriter};
use crate::outbound::outbox::OutboxPhase;
use crate::sync::{Ordering, lock};
use crate::transport::Transport;

/// The state of a connection's sending side, for its own task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) phase: OutboxPhase,
    /// True while the socket is full.
    pub(crate) is_blocked: bool,
    /// The number of queued bytes.
    pub(crate) queued: usize,
    /// The newest message's size in bytes.
    pub(crate) newest: usize,
    /// The number of bytes left in the oldest message, if that message is large.
    pub(crate) large_message_left: usize,
    /// The total number of bytes accepted by the socket.
    pub(crate) written: u64,
    /// The number of times that the socket has accepted bytes again after being full.
    pub(crate) unblock_count: u8,
    pub(crate) pressure: Pressure,
}

impl Status {
    /// Returns true while the queue is above the high-water mark.
    pub(crate) fn is_above(&self) -> bool {
        self.pressure != Pressure::Normal
    }
}

impl SocketWriter {
    /// Returns the status, and registers the waker of the connection's own task, which is called
    /// when the socket becomes full or the phase changes.
    pub(crate) fn poll_status(&self, cx: &Context<'_>) -> Status {
        let mut state = lock(&self.state);
        // The task is polled often, but its waker rarely changes, so avoid an atomic clone.
        if !state.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            state.task = Some(cx.waker().clone());
        }
        let outbox = &state.outbox;
        Status {
            phase: outbox.phase(),
            is_blocked: outbox.is_blocked(),
            queued: outbox.queued(),
            newest: outbox.newest(),
            // Determine this only if the socket is full, since it requires parsing frame headers.
            large_message_left: if outbox.is_blocked() { outbox.large_message_left() } else { 0 },
            written: outbox.written(),
            unblock_count: outbox.unblock_count(),
            pressure: self.pressure(),
        }
    }

    /// Returns `Poll::Ready` if a full socket is writable again or has failed. Polled only by the
    /// connection's own task.
    pub(crate) fn poll_unblock(&self, cx: &mut Context<'_>) -> Poll<()> {
        let result = std::task::ready!(self.socket.poll_writable(cx));
        let mut state = lock(&self.state);
        state.outbox.unblock();
        if result.is_err() {
            // If there is a session, it survives the lost socket.
            state.outbox.kill();
            state.outbox.set_buffered(0);
        }
        Poll::Ready(())
    }

    /// Reads into a buffer; see [`Transport::poll_read`].
    #[inline]
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_read(cx, buf)
    }

    /// Returns the socket, for a task that copies bytes without queueing them.
    pub(crate) fn socket(&self) -> &dyn Transport {
        &self.socket
    }

    /// Wakes the task again after other ready tasks have run.
    pub(crate) fn yield_now(&self, cx: &mut Context<'_>) {
        self.socket.yield_now(cx);
    }

    /// Lets the socket accept more bytes, and flushes. Called once the last bytes are queued.
    pub(crate) fn prepare_final_write(&self) {
        self.socket.prepare_final_write();
        self.is_final.store(true, Ordering::Relaxed);
        // Unblock explicitly, since the runtime does not report that the socket now accepts more
        // bytes.
        lock(&self.state).outbox.unblock();
        self.flush();
    }

    /// Shuts down the socket's write direction.
    pub(crate) fn shutdown(&self) {
        self.socket.shutdown();
    }

    /// Returns `Poll::Ready` once the socket may be dropped. Called after all bytes were written.
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_closed(cx)
    }
}
