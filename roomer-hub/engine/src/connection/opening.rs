//! A connection's first part: from the first byte to the room `root`, or to a refusal.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, StatusCode};
use roomer_proto::websocket::Session;
use roomer_proto::{ROOT, close};

use crate::app::claims::Credentials;
use crate::app::conn::{Conn, Person};
use crate::connection::established::{Open, end_turn, receive};
use crate::connection::read_buffer::with_buffer;
use crate::connection::{Asking, Connection, Stage, Turn};
use crate::handshake::request::Request;
use crate::handshake::response::Answer;
use crate::lifecycle::admission::Place;
use crate::metrics::trace;
use crate::metrics::warning::WarningCause;
use crate::outbound::chunk::Piece;
use crate::transport::Reader;
use crate::upgrade::{Decision, Pass, Refused};
use roomer_hub::ConnId;
use roomer_hub::{Command, Input};

/// How long one that was turned away may take to read the answer.
const LINGER: Duration = Duration::from_secs(1);

impl<R: Reader> Connection<R> {
    /// Answers at once, whatever the request would be.
    pub(super) fn turn_away(&mut self, now: Duration, status: StatusCode) -> Turn {
        trace::refused(self.peer, status.as_u16());
        self.server.warn(self.server.handshakes_full(status));
        self.link.finish(Answer::error(status).to_bytes(false).into(), false);
        if self.place == Place::Outside {
            self.link.prepare_final_write();
            return Turn::Done;
        }
        self.close_within(now, None, LINGER.min(self.server.options().close_timeout))
    }

    pub(super) fn handshake(&mut self, now: Duration, cx: &mut Context<'_>) -> Turn {
        let Stage::Handshake { handshake, until } = &mut self.stage else {
            return Turn::Again;
        };
        let (options, until) = (self.server.options(), *until);
        let read = with_buffer(|buffer| {
            let read = self.reader.poll_read(cx, buffer);
            read.map_ok(|size| (size, handshake.take(&buffer[..size], options)))
        });
        match read {
            Poll::Ready(Ok((0, _)) | Err(_)) => Turn::Done,
            Poll::Ready(Ok((_, None))) => Turn::Again,
            Poll::Ready(Ok((_, Some(Ok((head, behind)))))) => self.decide(now, until, head, behind),
            Poll::Ready(Ok((_, Some(Err(status))))) => {
                self.refuse(now, &Answer::error(status), None, false)
            }
            Poll::Pending if self.server.is_closing() => Turn::Done,
            Poll::Pending if now < until => Turn::Wait(until),
            Poll::Pending => {
                self.refuse(now, &Answer::error(StatusCode::REQUEST_TIMEOUT), None, false)
            }
        }
    }

    /// The request is there.
    fn decide(
        &mut self,
        now: Duration,
        until: Duration,
        head: http::Request<()>,
        behind: Vec<u8>,
    ) -> Turn {
        let request = Request::new(head, self.peer, self.server.options());
        let is_head = request.head.method() == Method::HEAD;
        match self.server.page(&request) {
            None => {}
            Some(Ok(answer)) => return self.answer(now, &answer, is_head),
            Some(Err(status)) => {
                let cause = self.server.elsewhere(&request);
                return self.refuse(now, &Answer::error(status), cause, is_head);
            }
        }
        match self.server.decide(request, false) {
            // HEAD is refused, and wants no body.
            Decision::Made(Err(Refused { refusal, cause })) => {
                self.refuse(now, &Answer::refusal(&refusal), cause, is_head)
            }
            Decision::Made(decided) => self.admit(now, decided, behind),
            Decision::Asked(asked) => {
                self.stage = Stage::Asking(Box::new(Asking { asked, behind, until }));
                Turn::Again
            }
        }
    }

