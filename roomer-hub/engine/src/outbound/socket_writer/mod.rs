//! One connection's sending side, shared with other tasks: an outbox behind a lock, and the socket.
//!
//! [`SocketWriter::push`] determines the order of a connection's output; the engine calls it under
//! the hub's lock. [`SocketWriter::flush`] then writes the output without that lock, in the task
//! that has queued it. If two tasks flush at the same time, the first also writes the second's
//! bytes. If the socket is full, the connection's own task waits until it is writable, and
//! continues writing.

#[cfg(feature = "audit")]
mod audit;
mod session;
mod socket;
mod usage;

pub(crate) use self::socket::Status;

use std::fmt;
use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use roomer_proto::websocket;

use crate::outbound::budget::MemoryBudget;
use crate::outbound::chunk::Chunk;
use crate::outbound::outbox::{InFlight, Outbox, OutboxPhase, Queue, Written};
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, lock};
use crate::transport::Transport;

/// The maximum number of slices in one vectored write.
const MAX_IOVECS: usize = 64;

pub(crate) struct SocketWriter<T: ?Sized = dyn Transport> {
    state: Mutex<State>,
    /// True while the queue is above the high-water mark.
    is_above: AtomicBool,
    /// True if the queue is above the high-water mark, and the socket has accepted nothing for a
    /// while.
    is_stalled: AtomicBool,
    /// True if the session's client has returned on another socket, whose task waits for the
    /// session.
    is_superseded: AtomicBool,
    /// True if the client uses the extended protocol.
    is_extended: AtomicBool,
    /// True if the client accepts compressed messages.
    accepts_compressed: AtomicBool,
    /// True if the next write is the first one after [`Transport::prepare_final_write`].
    is_final: AtomicBool,
    budget: Arc<MemoryBudget>,
    socket: T,
}

#[derive(Default)]
struct State {
    outbox: Outbox,
    /// The waker of the connection's own task.
    task: Option<Waker>,
}

/// The fill level of a connection's queue, relative to the high-water mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressure {
    /// The queue is below the high-water mark.
    Normal,
    /// The queue is above the mark, and the socket still accepts bytes. Senders should pause.
    Above,
    /// The queue is above the mark, and the socket has accepted nothing for a while. Senders do not
    /// pause for a peer that has stopped reading.
    Stalled,
}

impl SocketWriter {
    pub(crate) fn new(socket: impl Transport, budget: Arc<MemoryBudget>) -> Arc<SocketWriter> {
        Arc::new(SocketWriter {
            state: Mutex::default(),
            is_above: AtomicBool::new(false),
            is_stalled: AtomicBool::new(false),
            is_superseded: AtomicBool::new(false),
            is_extended: AtomicBool::new(false),
            accepts_compressed: AtomicBool::new(false),
            is_final: AtomicBool::new(false),
            budget,
            socket,
        })
    }

    /// Queues bytes of packets. Returns true if the caller must schedule a flush. Returns false if
    /// a flush is already scheduled, or if the connection accepts no more output.
    pub(crate) fn push(&self, chunk: Chunk) -> bool {
        let mut state = lock(&self.state);
        if state.outbox.queue().replay.is_some() {
            return self.push_logged(state, chunk);
        }
        self.push_locked(&mut state, chunk)
    }

    /// Queues a whole batch for a client without a session; see [`push`](Self::push).
    pub(crate) fn push_batch(&self, batch: &Arc<Queue>) -> bool {
        let outbox = &mut lock(&self.state).outbox;
        outbox.push_batch(batch, self.budget.marks.max)
            && !std::mem::replace(&mut outbox.is_scheduled, true)
    }

    /// Queues bytes that do not count as a session packet; see [`push`](Self::push).
    pub(crate) fn push_unlogged(&self, chunk: Chunk) -> bool {
        self.push_locked(&mut lock(&self.state), chunk)
    }

    fn push_locked(&self, state: &mut State, chunk: Chunk) -> bool {
        // A flush is scheduled even if these bytes overflow the queue: it wakes the connection's
        // task, which closes the connection.
        state.outbox.push(chunk, self.budget.marks.max)
            && !std::mem::replace(&mut state.outbox.is_scheduled, true)
    }

