//! One connection's task: handshake, session, close.
//!
//! A turn looks at everything that may have happened since the last one, always in the same
//! order: what others decided about this connection, its outbox, its socket, the clock.

mod closing;
mod dispatch;
mod established;
mod opening;
mod proxy_header;
mod read_buffer;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::StatusCode;
use roomer_proto::close::{self, Close};
use roomer_proto::websocket::{self, Session};

use crate::Server;
use crate::app::claims::Credentials;
use crate::app::hooks::DisconnectReason;
use crate::connection::established::{
    Established, ResumeResult, finish_poll, on_bytes, resume_call,
};
use crate::connection::read_buffer::with_buffer;
use crate::handshake::decision::PendingAuth;
use crate::handshake::parser::RequestParser;
use crate::handshake::proxy_protocol::ProxyHeader;
use crate::lifecycle::admission::SocketKind;
use crate::metrics::trace;
use crate::outbound::outbox::{Outbox, OutboxPhase};
use crate::timer::Timer;
use crate::transport::{Reader, Writer};
use roomer_hub::{Command, Input};

/// Reads of one connection in a row before others get their turn.
const MAX_READS_PER_POLL: usize = 4;

/// The task of one connection, to be spawned. See [`Server::connect`].
#[must_use = "a connection does nothing unless its future is polled"]
pub struct Connection<R> {
    server: Server,
    outbox: Arc<Outbox>,
    reader: R,
    peer: Option<SocketAddr>,
    timer: Timer,
    place: SocketKind,
    state: State,
    span: trace::Span,
}

enum State {
    /// Over before it began.
    RejectedEarly(StatusCode),
    /// A proxy says for whom the connection is.
    ProxyHeader {
        header: ProxyHeader,
        until: Duration,
    },
    RequestParser {
        handshake: RequestParser,
        until: Duration,
    },
    /// The application decides about the request; what came behind it waits.
    Authorizing(Box<Authorizing>),
    /// Somebody else has done the handshake; its credentials, and what came behind it.
    Upgraded(Option<Arc<Credentials>>, Vec<u8>),
    Established(Established),
    Closing(Closing),
    Done,
}

struct Authorizing {
    ping_unanswered_since: Box<PendingAuth>,
    leftover: Vec<u8>,
    until: Duration,
}

struct Closing {
    /// What looks for the peer's close frame, unless that would take much memory, or WebSocket was
    /// never spoken.
    session: Option<Session>,
    /// How long it may take nothing of its last bytes.
    wait: Duration,
    until: Duration,
    latest: Duration,
    /// The link's count of times when a full socket took bytes again.
    relieved: u64,
    is_shut: bool,
    /// How many bytes may still be read.
    left: usize,
}

/// What a turn leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Look again at once.
    Again,
    /// Look again after others have had their turn.
    Later,
    /// Nothing to do until woken, or until then.
    Wait(Duration),
    Done,
}

impl<R: Reader> Connection<R> {
    pub(crate) fn new(
        server: Server,
        reader: R,
        writer: impl Writer,
        peer: Option<SocketAddr>,
    ) -> Self {
        let (options, until) =
            (server.options(), server.now() + server.options().handshake_timeout);
        let (place, allowed) = server.0.lifecycle.enter(options.address(peer), &options.admission);
        let state = match allowed {
            Ok(()) if options.expects_proxy_header(peer) => {
                State::ProxyHeader { header: ProxyHeader::default(), until }
            }
            Ok(()) => State::RequestParser { handshake: RequestParser::default(), until },
            Err(status) => State::RejectedEarly(status),
        };
        Connection::begin(server, reader, writer, peer, (place, state))
    }

    /// A connection whose handshake is done, with what was read behind it. It is counted already.
    pub(crate) fn upgraded(
        server: Server,
        reader: R,
        writer: impl Writer,
        peer: Option<SocketAddr>,
        credentials: Option<Arc<Credentials>>,
        leftover: &[u8],
    ) -> Self {
        let state = State::Upgraded(credentials, leftover.to_vec());
        Connection::begin(server, reader, writer, peer, (SocketKind::Connection, state))
    }

