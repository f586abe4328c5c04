//! The socket itself: the address of its client, and its end.

use std::task::{Context, Poll};

use super::SocketWriter;
use crate::connection::peer::PeerAddress;
use crate::sync::lock;

impl SocketWriter {
    /// Returns the address of the client: that of the socket, or the one that a proxy has named.
    pub(crate) fn peer(&self) -> PeerAddress {
        lock(&self.state).peer.clone()
    }

    pub(crate) fn set_peer(&self, peer: PeerAddress) {
        lock(&self.state).peer = peer;
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
