//! One end of a tunnel: a byte stream with a bounded window in each direction.

#[cfg(all(test, not(roomer_loom)))]
mod tests;

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use roomer_proto::cluster::{TUNNEL_DATA, TUNNEL_WINDOW};

use crate::sync::{Mutex, lock};
use crate::transport::Transport;
use crate::tunnel::due::{DueTunnels, TunnelKey};

/// The end of a tunnel, owned by the task of the socket or of the session. Dropping it leaves the
/// tunnel.
#[derive(Debug)]
pub(crate) struct TunnelEnd {
    key: TunnelKey,
    pipe: Arc<Pipe>,
    due: Arc<DueTunnels>,
}

/// The state of one end, shared by its owner and the task of the broker link.
#[derive(Debug)]
pub(in crate::tunnel) struct Pipe(Mutex<State>);

#[derive(Debug)]
struct State {
    answer: Option<Answer>,
    /// The received bytes that the owner has not read yet, in one buffer, since an item may contain
    /// only a single byte.
    inbound: BytesMut,
    /// The number of bytes that the other end may still send.
    allowed: usize,
    /// The number of bytes that the owner has read, and for which the other end has not been
    /// granted new credit.
    read: usize,
    outbound: BytesMut,
    /// The number of bytes that this end may still accept from its owner.
    credit: usize,
    /// True once the other end has stopped sending, or the tunnel is lost.
    is_ended: bool,
    /// True if the tunnel is lost, so bytes may be missing.
    is_lost: bool,
    /// True once the owner was asked to leave the tunnel.
    is_cut: bool,
    /// True once the owner has dropped its end.
    is_dropped: bool,
    /// True once the item `End` was sent.
    is_done: bool,
    task: Option<Waker>,
}

/// The answer from the session's node to a request.
#[derive(Debug)]
pub(crate) enum Answer {
    Accepted {
        /// The secret of the session's next token, masked.
        secret: [u8; 16],
        /// The payload of `hello`, without a token. Empty if only a close frame follows.
        hello: Box<str>,
    },
    Refused,
}

/// The next item to send.
pub(in crate::tunnel) enum Next {
    Credit(u32),
    Data(Bytes),
    End,
}

impl Pipe {
    pub(in crate::tunnel) fn new() -> Arc<Self> {
        Arc::new(Pipe(Mutex::new(State {
            answer: None,
            inbound: BytesMut::new(),
            allowed: TUNNEL_WINDOW,
            read: 0,
            outbound: BytesMut::new(),
            credit: TUNNEL_WINDOW,
            is_ended: false,
            is_lost: false,
            is_cut: false,
            is_dropped: false,
            is_done: false,
            task: None,
        })))
    }

    /// Applies a change. Returns the waker of the owner's task, which must be called without
    /// holding a lock.
    fn change(&self, change: impl FnOnce(&mut State)) -> Option<Waker> {
        let mut state = lock(&self.0);
        change(&mut state);
        state.task.take()
    }

    pub(in crate::tunnel) fn answer(&self, answer: Answer) -> Option<Waker> {
        self.change(|state| _ = state.answer.get_or_insert(answer))
    }

    /// Appends bytes from the other end. If they exceed the other end's credit, the tunnel is lost.
    pub(in crate::tunnel) fn receive(&self, bytes: &[u8]) -> Option<Waker> {
        self.change(|state| match state.allowed.checked_sub(bytes.len()) {
            Some(allowed) if !state.is_ended => {
                state.allowed = allowed;
                state.inbound.extend_from_slice(bytes);
            }
            Some(_) => {}
            None => state.lose(),
        })
    }

    pub(in crate::tunnel) fn grant(&self, bytes: u32) -> Option<Waker> {
        self.change(|state| {
            // Limit the credit to the window, which a correct peer never exceeds.
            let most = TUNNEL_WINDOW - state.outbound.len();
            state.credit = state.credit.saturating_add(bytes as usize).min(most);
        })
    }

    pub(in crate::tunnel) fn end(&self) -> Option<Waker> {
        self.change(|state| state.is_ended = true)
    }

    pub(in crate::tunnel) fn lose(&self) -> Option<Waker> {
        self.change(State::lose)
    }

    /// Asks the owner to leave the tunnel. Returns false if it was already asked.
    pub(in crate::tunnel) fn cut(&self, wakers: &mut Vec<Waker>) -> bool {
        let mut was_cut = false;
        wakers.extend(self.change(|state| was_cut = std::mem::replace(&mut state.is_cut, true)));
        !was_cut
    }

    pub(in crate::tunnel) fn is_cut(&self) -> bool {
        lock(&self.0).is_cut
    }

    pub(in crate::tunnel) fn is_dropped(&self) -> bool {
        lock(&self.0).is_dropped
    }