    /// The application takes its time to decide.
    pub(super) fn asking(&mut self, now: Duration, cx: &mut Context<'_>) -> Turn {
        let Stage::Asking(asking) = &mut self.stage else {
            return Turn::Again;
        };
        if let Poll::Ready(decided) = asking.asked.poll(cx) {
            let behind = std::mem::take(&mut asking.behind);
            return self.admit(now, decided, behind);
        }
        if self.server.is_closing() {
            return Turn::Done;
        }
        if now >= asking.until {
            let cause = Some(WarningCause::AuthorizeTimeout);
            let answer = Answer::error(StatusCode::SERVICE_UNAVAILABLE);
            return self.refuse(now, &answer, cause, false);
        }
        // Read on, to hear when the client goes; but not without measure.
        let room = self.server.options().max_head.saturating_sub(asking.behind.len());
        let read = with_buffer(|buffer| match room.min(buffer.len()) {
            0 => Poll::Pending,
            most => self.reader.poll_read(cx, &mut buffer[..most]).map_ok(|size| {
                asking.behind.extend_from_slice(&buffer[..size]);
                size
            }),
        });
        match read {
            Poll::Ready(Ok(0) | Err(_)) => Turn::Done,
            Poll::Ready(Ok(_)) => Turn::Again,
            Poll::Pending => Turn::Wait(asking.until),
        }
    }

    /// Lets a client in that has passed, if there is still a place for it.
    fn admit(&mut self, now: Duration, decided: Result<Pass, Refused>, behind: Vec<u8>) -> Turn {
        let options = self.server.options();
        let promote = |pass: Pass| {
            let (from, to) = (options.address(self.peer), options.address(pass.peer));
            match self.server.0.life.promote(from, to, &options.caps) {
                Ok(()) => Ok(pass),
                Err(status) => Err(self.server.full(status, pass.untrusted_proxy)),
            }
        };
        match decided.and_then(promote) {
            Ok(pass) => {
                (self.place, self.peer) = (Place::Connection, pass.peer);
                self.open_up(now, pass.answer.to_bytes(false), pass.credentials, behind)
            }
            Err(Refused { refusal, cause }) => {
                self.refuse(now, &Answer::refusal(&refusal), cause, false)
            }
        }
    }

    /// Answers what is refused. To HEAD without a body.
    pub(super) fn refuse(
        &mut self,
        now: Duration,
        answer: &Answer,
        cause: Option<WarningCause>,
        is_head: bool,
    ) -> Turn {
        self.server.note_refused(self.peer, answer.status(), cause);
        self.answer(now, answer, is_head)
    }

    /// Answers what is no upgrade.
    fn answer(&mut self, now: Duration, answer: &Answer, is_head: bool) -> Turn {
        self.link.finish(answer.to_bytes(is_head).into(), false);
        self.close(now, None)
    }

    /// Sends the answer, if it is not sent yet, and opens the connection in the hub, in one step.
    pub(super) fn open_up(
        &mut self,
        now: Duration,
        response: Vec<u8>,
        credentials: Option<Arc<Credentials>>,
        mut behind: Vec<u8>,
    ) -> Turn {
        let server = &self.server;
        let id = ConnId::from_random_bytes(server.0.env.random());
        let mut core = server.core();
        // Under the lock: a shutdown either finds this connection in the hub or is found here.
        if server.is_closing() {
            drop(core);
            if response.is_empty() {
                let (code, reason) = close::SHUTDOWN.frame();
                self.link.close(Some(code), reason, false);
                return self.close(now, Some(Session::new()));
            }
            let answer = Answer::error(StatusCode::SERVICE_UNAVAILABLE);
            return self.refuse(now, &answer, None, false);
        }
        self.link.push(Piece::whole(response));
        let newcomer = (!server.options().echo).then_some(&self.link);
        let outcome = core.apply(now, Input::Open { id }, newcomer);
        let Some(key) = outcome.opened else {
            return Turn::Done;
        };
        if server.options().echo {
            // Without a link it has heard nothing of root; it leaves it as quietly.
            let leave = Command::Leave { conn: key, room: ROOT };
            core.apply(now, Input::Command(leave), None);
            core.links.insert(key, self.link.clone());
        }
        core.list(key, &self.link);
        core.counts.opened += 1;
        let person = Person::new(key, id, credentials, self.peer);
        core.arrived(&person);
        core.limit_user(now, &person, server.options().max_connections_per_user);
        let conn = Conn { server: server.clone(), person };
        let mut open = Open::new(conn, now);
        end_turn(now, core, &mut open);
        self.span = trace::Span::begin(&open.conn.person);
        let over = (!behind.is_empty()).then(|| {
            let link = &self.link;
            let take = |_: &mut _| receive(link, &mut open, &mut behind, now);
            trace::Span::within(&mut self.span, |span| span, take)
        });
        self.stage = Stage::Open(open);
        match over {
            Some(true) => self.close_open(now),
            _ => Turn::Again,
        }
    }
}