    /// Queues the last bytes, after which no output is accepted. The caller must flush. With
    /// `drop_unsent`, first drops the frames whose transmission has not begun.
    pub(crate) fn finish(&self, last: Bytes, drop_unsent: bool) {
        let mut state = lock(&self.state);
        if state.outbox.finish(last, drop_unsent) {
            // A session cannot be resumed after a close frame.
            let own = state.outbox.own();
            (own.buffered, own.replay) = (0, None);
        }
    }

    /// Queues a close frame as the last bytes; see [`finish`](Self::finish).
    pub(crate) fn close(&self, code: Option<u16>, reason: &str, drop_unsent: bool) {
        let mut frame = Vec::new();
        websocket::close_frame(code, reason, &mut frame);
        self.finish(frame.into(), drop_unsent);
    }

    /// Writes until the socket is full or the queue is empty. Returns true if the queue has just
    /// exceeded the high-water mark.
    pub(crate) fn flush(&self) -> bool {
        let mut state = lock(&self.state);
        // Clear the flag before the write so that bytes pushed from now on schedule another flush.
        state.outbox.is_scheduled = false;
        // Do not write while another task does, since the bytes of both could interleave. The other
        // task finds the new bytes when it takes the lock again.
        if !state.outbox.is_writing && !state.outbox.is_blocked() {
            state = self.write_all(state);
        }
        // Wake the connection's task only if the connection must end or the socket is full, since
        // no other task can wait for the socket. Waking it for each write would be wasteful.
        let concerns_task = state.outbox.is_blocked() || state.outbox.phase() != OutboxPhase::Open;
        let task = if concerns_task { state.task.clone() } else { None };
        let (is_newly_above, resumed) = self.update_pressure(&mut state);
        // Wake the task after releasing the lock: it may run immediately on another thread, where
        // it first takes this lock.
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
        resumed.into_iter().for_each(Waker::wake);
        is_newly_above
    }