    /// Removes and returns the next item to send, if the stream to the peer has `room` for its
    /// bytes. Returns [`Full`] if there is data but no room.
    pub(in crate::tunnel) fn next(&self, room: usize) -> Result<Option<Next>, Full> {
        let mut state = lock(&self.0);
        let is_open = !state.is_ended && !state.is_dropped;
        if is_open && state.read >= TUNNEL_WINDOW / 4 {
            let read = std::mem::take(&mut state.read);
            state.allowed += read;
            // The value fits, since it never exceeds the window.
            return Ok(Some(Next::Credit(read as u32)));
        }
        if !state.outbound.is_empty() && !state.is_ended {
            let most = TUNNEL_DATA.min(room).min(state.outbound.len());
            return match most {
                0 => Err(Full),
                _ => Ok(Some(Next::Data(state.outbound.split_to(most).freeze()))),
            };
        }
        let ends = state.is_dropped && !std::mem::replace(&mut state.is_done, true);
        Ok(ends.then_some(Next::End))
    }
}

/// The stream to the other node has no room for more tunnel data.
pub(in crate::tunnel) struct Full;

impl State {
    fn lose(&mut self) {
        (self.is_ended, self.is_lost) = (true, true);
        self.outbound = BytesMut::new();
    }

    fn register(&mut self, cx: &Context<'_>) {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
        }
    }
}

impl TunnelEnd {
    pub(in crate::tunnel) fn new(key: TunnelKey, pipe: Arc<Pipe>, due: Arc<DueTunnels>) -> Self {
        TunnelEnd { key, pipe, due }
    }

    pub(crate) fn key(&self) -> TunnelKey {
        self.key
    }

    /// Wakes the link's task, so that it sends the request.
    pub(crate) fn wake_link(&self) {
        self.due.wake();
    }

    /// Returns the answer from the session's node, or `None` if that node has left the tunnel
    /// without answering.
    pub(crate) fn poll_answer(&self, cx: &Context<'_>) -> Poll<Option<Answer>> {
        let mut state = lock(&self.pipe.0);
        state.register(cx);
        match state.answer.take() {
            Some(answer) => Poll::Ready(Some(answer)),
            // If the tunnel is lost, the client gets a new session.
            None if state.is_lost => Poll::Ready(Some(Answer::Refused)),
            None if state.is_ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Returns true once the other end has stopped sending or the tunnel is lost. Registers the
    /// task.
    pub(crate) fn has_ended(&self, cx: &Context<'_>) -> bool {
        let mut state = lock(&self.pipe.0);
        state.register(cx);
        state.is_ended
    }

    /// Returns true once the owner was asked to leave the tunnel, since this node is being drained
    /// and the client must connect to another one. Registers the task.
    pub(crate) fn is_cut(&self, cx: &Context<'_>) -> bool {
        let mut state = lock(&self.pipe.0);
        state.register(cx);
        state.is_cut
    }

    /// Returns true if the other end has already left.
    pub(crate) fn is_left(&self) -> bool {
        lock(&self.pipe.0).is_ended
    }
}

impl Transport for TunnelEnd {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.pipe.0);
        state.register(cx);
        if state.inbound.is_empty() {
            return match (state.is_lost, state.is_ended) {
                (true, _) => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
                (false, true) => Poll::Ready(Ok(0)),
                (false, false) => Poll::Pending,
            };
        }
        let size = state.inbound.len().min(buf.len());
        state.inbound.copy_to_slice(&mut buf[..size]);
        if state.inbound.is_empty() {
            // Free the buffer, which an idle tunnel does not need.
            state.inbound = BytesMut::new();
        }
        state.read += size;
        let grants = state.read >= TUNNEL_WINDOW / 4 && state.read - size < TUNNEL_WINDOW / 4;
        drop(state);
        if grants {
            self.due.add(self.key);
        }
        Poll::Ready(Ok(size))
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = lock(&self.pipe.0);
        if state.is_ended {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let size = state.credit.min(bytes.len());
        if size == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        state.credit -= size;
        state.outbound.extend_from_slice(&bytes[..size]);
        drop(state);
        self.due.add(self.key);
        Ok(size)
    }

    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut total = 0;
        for buf in bufs {
            match self.try_write(buf) {
                Ok(size) => total += size,
                Err(error) if total == 0 => return Err(error),
                // The next write returns the error.
                Err(_) => break,
            }
            if total == 0 {
                break;
            }
        }
        Ok(total)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.pipe.0);
        state.register(cx);
        match (state.is_ended, state.credit) {
            (true, _) => Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
            (false, 0) => Poll::Pending,
            (false, _) => Poll::Ready(Ok(())),
        }
    }

    /// Does nothing. The end of the tunnel also ends the opposite direction, from which the session's
    /// node still has to read the client's answer to a close frame.
    fn shutdown(&self) {}
}

impl Drop for TunnelEnd {
    fn drop(&mut self) {
        let mut state = lock(&self.pipe.0);
        state.is_dropped = true;
        state.inbound = BytesMut::new();
        drop(state);
        self.due.add(self.key);
    }
}
