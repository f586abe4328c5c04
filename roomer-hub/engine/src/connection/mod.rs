//! One connection's task: a state machine polled as a future.
//!
//! ```text
//! ProxyHeader ─▶ Handshake ─▶ Authorizing ─▶ Established ─▶ Closing ─▶ Done
//!                    └────────── rejected ──────────────────▶┘
//! ```
//!
//! When its socket is lost, an extended session goes from Established to Detached. It is handed
//! over to the task of the client's next socket, which is in Resuming ([`crate::session`]).
//!
//! Each step checks everything that may have changed since the last step, always in the same order:
//! other tasks' decisions about this connection, its outbox, its socket, the clock.

mod activity;
mod close_handshake;
mod detached;
pub(crate) mod dispatch;
pub(crate) mod established;
mod forwarding;
mod inbound;
mod keep_alive;
mod message_progress;
mod opening;
mod pause;
mod profile;
mod proxy_header;
mod read_ahead;
mod read_buffer;
mod renewal;
pub(crate) mod requests;
mod resuming;
mod returned;
mod session_state;
mod slow_consumer;
mod start;
#[cfg(test)]
mod tests;
mod timeouts;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use roomer_proto::close::Close;

use crate::app::disconnect::DisconnectReason;
use crate::connection::close_handshake::Closing;
use crate::connection::established::{Established, ResumeResult};
use crate::connection::forwarding::{Forwarding, Requesting};
use crate::connection::opening::Authorizing;
pub(crate) use crate::connection::opening::Opening;
use crate::connection::read_buffer::with_buffer;
use crate::connection::resuming::Resuming;
use crate::handshake::parser::RequestParser;
use crate::handshake::proxy_protocol::ProxyHeader;
use crate::lifecycle::admission::{EarlyRejection, SocketKind};
use crate::metrics::trace;
use crate::outbound::outbox::OutboxPhase;
use crate::outbound::socket_writer::{SocketWriter, Status};
use crate::shared::Shared;
use crate::timer::Timer;
use crate::transport::Transport;
use crate::transport::peer::PeerAddress;

/// The maximum number of reads in one poll before the task yields.
const MAX_READS_PER_POLL: usize = 4;

/// One connection's task, to be spawned by the caller. See
/// [`Server::connect`](crate::Server::connect).
#[must_use = "a connection does nothing unless its future is polled"]
pub struct Connection {
    pub(crate) shared: Arc<Shared>,
    /// The socket. Only this task reads from it, but any task may write to it.
    writer: Arc<SocketWriter>,
    /// The client's address: the socket's, or the one reported by a proxy.
    peer: PeerAddress,
    timer: Timer,
    kind: SocketKind,
    state: State,
    span: trace::Span,
}

enum State {
    /// The server has too many sockets; the request is not read.
    RejectedEarly(EarlyRejection),
    /// Waiting for a trusted proxy's header with the client's address.
    ProxyHeader {
        header: ProxyHeader,
        until: Duration,
    },
    /// Reading the request's head.
    Handshake {
        parser: RequestParser,
        until: Duration,
    },
    /// Waiting for the application's `authorize_async` hook.
    Authorizing(Box<Authorizing>),
    /// A framework has performed the handshake.
    Upgraded(Box<Opening>),
    /// The client has returned; the task that has its session must hand it over.
    Resuming(Box<Resuming>),
    /// The client's session is on another node, which has not answered yet.
    Requesting(Box<Requesting>),
    /// The client's session is on another node, to and from which bytes are copied.
    Forwarding(Box<Forwarding>),
    Established(Established),
    /// The session has no socket, but its client may return.
    Detached(Established),
    /// The session was handed over to the task of the client's new socket.
    HandedOver,
    Closing(Box<Closing>),
    Done,
}

/// The task's next action after a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Performs another step immediately.
    Continue,
    /// Yields to other tasks, then performs another step.
    Later,
    /// Waits until the task is woken, or until this time.
    Wait(Duration),
    Done,
}

impl Connection {
    pub(crate) fn new(
        shared: Arc<Shared>,
        socket: impl Transport,
        peer: Option<SocketAddr>,
    ) -> Self {
        let (options, until) =
            (shared.options(), shared.now() + shared.options().handshake_timeout);
        let (kind, allowed) =
            shared.lifecycle.enter(options.handshake.address(peer), &options.handshake.admission);
        let state = match allowed {
            Ok(()) if options.handshake.expects_proxy_header(peer) => {
                State::ProxyHeader { header: ProxyHeader::default(), until }
            }
            Ok(()) => State::Handshake { parser: RequestParser::default(), until },
            Err(rejection) => State::RejectedEarly(rejection),
        };
        Connection::begin(shared, socket, peer, (kind, state))
    }

