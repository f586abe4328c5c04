//! The part of a session that survives a lost socket: its unacknowledged packets.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::{SocketWriter, State};
use crate::outbound::chunk::Chunk;
use crate::outbound::outbox::OutboxPhase;
use crate::outbound::replay::{Replay, WrongCount};
use crate::sync::{MutexGuard, Ordering, lock};
use crate::transport::Transport;

impl SocketWriter {
    /// Starts a session: packets queued from now on are kept until the client acknowledges them.
    pub(crate) fn begin_session(&self) {
        lock(&self.state).outbox.own().replay = Some(Box::default());
        self.is_extended.store(true, Ordering::Relaxed);
    }

    /// Returns true if the client uses the extended protocol.
    pub(crate) fn is_extended(&self) -> bool {
        // The flag is written before the writer is added to the server's table, and read under the
        // server's lock.
        self.is_extended.load(Ordering::Relaxed)
    }

    /// Records that the client accepts compressed messages. Must be called before the writer is added
    /// to the server's table.
    pub(crate) fn accept_compressed(&self) {
        self.accepts_compressed.store(true, Ordering::Relaxed);
    }

    /// Returns true if the client accepts compressed messages.
    pub(crate) fn accepts_compressed(&self) -> bool {
        self.accepts_compressed.load(Ordering::Relaxed)
    }

    pub(super) fn push_logged(&self, mut state: MutexGuard<'_, State>, chunk: Chunk) -> bool {
        let is_open = state.is_open();
        let is_kept = match &mut state.outbox.own().replay {
            Some(replay) if is_open => replay.push(&chunk, self.budget.marks.kept),
            _ => return false,
        };
        match state.outbox.phase() {
            OutboxPhase::Detached => {}
            OutboxPhase::Dead => {
                // The socket has failed, so no flush follows that would report the kept bytes to
                // the memory budget.
                self.report_usage(&mut state);
                return false;
            }
            // While there is a socket, a log overflow does not end the session. It only prevents
            // the client from resuming until the client has acknowledged more packets.
            _ => return self.push_locked(&mut state, chunk),
        }
        if !is_kept {
            // The scheduled flush wakes the session's task, which ends the session.
            state.outbox.overrun();
        }
        // The scheduled flush also reports the kept bytes to the memory budget.
        !std::mem::replace(&mut state.outbox.is_scheduled, true)
    }

    /// Drops the packets that the client has received: the session's first `count` packets. Returns
    /// true if any were dropped.
    pub(crate) fn acknowledge(&self, count: u64) -> Result<bool, WrongCount> {
        let mut state = lock(&self.state);
        if state.outbox.queue().replay.is_none() {
            return Ok(false);
        }
        let replay = state.outbox.own().replay.as_mut();
        let result = replay.map_or(Ok(false), |replay| replay.acknowledge(count));
        self.report_usage(&mut state);
        result
    }

    /// Moves this writer's session packets to a new writer without a socket, and returns the new
    /// writer. The caller replaces this writer in the server's table.
    pub(crate) fn detach(&self) -> Arc<SocketWriter> {
        let detached = SocketWriter::new(NoSocket, self.budget.clone());
        detached.is_extended.store(true, Ordering::Relaxed);
        // Take the log in a separate statement, so that the locks of two writers are never held at
        // the same time.
        let replay = lock(&self.state).take_replay();
        let mut state = lock(&detached.state);
        state.outbox.detach();
        state.outbox.own().replay = replay;
        detached.report_usage(&mut state);
        drop(state);
        // The client may have returned before the server observed that the old socket was lost.
        if self.is_superseded() {
            detached.is_superseded.store(true, Ordering::Release);
        }
        detached
    }

    /// Takes the log of a detached writer, and copies the packets that the client has not received.
    /// Returns an error if the client's count is wrong, or if the session has overflowed or ended.
    pub(crate) fn take_replay(&self, received: u64) -> Result<(Bytes, Box<Replay>), WrongCount> {
        let mut state = lock(&self.state);
        if state.outbox.phase() != OutboxPhase::Detached {
            return Err(WrongCount);
        }
        let mut replay = state.take_replay().ok_or(WrongCount)?;
        self.report_usage(&mut state);
        Ok((replay.resume(received)?, replay))
    }

    /// Continues a session on this writer's socket: retransmits the packets that the client has not
    /// received, and keeps them until they are acknowledged.
    pub(crate) fn continue_session(&self, (again, replay): (Bytes, Box<Replay>)) {
        self.is_extended.store(true, Ordering::Relaxed);
        let mut state = lock(&self.state);
        // Queue the packets before the log is restored, since the log already contains them.
        self.push_locked(&mut state, Chunk::complete(again));
        state.outbox.own().replay = Some(replay);
    }

    /// Drops all queued bytes, and the packets of the session, which has ended. The caller flushes,
    /// which wakes the connection's task.
    pub(crate) fn kill(&self) {
        lock(&self.state).kill();
    }

    /// Reverts [`supersede`](Self::supersede), since the new socket's task no longer waits.
    pub(crate) fn keep(&self) {
        self.is_superseded.store(false, Ordering::Release);
    }

    /// Marks the session's client as having returned on another socket, and wakes the session's
    /// task.
    pub(crate) fn supersede(&self) {
        self.is_superseded.store(true, Ordering::Release);
        // Wake the task after setting the flag: the task registers its waker before it checks the
        // flag, so the task is either woken or observes the flag.
        let task = lock(&self.state).task.clone();
        task.into_iter().for_each(std::task::Waker::wake);
    }

    /// Returns true if the session's client has returned on another socket.
    pub(crate) fn is_superseded(&self) -> bool {
        self.is_superseded.load(Ordering::Acquire)
    }
}

impl State {
    pub(super) fn take_replay(&mut self) -> Option<Box<Replay>> {
        match self.outbox.queue().replay {
            None => None,
            Some(_) => self.outbox.own().replay.take(),
        }
    }
}

/// The socket of a detached session, which has none.
struct NoSocket;

impl Transport for NoSocket {
    fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(ErrorKind::NotConnected.into()))
    }

    fn try_write(&self, _: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::NotConnected.into())
    }

    fn try_write_vectored(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(ErrorKind::NotConnected.into())
    }

    fn poll_writable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(ErrorKind::NotConnected.into()))
    }

    fn shutdown(&self) {}
}

#[cfg(all(test, not(roomer_loom)))]
mod tests {
    use super::*;
    use crate::outbound::budget::MemoryBudget;
    use crate::outbound::outbox::WaterMarks;

    #[test]
    fn packets_kept_after_socket_failure_count_as_held() {
        let marks = WaterMarks { kept: 1000, high: 1000, max: 1000 };
        let budget = Arc::new(MemoryBudget::new(1000, marks));
        let writer = SocketWriter::new(NoSocket, budget.clone());
        writer.begin_session();
        let frame = || Chunk::complete(&[0x82, 1, 7][..]);
        assert!(writer.push(frame()));
        writer.flush();
        assert_eq!(budget.held(), 3);
        assert!(!writer.push(frame()), "there is no flush that could report it");
        assert_eq!(budget.held(), 6);
    }
}
