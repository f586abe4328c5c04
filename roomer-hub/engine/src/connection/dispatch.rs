//! How a packet passes: the hub's rules, the application's rules, its handler.
//!
//! The hub decides; where it wants the application's word, it says so, and the word is fetched with
//! the lock released. A word that takes its time makes the connection wait, and only that.

use std::fmt::Display;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use roomer_proto::{PacketRef, close};

use crate::Server;
use crate::app::conn::Conn;
use crate::app::handler::{self, HandlerError, HandlerPanic, HandlerResult, Ran, Run};
use crate::app::message::{Message, OwnedMessage};
use crate::app::witness::Followed;
use crate::core::Core;
use crate::metrics::trace;
use crate::outbound::outbox::Link;
use crate::sync::MutexGuard;
use roomer_hub::{Command, Input};

/// A connection whose packet passes.
pub(crate) struct Passage<'p, 's> {
    pub(crate) server: &'s Server,
    pub(crate) conn: &'p Conn,
    pub(crate) now: Duration,
}

/// What comes of a packet.
#[derive(Default)]
pub(crate) struct Passed {
    /// The application's word is not out yet.
    pub(crate) wait: Option<Box<Wait>>,
    /// A receiver that is owed too much: whoever sends to it should wait.
    pub(crate) jam: Option<Arc<Link>>,
    /// The hub has closed the sender because of it: nothing behind it is handled.
    pub(crate) is_closed: bool,
}

/// The application's word on a packet, while it is awaited.
pub(crate) struct Wait {
    word: Word,
    followed: Followed,
    pub(crate) message: OwnedMessage,
}

enum Word {
    Handler(Run<HandlerResult>),
    Rule(Run<bool>),
}

/// What the application has to say.
pub(crate) enum Outcome {
    Handled(HandlerResult),
    Judged(bool),
    Panicked(HandlerPanic),
}

impl Wait {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let outcome = self.followed.poll(cx, |cx| match &mut self.word {
            Word::Handler(run) => handler::poll(run, cx).map_ok(Outcome::Handled),
            Word::Rule(run) => handler::poll(run, cx).map_ok(Outcome::Judged),
        });
        outcome.map(|result| result.unwrap_or_else(Outcome::Panicked))
    }
}

impl<'s> Passage<'_, 's> {
    /// Gives the hub an input about a packet and does what it asks for, until that is done or has
    /// to be waited for.
    pub(crate) fn pass(
        &self,
        mut core: MutexGuard<'s, Core>,
        input: Input<'_>,
        packet: PacketRef<'_>,
    ) -> (MutexGuard<'s, Core>, Passed) {
        let (conn, server) = (self.conn.person.key, self.server);
        let mut passed = Passed::default();
        let mut input: Input<'_> = input;
        let packet = PacketRef { src: self.conn.person.id.as_str(), ..packet };
        let message = Message::new(&packet, self.conn.person.id);
        loop {
            let outcome = core.apply(self.now, input, None);
            (passed.jam, passed.is_closed) = (outcome.jam, outcome.is_closed);
            if let Some(handler) = outcome.call.and_then(|key| server.handler(key)) {
                drop(core);
                let ran = server.in_turn(|| handler.run(self.conn, &message));
                core = server.core();
                core = match ran {
                    Ran::Done(result) => self.handled(core, &message, result),
                    Ran::Panicked(panic) => self.panicked(core, &message, panic),
                    Ran::Waits(run, message) => {
                        passed.wait = Some(self.wait("handler of", Word::Handler(run), message));
                        core
                    }
                };
                return (core, passed);
            }
            let Some(rule) = outcome.ask.and_then(|about| server.options().rules.rule(about))
            else {
                return (core, passed);
            };
            drop(core);
            let ran = server.in_turn(|| rule.run(self.conn, &message));
            core = server.core();
            input = match ran {
                Ran::Done(true) => Input::Allowed { conn, packet },
                Ran::Done(false) => Input::Denied { conn, packet },
                Ran::Panicked(panic) => return (self.panicked(core, &message, panic), passed),
                Ran::Waits(run, message) => {
                    passed.wait = Some(self.wait("rule about", Word::Rule(run), message));
                    return (core, passed);
                }
            };
        }
    }

    fn wait(&self, kind: &str, word: Word, message: OwnedMessage) -> Box<Wait> {
        let id = self.conn.person.id;
        let whose = || (format!("the {kind} `{}`", message.event), Some(id));
        let followed = self.server.follow(whose);
        Box::new(Wait { word, followed, message })
    }

    /// A handler has come to its end.
    pub(crate) fn handled(
        &self,
        mut core: MutexGuard<'s, Core>,
        message: &Message<'_>,
        result: HandlerResult,
    ) -> MutexGuard<'s, Core> {
        let Err(error) = result else { return core };
        core.counts.handler_errors += 1;
        self.report(core, message, error)
    }

    /// A handler or a rule has panicked: its connection ends.
    pub(crate) fn panicked(
        &self,
        mut core: MutexGuard<'s, Core>,
        message: &Message<'_>,
        panic: HandlerPanic,
    ) -> MutexGuard<'s, Core> {
        core = self.give_up(core);
        self.report(core, message, panic.into())
    }

    /// The application's code has panicked.
    fn give_up(&self, mut core: MutexGuard<'s, Core>) -> MutexGuard<'s, Core> {
        let conn = self.conn.person.key;
        core.counts.panics += 1;
        let close = Command::close(conn, &close::HANDLER_FAILED);
        core.apply(self.now, Input::Command(close), None);
        core
    }

    fn report(
        &self,
        core: MutexGuard<'s, Core>,
        message: &Message<'_>,
        error: HandlerError,
    ) -> MutexGuard<'s, Core> {
        let server = self.server;
        let hook = server.options().on_error.as_ref();
        if hook.is_none() && !cfg!(any(feature = "tracing", feature = "audit")) {
            return core;
        }
        drop(core);
        let id = Some(self.conn.person.id);
        let panic = error.downcast_ref::<HandlerPanic>();
        let kind = if panic.is_some() { "handler or a rule" } else { "handler" };
        let whose = || (format!("the {kind} of `{}`", message.event), id);
        let said: &dyn Display = panic.map_or(&error, |panic| &panic.message);
        server.show(whose, said, panic.is_some());
        trace::failed(&self.conn.person, message.event, &*error);
        let tell = || hook.map(|hook| hook(self.conn, message, error));
        let told = server.in_turn(|| handler::contain(tell));
        // A hook that panics has nobody else to be reported to.
        let told = told.inspect_err(|panic| {
            trace::hook_failed(&self.conn.person, panic);
            server.show(|| ("the hook `on_error`".into(), id), &panic.message, true);
        });
        let core = server.core();
        if told.is_err() { self.give_up(core) } else { core }
    }
}
