//! A connection's first part: from the first byte to the room `root`, or to a refusal.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, StatusCode};
use roomer_proto::websocket::Session;
use roomer_proto::{ROOT, close};

use crate::app::claims::Credentials;
use crate::app::conn::{Conn, ConnInfo};
use crate::connection::established::Established;
use crate::connection::read_buffer::with_buffer;
use crate::connection::{Authorizing, Connection, State, Step};
use crate::handshake::decision::{Accepted, Decision};
use crate::handshake::rejected::Rejected;
use crate::handshake::request::Request;
use crate::handshake::response::Response;
use crate::lifecycle::admission::SocketKind;
use crate::metrics::trace;
use crate::metrics::warning::WarningCause;
use crate::outbound::Chunk;
use crate::transport::Reader;
use roomer_hub::ConnId;
use roomer_hub::{Command, Input};

/// How long one that was turned away may take to read the answer.
const REJECT_LINGER: Duration = Duration::from_secs(1);

impl<R: Reader> Connection<R> {
    /// Answers at once, whatever the request would be.
    pub(super) fn reject_early(&mut self, now: Duration, status: StatusCode) -> Step {
        trace::rejected(self.peer, status.as_u16());
        self.server.warn(self.server.handshakes_full(status));
        self.writer.finish(Response::error(status).to_bytes(false).into(), false);
        if self.place == SocketKind::Outside {
            self.writer.prepare_final_write();
            return Step::Done;
        }
        self.close_within(now, None, REJECT_LINGER.min(self.server.options().close_timeout))
    }

    pub(super) fn handshake(&mut self, now: Duration, cx: &mut Context<'_>) -> Step {
        let State::Handshake { parser, until } = &mut self.state else {
            return Step::Again;
        };
        let (options, until) = (self.server.options(), *until);
        let read = with_buffer(|buffer| {
            let read = self.reader.poll_read(cx, buffer);
            read.map_ok(|size| (size, parser.push(&buffer[..size], options)))
        });
        match read {
            Poll::Ready(Ok((0, _)) | Err(_)) => Step::Done,
            Poll::Ready(Ok((_, None))) => Step::Again,
            Poll::Ready(Ok((_, Some(Ok((head, leftover)))))) => {
                self.decide(now, until, head, leftover)
            }
            Poll::Ready(Ok((_, Some(Err(status))))) => {
                self.reject(now, &Response::error(status), None, false)
            }
            Poll::Pending if self.server.is_closing() => Step::Done,
            Poll::Pending if now < until => Step::Wait(until),
            Poll::Pending => {
                self.reject(now, &Response::error(StatusCode::REQUEST_TIMEOUT), None, false)
            }
        }
    }

    /// The request is there.
    fn decide(
        &mut self,
        now: Duration,
        until: Duration,
        head: http::Request<()>,
        leftover: Vec<u8>,
    ) -> Step {
        let request = Request::new(head, self.peer, self.server.options());
        let is_head = request.head.method() == Method::HEAD;
        match self.server.page(&request) {
            None => {}
            Some(Ok(response)) => return self.response(now, &response, is_head),
            Some(Err(status)) => {
                let cause = self.server.wrong_path(&request);
                return self.reject(now, &Response::error(status), cause, is_head);
            }
        }
        match self.server.decide(request, false) {
            // HEAD is refused, and wants no body.
            Decision::Ready(Err(Rejected { rejection, cause })) => {
                self.reject(now, &Response::rejection(&rejection), cause, is_head)
            }
            Decision::Ready(decided) => self.admit(now, decided, leftover),
            Decision::PendingAuth(ping_unanswered_since) => {
                self.state = State::Authorizing(Box::new(Authorizing {
                    ping_unanswered_since,
                    leftover,
                    until,
                }));
                Step::Again
            }
        }
    }

