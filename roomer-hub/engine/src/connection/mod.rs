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
use crate::connection::established::{Open, Resumed, end_turn, receive, resume};
use crate::connection::read_buffer::with_buffer;
use crate::handshake::parser::Handshake;
use crate::handshake::proxy_protocol::Announcement;
use crate::lifecycle::admission::Place;
use crate::metrics::trace;
use crate::outbound::outbox::{Link, Phase};
use crate::timer::Alarm;
use crate::transport::{Reader, Writer};
use crate::upgrade::Asked;
use roomer_hub::{Command, Input};

/// Reads of one connection in a row before others get their turn.
const READS: usize = 4;

/// The task of one connection, to be spawned. See [`Server::connect`].
#[must_use = "a connection does nothing unless its future is polled"]
pub struct Connection<R> {
    server: Server,
    link: Arc<Link>,
    reader: R,
    peer: Option<SocketAddr>,
    alarm: Alarm,
    place: Place,
    stage: Stage,
    span: trace::Span,
}

enum Stage {
    /// Over before it began.
    TurnedAway(StatusCode),
    /// A proxy says for whom the connection is.
    Announcing {
        header: Announcement,
        until: Duration,
    },
    Handshake {
        handshake: Handshake,
        until: Duration,
    },
    /// The application decides about the request; what came behind it waits.
    Asking(Box<Asking>),
    /// Somebody else has done the handshake; its credentials, and what came behind it.
    Upgraded(Option<Arc<Credentials>>, Vec<u8>),
    Open(Open),
    Closing(Closing),
    Done,
}

struct Asking {
    asked: Box<Asked>,
    behind: Vec<u8>,
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
enum Turn {
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
        let (place, allowed) = server.0.life.enter(options.address(peer), &options.caps);
        let stage = match allowed {
            Ok(()) if options.announces(peer) => {
                Stage::Announcing { header: Announcement::default(), until }
            }
            Ok(()) => Stage::Handshake { handshake: Handshake::default(), until },
            Err(status) => Stage::TurnedAway(status),
        };
        Connection::begin(server, reader, writer, peer, (place, stage))
    }

    /// A connection whose handshake is done, with what was read behind it. It is counted already.
    pub(crate) fn upgraded(
        server: Server,
        reader: R,
        writer: impl Writer,
        peer: Option<SocketAddr>,
        credentials: Option<Arc<Credentials>>,
        behind: &[u8],
    ) -> Self {
        let stage = Stage::Upgraded(credentials, behind.to_vec());
        Connection::begin(server, reader, writer, peer, (Place::Connection, stage))
    }

    fn begin(
        server: Server,
        reader: R,
        writer: impl Writer,
        peer: Option<SocketAddr>,
        (place, stage): (Place, Stage),
    ) -> Self {
        let link = Link::new(writer, server.options().link_limit(), server.0.budget.clone());
        let (alarm, span) = (Alarm::default(), trace::Span::default());
        Connection { server, link, reader, peer, alarm, place, stage, span }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        let now = self.server.now();
        self.alarm.expire(now);
        match &mut self.stage {
            Stage::TurnedAway(status) => {
                let status = *status;
                self.turn_away(now, status)
            }
            Stage::Announcing { .. } => self.announcing(now, cx),
            Stage::Handshake { .. } => self.handshake(now, cx),
            Stage::Asking(_) => self.asking(now, cx),
            Stage::Upgraded(credentials, behind) => {
                let (credentials, behind) = (credentials.take(), std::mem::take(behind));
                self.open_up(now, Vec::new(), credentials, behind)
            }
            Stage::Open(_) => self.open(now, cx),
            Stage::Closing(_) => self.closing(now, cx),
            Stage::Done => Turn::Done,
        }
    }

    fn open(&mut self, now: Duration, cx: &mut Context<'_>) -> Turn {
        let Stage::Open(open) = &mut self.stage else {
            return Turn::Again;
        };
        let (server, link) = (&self.server, &self.link);
        if open.come_back.is_some_and(|at| now >= at) {
            open.come_back = server.flush().then_some(now);
        }
        let status = link.attend(cx);
        match status.phase {
            Phase::Open => {}
            Phase::Overrun => return self.give_up(now),
            Phase::Closing => return self.close_open(now),
            Phase::Dead => return Turn::Done,
        }
        if status.blocked && link.poll_unblock(cx).is_ready() {
            let mut core = server.core();
            core.list(open.conn.person.key, link);
            end_turn(now, core, open);
            return Turn::Again;
        }
        // Also while a handler keeps it waiting: the time has to pass, and who is gone is let go of.
        let is_held = open.is_held(now, cx);
        if open.wait.is_some() {
            return match resume(link, open, now, cx) {
                Resumed::Not => self.watch(now, cx, false),
                Resumed::On => Turn::Again,
                Resumed::Over => self.close_open(now),
            };
        }
        let (mut has_more, mut is_full) = (false, false);
        if !is_held && !status.over {
            for _ in 0..READS {
                let read = with_buffer(|buffer| {
                    let read = self.reader.poll_read(cx, buffer);
                    read.map_ok(|size| {
                        is_full = size == buffer.len();
                        (size, size > 0 && receive(link, open, &mut buffer[..size], now))
                    })
                });
                match read {
                    Poll::Pending => {
                        has_more = false;
                        break;
                    }
                    Poll::Ready(Ok((0, _)) | Err(_)) => return Turn::Done,
                    Poll::Ready(Ok((_, true))) => return self.close_open(now),
                    Poll::Ready(Ok(_)) if open.hold.is_some() || open.wait.is_some() => {
                        return Turn::Again;
                    }
                    Poll::Ready(Ok(_)) => has_more = true,
                }
                if is_full || open.come_back.is_some_and(|at| now >= at) {
                    break;
                }
            }
        }
        self.watch(now, cx, has_more)
    }