    /// Creates a connection whose handshake was performed by a framework, and which the caller has
    /// already counted.
    pub(crate) fn upgraded(
        shared: Arc<Shared>,
        socket: impl Transport,
        peer: Option<SocketAddr>,
        opening: Opening,
    ) -> Self {
        let state = State::Upgraded(Box::new(opening));
        Connection::begin(shared, socket, peer, (SocketKind::Connection, state))
    }

    fn begin(
        shared: Arc<Shared>,
        socket: impl Transport,
        peer: Option<SocketAddr>,
        (kind, state): (SocketKind, State),
    ) -> Self {
        let writer = SocketWriter::new(socket, shared.budget.clone());
        let (peer, timer, span) = (peer.into(), Timer::default(), trace::Span::default());
        Connection { shared, writer, peer, timer, kind, state, span }
    }

    /// Performs one step in the current state.
    fn step(&mut self, cx: &mut Context<'_>) -> Step {
        let now = self.shared.now();
        // A fired timer is no longer queued. Clear it so that it is set again.
        self.timer.expire(now);
        match &mut self.state {
            &mut State::RejectedEarly(rejection) => self.reject_early(now, rejection),
            State::ProxyHeader { .. } => self.read_proxy_header(now, cx),
            State::Handshake { .. } => self.handshake(now, cx),
            State::Authorizing(_) => self.authorizing(now, cx),
            State::Upgraded(opening) => {
                let opening = std::mem::take(opening);
                self.open(now, *opening)
            }
            State::Resuming(_) => self.resuming(now, cx),
            State::Requesting(_) => self.requesting(now, cx),
            State::Forwarding(_) => self.forwarding(now, cx),
            State::Established(_) => self.established(now, cx),
            State::Detached(_) => self.detached(now, cx),
            State::Closing(_) => self.closing(now, cx),
            State::HandedOver | State::Done => Step::Done,
        }
    }

    /// Performs one step of an established connection.
    fn established(&mut self, now: Duration, cx: &mut Context<'_>) -> Step {
        let State::Established(open) = &mut self.state else {
            return Step::Continue;
        };
        let (shared, writer) = (&self.shared, &self.writer);
        // Flush first, even if this connection ends now, since receivers in other connections wait
        // for the flush.
        if open.flush_at.is_some_and(|at| now >= at) {
            open.flush_at = shared.flush().then_some(now.into());
        }
        let status = writer.poll_status(cx);
        match status.phase {
            OutboxPhase::Open => {}
            OutboxPhase::Overrun => return self.close_slow(now),
            OutboxPhase::Closing => return self.close_open(now),
            OutboxPhase::Dead | OutboxPhase::Detached => return self.lost(now),
        }
        if open.session_state.is_some() && writer.is_superseded() {
            return self.hand_over(now);
        }
        if status.is_blocked && writer.poll_unblock(cx).is_ready() {
            let mut core = shared.core();
            core.outbound.schedule(open.conn.info.key, writer);
            shared.flush_after_input(now, core, &mut open.flush_at);
            return Step::Continue;
        }
        if open.has_requests() {
            open.poll_requests(writer, now, cx);
        }
        // Poll the pause even while a handler is pending so that the receiver is released when the
        // pause has expired.
        let is_paused = open.activity.poll_paused(now, cx);
        if open.activity.is_pending() {
            return match open.resume_call(writer, now, cx) {
                ResumeResult::Pending => self.read_ahead(now, is_paused, status, cx),
                ResumeResult::Continue => Step::Continue,
                ResumeResult::Ended => self.close_open(now),
            };
        }
        if is_paused || status.is_above() {
            return self.check_timeouts(now, status, false);
        }
        self.read(now, status, cx)
    }

