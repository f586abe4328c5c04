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

    /// Ready once no connection is left.
    pub(super) fn poll_empty(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0);
        if state.connections == 0 {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