    fn write_all<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        state.outbox.is_writing = true;
        while state.outbox.is_writable() {
            let mut in_flight = state.outbox.take();
            // Make the system call without the lock so that other tasks can queue bytes in the
            // meantime.
            drop(state);
            in_flight.compress(MAX_IOVECS);
            let result = self.write(&in_flight);
            state = lock(&self.state);
            // Usually the flag is not set. Skip the store in this case, since it would invalidate
            // the flag's cache line, which senders on other threads read.
            let accepts = matches!(result, Written::Some { .. });
            if accepts && self.is_stalled.load(Ordering::Relaxed) {
                self.is_stalled.store(false, Ordering::Release);
            }
            // Put the unwritten chunks back before those pushed in the meantime, to keep the bytes
            // in order.
            state.outbox.put_back(in_flight, result);
            // If the socket has failed, keep the log, since a session outlives its socket.
            if state.outbox.phase() == OutboxPhase::Dead {
                state.outbox.set_buffered(0);
            }
        }
        state.outbox.is_writing = false;
        state
    }

    fn write(&self, in_flight: &InFlight) -> Written {
        let InFlight { front, back, .. } = in_flight;
        // Relaxed suffices: the writer's lock is taken between the store and each write that begins
        // later. A write already in progress may miss the store, and find the socket full. This does no
        // harm, since Linux reports the socket as writable once the limit (NOTSENT_LOWAT) is lifted.
        let is_final = self.is_final.load(Ordering::Relaxed);
        let (offered, result) = if back.is_empty() && !is_final {
            (front.len(), self.socket.try_write(front.left()))
        } else {
            let mut slices = [IoSlice::new(&[]); MAX_IOVECS];
            let (mut count, mut offered) = (0, 0);
            // Chunks for which there is no slice are left for the next write.
            for (slice, chunk) in slices.iter_mut().zip(std::iter::once(front).chain(back.iter())) {
                *slice = IoSlice::new(chunk.left());
                count += 1;
                offered += chunk.len();
            }
            let slices = &slices[..count];
            if is_final {
                self.is_final.store(false, Ordering::Relaxed);
                (offered, self.socket.try_final_write(slices))
            } else {
                (offered, self.socket.try_write_vectored(slices))
            }
        };
        match result {
            Ok(accepted) if accepted > 0 => Written::Some { accepted, offered },
            Err(error) if error.kind() == ErrorKind::Interrupted => Written::Interrupted,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Written::Full,
            // An empty buffer is never offered, so 0 accepted bytes mean that the socket is closed.
            Ok(_) | Err(_) => Written::Failed,
        }
    }

    /// Compares the queue with the high-water mark. Pressure ends at half the mark so that small
    /// writes do not toggle it. Returns true if the queue has just exceeded the mark, and the wakers to
    /// call if pressure has ended.
    fn update_pressure(&self, state: &mut State) -> (bool, Vec<Waker>) {
        // The flag changes only under the lock, which the caller holds.
        let was_above = self.is_above.load(Ordering::Relaxed);
        if !was_above && state.outbox.is_idle() {
            return (false, Vec::new());
        }
        self.report_usage(state);
        let mark = if was_above { self.budget.marks.high / 2 } else { self.budget.marks.high };
        let outbox = &state.outbox;
        let is_above = outbox.phase() == OutboxPhase::Open && outbox.counted() > mark;
        if is_above != was_above {
            self.is_above.store(is_above, Ordering::Release);
        }
        let resumed = if is_above { Vec::new() } else { state.take_paused() };
        state.outbox.settle();
        (is_above && !was_above, resumed)
    }

    /// Returns true if the connection accepts packets, even if they are only kept for its next
    /// socket.
    pub(crate) fn is_open(&self) -> bool {
        lock(&self.state).is_open()
    }

    /// Returns how many times a full socket has accepted bytes again.
    pub(crate) fn unblock_count(&self) -> u8 {
        lock(&self.state).outbox.unblock_count()
    }

    pub(crate) fn pressure(&self) -> Pressure {
        match (self.is_above(), self.is_stalled.load(Ordering::Acquire)) {
            (false, _) => Pressure::Normal,
            (true, false) => Pressure::Above,
            (true, true) => Pressure::Stalled,
        }
    }

    /// Returns true while the queue is above the high-water mark.
    pub(crate) fn is_above(&self) -> bool {
        self.is_above.load(Ordering::Acquire)
    }

    /// Returns true if senders should pause.
    pub(crate) fn is_congested(&self) -> bool {
        self.pressure() == Pressure::Above
    }

    /// Releases senders waiting for a connection whose socket has accepted nothing for a while.
    pub(crate) fn mark_stalled(&self) {
        if !self.is_stalled.swap(true, Ordering::AcqRel) {
            // Take the senders after setting the flag: a sender that checks the flag under the lock
            // either observes it or is in the list.
            let resumed = lock(&self.state).take_paused();
            resumed.into_iter().for_each(Waker::wake);
        }
    }

    /// Returns `Poll::Ready` if the connection is not congested, or has ended. Polled by senders'
    /// tasks.
    pub(crate) fn poll_uncongested(&self, cx: &Context<'_>) -> Poll<()> {
        // Check for congestion under the lock that protects the wakers: otherwise, a waker could be
        // added just after they are taken, and would never be called.
        let mut state = lock(&self.state);
        if !self.is_congested() || state.outbox.phase() != OutboxPhase::Open {
            return Poll::Ready(());
        }
        state.outbox.own().paused_senders.add(cx.waker());
        Poll::Pending
    }

    /// Drops all queued bytes, since the connection has ended.
    pub(crate) fn discard(&self) {
        let mut state = lock(&self.state);
        state.kill();
        let (_, resumed) = self.update_pressure(&mut state);
        drop(state);
        resumed.into_iter().for_each(Waker::wake);
    }

    /// Drops all queued bytes, including the close frame, and wakes the connection's own task, which
    /// then ends.
    pub(crate) fn abort(&self) {
        self.discard();
        let task = lock(&self.state).task.clone();
        task.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn kill(&mut self) {
        self.outbox.kill();
        self.outbox.set_buffered(0);
        self.take_replay();
    }

    fn take_paused(&mut self) -> Vec<Waker> {
        match self.outbox.queue().paused_senders.is_empty() {
            true => Vec::new(),
            false => self.outbox.own().paused_senders.take(),
        }
    }

    fn is_open(&self) -> bool {
        match self.outbox.phase() {
            OutboxPhase::Open | OutboxPhase::Detached => true,
            // The socket has failed, but the session's task has not observed this yet.
            OutboxPhase::Dead => self.outbox.queue().replay.is_some(),
            OutboxPhase::Overrun | OutboxPhase::Closing => false,
        }
    }
}

impl fmt::Debug for SocketWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketWriter").finish_non_exhaustive()
    }
}