    /// Reads from the socket and handles the bytes, up to [`MAX_READS_PER_POLL`] times.
    fn read(&mut self, now: Duration, status: Status, cx: &mut Context<'_>) -> Step {
        let State::Established(open) = &mut self.state else {
            return Step::Continue;
        };
        let (shared, writer) = (&self.shared, &self.writer);
        let (mut has_more, mut is_full) = (false, false);
        for _ in 0..MAX_READS_PER_POLL {
            let read = with_buffer(|buffer| {
                let read = writer.poll_read(cx, buffer);
                read.map_ok(|size| {
                    is_full = size == buffer.len();
                    (size, size > 0 && open.on_bytes(shared, writer, &mut buffer[..size], now))
                })
            });
            match read {
                Poll::Pending => {
                    // The socket is empty, and has registered the task's waker.
                    has_more = false;
                    break;
                }
                Poll::Ready(Ok((0, _)) | Err(_)) => return self.lost(now),
                Poll::Ready(Ok((_, true))) => return self.close_open(now),
                // The next step waits for the handler or the receiver, without reading.
                Poll::Ready(Ok(_)) if open.must_wait() => return Step::Continue,
                Poll::Ready(Ok(_)) => has_more = true,
            }
            // A full buffer is enough for one poll, and a due flush takes precedence over reading.
            if is_full || open.flush_at.is_some_and(|at| now >= at) {
                break;
            }
        }
        self.check_timeouts(now, status, has_more)
    }

    /// Closes an established connection on the server's initiative.
    fn end(&mut self, now: Duration, reason: &Close) -> Step {
        if let State::Established(open) = &mut self.state {
            let mut core = self.shared.core();
            let (key, window) = (open.conn.info.key, self.shared.options().retry_window);
            core.close_for(now, key, reason, window);
            self.shared.flush_after_input(now, core, &mut open.flush_at);
        }
        self.close_open(now)
    }

    /// Starts closing a connection that the hub has removed. Its close frame is already queued.
    fn close_open(&mut self, now: Duration) -> Step {
        let State::Established(open) = &mut self.state else {
            return Step::Continue;
        };
        // This task no longer flushes its rooms, so the timer task takes over.
        if open.flush_at.is_some() {
            self.shared.timers.wake_drivers();
        }
        open.skip_to_close();
        let (session, decoder) = (open.session_id(), std::mem::take(&mut open.decoder));
        self.close_session(now, decoder, session)
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let step = match this.shared.lifecycle.is_aborted() {
                true => Step::Done,
                false => this.in_span(|this| this.step(cx)),
            };
            match step {
                Step::Continue => {}
                Step::Later => {
                    this.writer.yield_now(cx);
                    return Poll::Pending;
                }
                Step::Wait(until) => {
                    this.timer.set(&this.shared.timers, until, cx.waker());
                    // A shutdown uses timers to wake the tasks that are in the handshake, and an abort
                    // wakes all tasks. Check for both, since the timer may have been set just after.
                    let in_handshake = matches!(
                        this.state,
                        State::ProxyHeader { .. }
                            | State::Handshake { .. }
                            | State::Authorizing(_)
                            | State::Resuming(_)
                            | State::Requesting(_)
                            | State::Forwarding(_)
                    );
                    if (in_handshake && this.shared.is_closing())
                        || this.shared.lifecycle.is_aborted()
                    {
                        continue;
                    }
                    return Poll::Pending;
                }
                Step::Done => {
                    this.in_span(Self::finish);
                    return Poll::Ready(());
                }
            }
        }
    }
}

impl Connection {
    /// Runs part of the task inside the connection's `tracing` span.
    #[inline]
    fn in_span<O>(&mut self, run: impl FnOnce(&mut Self) -> O) -> O {
        trace::Span::within(self, |this| &mut this.span, run)
    }

    /// Releases all resources, however the connection ended.
    fn finish(&mut self) {
        if let State::Done = self.state {
            return;
        }
        // Discard the output first, so that other tasks stop writing to the socket, and paused
        // senders are released.
        self.abandon_handover();
        if !matches!(self.state, State::HandedOver) {
            self.writer.discard();
            self.shared.core().counts.bytes_out += self.writer.count_written();
        }
        self.timer.cancel(&self.shared.timers);
        if let State::Established(open) | State::Detached(open) = &mut self.state {
            // A close frame may have been received behind waiting messages.
            let reason =
                open.skip_to_close().map_or(DisconnectReason::Lost, DisconnectReason::ByPeer);
            let mut core = self.shared.core();
            let now = self.shared.now();
            core.gone(now, open.conn.info.key, reason);
            self.shared.flush_after_input(now, core, &mut open.flush_at);
            if open.flush_at.is_some() {
                self.shared.timers.wake_drivers();
            }
        }
        self.state = State::Done;
        // Leave last: when the last socket is no longer counted, a drain completes and the process
        // may exit.
        self.shared
            .lifecycle
            .leave(self.kind, self.shared.options().handshake.address(self.peer.get()));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.finish();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer.get()).finish_non_exhaustive()
    }
}