    /// The application takes its time to decide.
    pub(super) fn authorizing(&mut self, now: Duration, cx: &mut Context<'_>) -> Step {
        let State::Authorizing(authorizing) = &mut self.state else {
            return Step::Again;
        };
        if let Poll::Ready(decided) = authorizing.ping_unanswered_since.poll(cx) {
            let leftover = std::mem::take(&mut authorizing.leftover);
            return self.admit(now, decided, leftover);
        }
        if self.server.is_closing() {
            return Step::Done;
        }
        if now >= authorizing.until {
            let cause = Some(WarningCause::AuthorizeTimeout);
            let response = Response::error(StatusCode::SERVICE_UNAVAILABLE);
            return self.reject(now, &response, cause, false);
        }
        // Read on, to hear when the client goes; but not without measure.
        let room = self.server.options().max_head.saturating_sub(authorizing.leftover.len());
        let read = with_buffer(|buffer| match room.min(buffer.len()) {
            0 => Poll::Pending,
            most => self.reader.poll_read(cx, &mut buffer[..most]).map_ok(|size| {
                authorizing.leftover.extend_from_slice(&buffer[..size]);
                size
            }),
        });
        match read {
            Poll::Ready(Ok(0) | Err(_)) => Step::Done,
            Poll::Ready(Ok(_)) => Step::Again,
            Poll::Pending => Step::Wait(authorizing.until),
        }
    }

    /// Lets a client in that has passed, if there is still a place for it.
    fn admit(
        &mut self,
        now: Duration,
        decided: Result<Accepted, Rejected>,
        leftover: Vec<u8>,
    ) -> Step {
        let options = self.server.options();
        let promote = |dispatch: Accepted| {
            let (from, to) = (options.address(self.peer), options.address(dispatch.peer));
            match self.server.0.lifecycle.promote(from, to, &options.admission) {
                Ok(()) => Ok(dispatch),
                Err(status) => Err(self.server.full(status, dispatch.untrusted_proxy)),
            }
        };
        match decided.and_then(promote) {
            Ok(dispatch) => {
                (self.place, self.peer) = (SocketKind::Connection, dispatch.peer);
                self.establish(
                    now,
                    dispatch.response.to_bytes(false),
                    dispatch.credentials,
                    leftover,
                )
            }
            Err(Rejected { rejection, cause }) => {
                self.reject(now, &Response::rejection(&rejection), cause, false)
            }
        }
    }

    /// Answers what is refused. To HEAD without a body.
    pub(super) fn reject(
        &mut self,
        now: Duration,
        response: &Response,
        cause: Option<WarningCause>,
        is_head: bool,
    ) -> Step {
        self.server.record_rejected(self.peer, response.status(), cause);
        self.response(now, response, is_head)
    }

    /// Answers what is no upgrade.
    fn response(&mut self, now: Duration, response: &Response, is_head: bool) -> Step {
        self.writer.finish(response.to_bytes(is_head).into(), false);
        self.close(now, None)
    }

    /// Sends the answer, if it is not sent yet, and opens the connection in the hub, in one step.
    pub(super) fn establish(
        &mut self,
        now: Duration,
        response: Vec<u8>,
        credentials: Option<Arc<Credentials>>,
        mut leftover: Vec<u8>,
    ) -> Step {
        let server = &self.server;
        let id = ConnId::from_random_bytes(server.0.env.random());
        let mut core = server.core();
        // Under the lock: a shutdown either finds this connection in the hub or is found here.
        if server.is_closing() {
            drop(core);
            if response.is_empty() {
                let (code, reason) = close::SHUTDOWN.frame();
                self.writer.close(Some(code), reason, false);
                return self.close(now, Some(Session::new()));
            }
            let response = Response::error(StatusCode::SERVICE_UNAVAILABLE);
            return self.reject(now, &response, None, false);
        }
        self.writer.push(Chunk::complete(response));
        let opening = (!server.options().echo).then_some(&self.writer);
        let outcome = core.apply(now, Input::Open { id }, opening);
        let Some(key) = outcome.opened else {
            return Step::Done;
        };
        if server.options().echo {
            // Without a link it has heard nothing of root; it leaves it as quietly.
            let leave = Command::Leave { conn: key, room: ROOT };
            core.apply(now, Input::Command(leave), None);
            core.outbound.writers.insert(key, self.writer.clone());
        }
        core.outbound.schedule(key, &self.writer);
        core.counts.opened += 1;
        let info = ConnInfo::new(key, id, credentials, self.peer);
        core.arrived(&info);
        core.limit_user(now, &info, server.options().max_connections_per_user);
        let conn = Conn { server: server.clone(), info };
        let mut open = Established::new(conn, now);
        server.flush_after_input(now, core, &mut open.flush_at);
        self.span = trace::Span::begin(&open.conn.info);
        let over = (!leftover.is_empty()).then(|| {
            let writer = &self.writer;
            let take = |_: &mut _| open.on_bytes(writer, &mut leftover, now);
            trace::Span::within(&mut self.span, |span| span, take)
        });
        self.state = State::Established(open);
        match over {
            Some(true) => self.close_open(now),
            _ => Step::Again,
        }
    }
}
