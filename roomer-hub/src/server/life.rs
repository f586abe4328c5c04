//! How many connections a server has in its care, and whether it takes more.

use std::task::{Context, Poll, Waker};

use super::sync::{Mutex, lock};

#[derive(Debug, Default)]
pub(super) struct Life(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Connections that have not ended, handshakes included.
    connections: usize,
    is_closing: bool,
    /// Somebody keeps time while there are connections.
    has_shift: bool,
    waiting: Vec<Waker>,
}

impl Life {
    pub(super) fn enter(&self) {
        lock(&self.0).connections += 1;
    }

    /// A connection has ended; whoever waits for the last hears of it.
    pub(super) fn leave(&self) {
        let mut state = lock(&self.0);
        state.connections -= 1;
        if state.connections == 0 {
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    pub(super) fn connections(&self) -> usize {
        lock(&self.0).connections
    }

    pub(super) fn close(&self) {
        lock(&self.0).is_closing = true;
    }

    pub(super) fn is_closing(&self) -> bool {
        lock(&self.0).is_closing
    }

    /// True for one who is to keep time from now on.
    pub(super) fn begin_shift(&self) -> bool {
        !std::mem::replace(&mut lock(&self.0).has_shift, true)
    }

    pub(super) fn end_shift(&self) {
        lock(&self.0).has_shift = false;
    }

    /// Ready once no connection is left to keep time for, and the shift is over: whoever comes in
    /// now begins the next.
    pub(super) fn poll_shift(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0);
        std::task::ready!(state.poll_empty(cx));
        state.has_shift = false;
        Poll::Ready(())
    }

    /// Ready once no connection is left.
    pub(super) fn poll_empty(&self, cx: &Context<'_>) -> Poll<()> {
        lock(&self.0).poll_empty(cx)
    }
}

impl State {
    fn poll_empty(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.connections == 0 {
            return Poll::Ready(());
        }
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
