//! The socket itself: what its own task does with it besides writing.

use std::io;
use std::task::{Context, Poll};

use super::SocketWriter;
use crate::sync::lock;

impl SocketWriter {
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
