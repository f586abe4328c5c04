//! The application's hooks: they hear of what happens, each thing once and in order, and may do
//! something about it.

use roomer_engine::{Builder, Conn, DisconnectReason, RecordedInput};

use super::cursor::Cursor;
use super::handlers::{Application, Done};
use super::marks::Mark;
use super::plan::Hooks;
use super::stage::Stage;
use crate::fault::{Fault, ensure};
use crate::names::{ROOMS, room_number};

/// What a hook hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    Connected,
    Joined(&'static str),
    Left(&'static str),
    Gone(DisconnectReason),
}

impl News {
    fn kind(self) -> u8 {
        match self {
            News::Connected => 0,
            News::Joined(_) => 1,
            News::Left(_) => 2,
            News::Gone(_) => 3,
        }
    }
}

/// News that are due.
#[derive(Clone, Copy, Debug)]
pub struct Untold {
    by: u16,
    what: News,
    /// What caused it. What one thing causes in several rooms has no order.
    cause: u32,
}

impl Hooks {
    fn hears(self, what: News) -> bool {
        self.hears >> what.kind() & 1 == 1
    }

    fn acts(self, by: u16, what: News) -> bool {
        self.acts >> (what.kind() + 4 * (by & 1) as u8) & 1 == 1
    }
}

impl Application {
    pub(super) fn hooks(&self, mut builder: Builder, hooks: Option<Hooks>) -> Builder {
        let Some(hooks) = hooks else { return builder };
        let application = self.clone();
        let hear = move |conn: &Conn, what| application.hears(hooks, conn, what);
        let (connect, join, leave, end) = (hear.clone(), hear.clone(), hear.clone(), hear);
        if hooks.hears(News::Connected) {
            builder = builder.on_connect(move |conn| connect(conn, News::Connected));
        }
        if hooks.hears(News::Joined("")) {
            builder = builder.on_join(move |conn, room| join(conn, News::Joined(known(room))));
        }
        if hooks.hears(News::Left("")) {
            builder = builder.on_leave(move |conn, room| leave(conn, News::Left(known(room))));
        }
        if hooks.hears(News::Gone(DisconnectReason::Lost)) {
            builder = builder.on_disconnect(move |conn, why| end(conn, News::Gone(why)));
        }
        builder
    }

    fn hears(&self, hooks: Hooks, conn: &Conn, what: News) {
        let (after, bytes_in) = self.entries(conn);
        let by = self.notes(conn, |by| Done::Told { by, what, after, bytes_in });
        if hooks.acts(by, what) {
            // A hook has no errors.
            _ = self.does(conn, by, hooks.deed);
        }
        self.state().done.push(Done::Heard);
    }
}

/// The name of a room as one that lives as long as the program.
fn known(room: &str) -> &'static str {
    room_number(room).map_or("no room of ours", |number| ROOMS[usize::from(number)])
}

impl Stage<'_> {
    /// Something has happened that a hook may have to hear of.
    pub(super) fn happened(&mut self, who: u16, what: News) {
        if self.plan.setup.hooks.is_some_and(|hooks| hooks.hears(what)) {
            let by = self.model.clients[usize::from(who)].id;
            self.untold.push_back(Untold { by, what, cause: self.causes });
        }
    }

    /// What a connection has read before hooks hear of something in its turn is answered by then.
    pub(super) fn before_news(&mut self, at: usize, bytes_in: u64) {
        let line = &self.lines[at];
        let come = bytes_in - self.bytes_in;
        // What lies behind a handler is looked at after the news that it has made.
        if line.behind_slow != Some(bytes_in) {
            self.before_byte(at, line.began + come);
        }
    }

    /// A hook has heard of something, and what it did then.
    pub(super) fn told(
        &mut self,
        (by, what): (u16, News),
        entries: &mut Cursor<'_, RecordedInput>,
        deeds: &mut Cursor<'_, Done>,
    ) -> Result<(), Fault> {
        let first = self.untold.front().copied();
        // One that ends leaves its rooms in any order.
        let place = self.untold.iter().position(|news| news.by == by && news.what == what);
        let may = place.is_some_and(|place| {
            let is_left = |news: &Untold| matches!(news.what, News::Left(_));
            let together = |news: &Untold| {
                is_left(news) && news.by == by && Some(news.cause) == first.map(|news| news.cause)
            };
            place == 0 || self.untold.iter().take(place + 1).all(together)
        });
        ensure!(may, "a hook hears {what:?} of {by}, due is {first:?}");
        place.and_then(|place| self.untold.remove(place));
        let Some(at) = self.by_id(by) else {
            return Err(Fault::new(format!("a hook hears of {by}, who never was")));
        };
        while let Some(deed) = deeds.next() {
            match deed {
                Done::Heard => return Ok(()),
                Done::Panicked => {
                    self.failures.1 += 1;
                    self.seen.mark(true, Mark::HookPanics);
                    self.seen.mark(self.lines[at].waiting.is_some(), Mark::HookPanicsWhileWaiting);
                    return self.panicked(at, entries, "a hook failed");
                }
                Done::Raw { by, payload, taken } => self.raw(by, payload, taken)?,
                deed => {
                    let is_own = matches!(deed, Done::Close { who, .. } if who == by);
                    self.seen.mark(is_own && self.is_here(at), Mark::HookCloses);
                    self.seen.mark(!self.is_here(at), Mark::HookActsForGone);
                    let entry = entries.next();
                    self.deed(deed, entry)?;
                }
            }
        }
        Err(Fault::new("a hook did not come to its end".into()))
    }
}
