//! A connection's first part: from the first byte to the room `root`, or to a refusal.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use roomer_proto::ROOT;
use roomer_proto::websocket::{Session, code};

use super::super::buffer::with_buffer;
use super::super::claims::Claims;
use super::super::conn::{Conn, Person};
use super::super::handshake::{Handshake, Outcome};
use super::super::link::Piece;
use super::super::open::{Open, end_turn, receive};
use super::super::transport::Reader;
use super::{Connection, Stage, Turn};
use crate::id::ConnId;
use crate::input::{Command, Input};

impl<R: Reader> Connection<R> {
    pub(super) fn handshake(&mut self, now: Duration, cx: &mut Context<'_>) -> Turn {
        let Stage::Handshake { handshake, until } = &mut self.stage else {
            return Turn::Again;
        };
        let (options, peer) = (self.server.options(), self.peer);
        let read = with_buffer(|buffer| {
            let read = self.reader.poll_read(cx, buffer);
            read.map_ok(|size| (size, handshake.take(&buffer[..size], options, peer)))
        });
        let outcome = match read {
            Poll::Ready(Ok((0, _)) | Err(_)) => return Turn::Done,
            Poll::Ready(Ok((_, None))) => return Turn::Again,
            Poll::Ready(Ok((_, Some(outcome)))) => outcome,
            Poll::Pending if self.server.is_closing() => return Turn::Done,
            Poll::Pending if now < *until => return Turn::Wait(*until),
            Poll::Pending => Handshake::timeout(),
        };
        match outcome {
            Outcome::Upgrade { response, claims, behind, peer } => {
                self.peer = peer;
                self.upgrade(now, response, claims, behind)
            }
            Outcome::End { response } => self.refuse(now, response),
        }
    }

    pub(super) fn refuse(&mut self, now: Duration, response: Vec<u8>) -> Turn {
        self.link.finish(response.into(), false);
        self.close(now, Session::new())
    }

    /// Sends the answer, if it is not sent yet, and opens the connection in the hub, in one step.
    pub(super) fn upgrade(
        &mut self,
        now: Duration,
        response: Vec<u8>,
        claims: Option<Arc<Claims>>,
        mut behind: Vec<u8>,
    ) -> Turn {
        let server = &self.server;
        let id = ConnId::from_random_bytes(server.0.env.random());
        let mut core = server.core();
        // Under the lock: a shutdown either finds this connection in the hub or is found here.
        if server.is_closing() {
            drop(core);
            if response.is_empty() {
                self.link.close(Some(code::GOING_AWAY), "server is going away", false);
                return self.close(now, Session::new());
            }
            return self.refuse(now, Handshake::unavailable());
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
        let person = Person::new(key, id, claims, self.peer);
        core.arrived(&person);
        let conn = Conn { server: server.clone(), person };
        let mut open = Open::new(conn, now);
        end_turn(now, core, &mut open);
        let over = (!behind.is_empty()).then(|| receive(&self.link, &mut open, &mut behind, now));
        self.stage = Stage::Open(open);
        match over {
            Some(true) => self.close_open(now),
            _ => Turn::Again,
        }
    }
}
