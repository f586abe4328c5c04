//! What only the connection's own task does with its socket: reads, waits for room, shuts it down.

use std::io;
use std::task::{Context, Poll};

use super::{Pressure, SocketWriter};
use crate::outbound::outbox::OutboxPhase;
use crate::sync::lock;

/// The state of a connection's sending side, for its own task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) phase: OutboxPhase,
    /// True while the socket is full.
    pub(crate) is_blocked: bool,
    /// Bytes that wait.
    pub(crate) queued: usize,
    /// Bytes of the newest message.
    pub(crate) newest: usize,
    /// Bytes that are left of the oldest message if it is a large one.
    pub(crate) large_message_left: usize,
    /// Bytes that the socket has ever accepted.
    pub(crate) written: u64,
    /// The number of times that a full socket accepted bytes again.
    pub(crate) relieved: u32,
    pub(crate) pressure: Pressure,
}

impl Status {
    /// Returns true while more than the high-water mark waits.
    pub(crate) fn is_above(&self) -> bool {
        self.pressure != Pressure::Normal
    }
}

impl SocketWriter {
    /// Returns the status to the connection's own task, which is woken when the socket becomes full
    /// or the phase changes.
    pub(crate) fn poll_status(&self, cx: &Context<'_>) -> Status {
        let mut state = lock(&self.state);
        // The task is polled often and its waker rarely changes; a clone is an atomic operation.
        if !state.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            state.task = Some(cx.waker().clone());
        }
        let outbox = &state.outbox;
        Status {
            phase: outbox.phase(),
            is_blocked: outbox.is_blocked(),
            queued: outbox.queued(),
            newest: outbox.newest(),
            // Asked only of a full socket, which saves the walk over the headers.
            large_message_left: if outbox.is_blocked() { outbox.large_message_left() } else { 0 },
            written: outbox.written(),
            relieved: outbox.relieved(),
            pressure: self.pressure(),
        }
    }

    /// Polls until a full socket has room again or has failed, for the connection's own task.
    pub(crate) fn poll_unblock(&self, cx: &mut Context<'_>) -> Poll<()> {
        let result = std::task::ready!(self.socket.poll_writable(cx));
        let mut state = lock(&self.state);
        state.outbox.unblock();
        if result.is_err() {
            // The session, if there is one, survives the socket.
            state.outbox.kill();
            state.buffered = 0;
        }
        Poll::Ready(())
    }

    /// Reads into a buffer; see [`Transport::poll_read`](crate::Transport::poll_read).
    #[inline]
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_read(cx, buf)
    }

    /// Lets other ready tasks run first.
    pub(crate) fn yield_now(&self, cx: &mut Context<'_>) {
        self.socket.yield_now(cx);
    }

    /// Lets the socket buffer more than before and flushes: the last bytes are due.
    pub(crate) fn prepare_final_write(&self) {
        self.socket.prepare_final_write();
        // The socket has room for more now, which no event of the runtime reports.
        lock(&self.state).outbox.unblock();
        self.flush();
    }

    /// Ends the socket's writing direction.
    pub(crate) fn shutdown(&self) {
        self.socket.shutdown();
    }

    /// Polls until the socket may be dropped, once everything is written.
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_closed(cx)
    }
}