    /// The clock's part of an open connection's turn.
    fn watch(&mut self, now: Duration, cx: &mut Context<'_>, has_more: bool) -> Turn {
        let Stage::Open(open) = &mut self.stage else {
            return Turn::Again;
        };
        let options = self.server.options();
        let period = options.ping_interval;
        let status = self.link.attend(cx);
        open.note_relief(now, status);
        // Silence counts once a ping has gone unanswered for as long as the two waits differ, and
        // whatever came in was read before this: a process that was stopped for a while must not
        // take its own sleep for the client's.
        // While a handler keeps the connection's messages waiting, nothing is read: that is not
        // the client's silence.
        let silent = open.asked.filter(|_| open.wait.is_none()).map(|asked| {
            (open.heard + options.pong_timeout).max(asked + options.pong_timeout - period)
        });
        if silent.is_some_and(|at| now >= at) {
            return self.end(now, &close::SILENT);
        }
        let expires = open.conn.person.expires();
        if expires.is_some_and(|at| now >= at) {
            return self.end(now, &close::LOGIN_EXPIRED);
        }
        // A message that comes in too slowly is given up, unless it is the server that does not read.
        open.note_unread(now, status);
        let unfinished = open.message.map(|(since, _)| since + options.message_wait);
        if unfinished.is_some_and(|at| now >= at) {
            return self.end(now, &close::UNFINISHED);
        }
        if now >= open.pinged + period {
            open.pinged = now;
            open.asked.get_or_insert(now);
            let mut ping = Vec::new();
            websocket::ping_frame(&mut ping);
            self.server.send_frame(open.conn.person.key, ping);
            return Turn::Again;
        }
        let stuck = open.stuck(now, &self.link, status, options);
        if stuck.is_some_and(|(verdict, _)| now >= verdict) {
            return self.give_up(now);
        }
        let stuck = stuck.map(|(_, look)| look);
        let come_back = open.come_back;
        if has_more || come_back.is_some_and(|at| now >= at) {
            return Turn::Later;
        }
        let hold = open.hold.as_ref().map(|(_, until)| *until);
        let wait = open.pinged + period;
        let next = [silent, expires, unfinished, stuck, hold, come_back].into_iter().flatten();
        Turn::Wait(next.fold(wait, Duration::min))
    }

    /// Closes a connection that does not take what it is sent.
    fn give_up(&mut self, now: Duration) -> Turn {
        if let Stage::Open(open) = &self.stage {
            trace::lagged(&open.conn.person, self.link.backlog().0);
        }
        self.end(now, &close::TOO_SLOW)
    }

    /// Ends an open connection from within.
    fn end(&mut self, now: Duration, why: &Close) -> Turn {
        if let Stage::Open(open) = &mut self.stage {
            let mut core = self.server.core();
            let close = Command::close(open.conn.person.key, why);
            core.apply(now, Input::Command(close), None);
            end_turn(now, core, open);
        }
        self.close_open(now)
    }

    /// The hub has let go of the connection; its last bytes are on their way.
    fn close_open(&mut self, now: Duration) -> Turn {
        let Stage::Open(open) = &mut self.stage else {
            return Turn::Again;
        };
        if open.come_back.is_some() {
            self.server.0.alarms.call_keepers();
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
            let turn = match this.server.0.life.is_cut() {
                true => Turn::Done,
                false => this.in_span(|this| this.turn(cx)),
            };
            match turn {
                Turn::Again => {}
                Turn::Later => {
                    this.reader.yield_now(cx);
                    return Poll::Pending;
                }
                Turn::Wait(until) => {
                    this.alarm.set(&this.server.0.alarms, until, cx.waker());
                    // A shutdown wakes handshakes by their alarms, and a cut everybody: this one
                    // may just have come too late to be rung.
                    let in_handshake = matches!(
                        this.stage,
                        Stage::Announcing { .. } | Stage::Handshake { .. } | Stage::Asking(_)
                    );
                    if (in_handshake && this.server.is_closing()) || this.server.0.life.is_cut() {
                        continue;
                    }
                    return Poll::Pending;
                }
                Turn::Done => {
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
        if let Stage::Done = self.stage {
            return;
        }
        self.link.bury();
        self.server.core().counts.bytes_out += self.link.count_written();
        self.alarm.cancel(&self.server.0.alarms);
        if let Stage::Open(open) = &mut self.stage {
            let mut core = self.server.core();
            let now = self.server.now();
            core.gone(now, open.conn.person.key, DisconnectReason::Lost);
            end_turn(now, core, open);
            if open.come_back.is_some() {
                self.server.0.alarms.call_keepers();
            }
        }
        self.stage = Stage::Done;
        self.server.0.life.leave(self.place, self.server.options().address(self.peer));
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