    fn begin(
        server: Server,
        reader: R,
        writer: impl Writer,
        peer: Option<SocketAddr>,
        (place, state): (SocketKind, State),
    ) -> Self {
        let outbox = Outbox::new(writer, server.options().water_marks(), server.0.budget.clone());
        let (timer, span) = (Timer::default(), trace::Span::default());
        Connection { server, outbox, reader, peer, timer, place, state, span }
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Step {
        let now = self.server.now();
        self.timer.expire(now);
        match &mut self.state {
            State::RejectedEarly(status) => {
                let status = *status;
                self.reject_early(now, status)
            }
            State::ProxyHeader { .. } => self.read_proxy_header(now, cx),
            State::RequestParser { .. } => self.handshake(now, cx),
            State::Authorizing(_) => self.authorizing(now, cx),
            State::Upgraded(credentials, leftover) => {
                let (credentials, leftover) = (credentials.take(), std::mem::take(leftover));
                self.establish(now, Vec::new(), credentials, leftover)
            }
            State::Established(_) => self.open(now, cx),
            State::Closing(_) => self.closing(now, cx),
            State::Done => Step::Done,
        }
    }

    fn open(&mut self, now: Duration, cx: &mut Context<'_>) -> Step {
        let State::Established(open) = &mut self.state else {
            return Step::Again;
        };
        let (server, outbox) = (&self.server, &self.outbox);
        if open.flush_at.is_some_and(|at| now >= at) {
            open.flush_at = server.flush().then_some(now);
        }
        let status = outbox.poll_status(cx);
        match status.phase {
            OutboxPhase::Open => {}
            OutboxPhase::Overrun => return self.close_slow(now),
            OutboxPhase::Closing => return self.close_open(now),
            OutboxPhase::Dead => return Step::Done,
        }
        if status.blocked && outbox.poll_unblock(cx).is_ready() {
            let mut core = server.core();
            core.schedule(open.conn.info.key, outbox);
            finish_poll(now, core, open);
            return Step::Again;
        }
        // Also while a handler keeps it waiting: the time has to pass, and who is gone is let go of.
        let is_paused = open.is_paused(now, cx);
        if open.wait.is_some() {
            return match resume_call(outbox, open, now, cx) {
                ResumeResult::Not => self.check_timeouts(now, cx, false),
                ResumeResult::On => Step::Again,
                ResumeResult::Over => self.close_open(now),
            };
        }
        let (mut has_more, mut is_full) = (false, false);
        if !is_paused && !status.over {
            for _ in 0..MAX_READS_PER_POLL {
                let read = with_buffer(|buffer| {
                    let read = self.reader.poll_read(cx, buffer);
                    read.map_ok(|size| {
                        is_full = size == buffer.len();
                        (size, size > 0 && on_bytes(outbox, open, &mut buffer[..size], now))
                    })
                });
                match read {
                    Poll::Pending => {
                        has_more = false;
                        break;
                    }
                    Poll::Ready(Ok((0, _)) | Err(_)) => return Step::Done,
                    Poll::Ready(Ok((_, true))) => return self.close_open(now),
                    Poll::Ready(Ok(_)) if open.pause.is_some() || open.wait.is_some() => {
                        return Step::Again;
                    }
                    Poll::Ready(Ok(_)) => has_more = true,
                }
                if is_full || open.flush_at.is_some_and(|at| now >= at) {
                    break;
                }
            }
        }
        self.check_timeouts(now, cx, has_more)
    }

    /// The clock's part of an open connection's turn.
    fn check_timeouts(&mut self, now: Duration, cx: &mut Context<'_>, has_more: bool) -> Step {
        let State::Established(open) = &mut self.state else {
            return Step::Again;
        };
        let options = self.server.options();
        let period = options.ping_interval;
        let status = self.outbox.poll_status(cx);
        open.record_relief(now, status);
        // Silence counts once a ping has gone unanswered for as long as the two waits differ, and
        // whatever came in was read before this: a process that was stopped for a while must not
        // take its own sleep for the client's.
        // While a handler keeps the connection's messages waiting, nothing is read: that is not
        // the client's silence.
        let silent = open.ping_unanswered_since.filter(|_| open.wait.is_none()).map(
            |ping_unanswered_since| {
                (open.last_received + options.pong_timeout)
                    .max(ping_unanswered_since + options.pong_timeout - period)
            },
        );
        if silent.is_some_and(|at| now >= at) {
            return self.end(now, &close::SILENT);
        }
        let expires = open.conn.info.expires();
        if expires.is_some_and(|at| now >= at) {
            return self.end(now, &close::LOGIN_EXPIRED);
        }
        // A message that comes in too slowly is given up, unless it is the server that does not read.
        open.record_unread(now, status);
        let unfinished = open.message.map(|(since, _)| since + options.message_wait);
        if unfinished.is_some_and(|at| now >= at) {
            return self.end(now, &close::UNFINISHED);
        }
        if now >= open.last_ping + period {
            open.last_ping = now;
            open.ping_unanswered_since.get_or_insert(now);
            let mut ping = Vec::new();
            websocket::ping_frame(&mut ping);
            self.server.send_frame(open.conn.info.key, ping);
            return Step::Again;
        }
        let poll_slow = open.poll_slow(now, &self.outbox, status, options);
        if poll_slow.is_some_and(|(verdict, _)| now >= verdict) {
            return self.close_slow(now);
        }
        let poll_slow = poll_slow.map(|(_, look)| look);
        let flush_at = open.flush_at;
        if has_more || flush_at.is_some_and(|at| now >= at) {
            return Step::Later;
        }
        let pause = open.pause.as_ref().map(|(_, until)| *until);
        let wait = open.last_ping + period;
        let next = [silent, expires, unfinished, poll_slow, pause, flush_at].into_iter().flatten();
        Step::Wait(next.fold(wait, Duration::min))
    }

    /// Closes a connection that does not take what it is sent.
    fn close_slow(&mut self, now: Duration) -> Step {
        if let State::Established(open) = &self.state {
            trace::lagged(&open.conn.info, self.outbox.backlog().0);
        }
        self.end(now, &close::TOO_SLOW)
    }

    /// Ends an open connection from within.
    fn end(&mut self, now: Duration, why: &Close) -> Step {
        if let State::Established(open) = &mut self.state {
            let mut core = self.server.core();
            let close = Command::close(open.conn.info.key, why);
            core.apply(now, Input::Command(close), None);
            finish_poll(now, core, open);
        }
        self.close_open(now)
    }

    /// The hub has let go of the connection; its last bytes are on their way.
    fn close_open(&mut self, now: Duration) -> Step {
        let State::Established(open) = &mut self.state else {
            return Step::Again;
        };
        if open.flush_at.is_some() {
            self.server.0.timers.wake_drivers();
        }
        open.skip_to_close();
        let session = std::mem::take(&mut open.session);
        self.close(now, Some(session))
    }
}

impl<R: Reader> Future for Connection<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let step = match this.server.0.lifecycle.is_aborted() {
                true => Step::Done,
                false => this.in_span(|this| this.step(cx)),
            };
            match step {
                Step::Again => {}
                Step::Later => {
                    this.reader.yield_now(cx);
                    return Poll::Pending;
                }
                Step::Wait(until) => {
                    this.timer.set(&this.server.0.timers, until, cx.waker());
                    // A shutdown wakes handshakes by their alarms, and a cut everybody: this one
                    // may just have come too late to be rung.
                    let in_handshake = matches!(
                        this.state,
                        State::ProxyHeader { .. }
                            | State::RequestParser { .. }
                            | State::Authorizing(_)
                    );
                    if (in_handshake && this.server.is_closing())
                        || this.server.0.lifecycle.is_aborted()
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

impl<R> Connection<R> {
    /// Runs a part of the connection's task where a subscriber of `tracing` sees whose it is.
    #[inline]
    fn in_span<O>(&mut self, run: impl FnOnce(&mut Self) -> O) -> O {
        trace::Span::within(self, |this| &mut this.span, run)
    }

    /// Lets go of everything, however the connection came to its end.
    fn finish(&mut self) {
        if let State::Done = self.state {
            return;
        }
        self.outbox.discard();
        self.server.core().counts.bytes_out += self.outbox.count_written();
        self.timer.cancel(&self.server.0.timers);
        if let State::Established(open) = &mut self.state {
            let mut core = self.server.core();
            let now = self.server.now();
            core.gone(now, open.conn.info.key, DisconnectReason::Lost);
            finish_poll(now, core, open);
            if open.flush_at.is_some() {
                self.server.0.timers.wake_drivers();
            }
        }
        self.state = State::Done;
        self.server.0.lifecycle.leave(self.place, self.server.options().address(self.peer));
    }
}

impl<R> Drop for Connection<R> {
    fn drop(&mut self) {
        self.finish();
    }
}

impl<R> std::fmt::Debug for Connection<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).finish_non_exhaustive()
    }
}
