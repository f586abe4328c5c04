//! The application: handlers that do what the plan says and write down what they did, as they
//! did it.

use std::future::poll_fn;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use roomer_engine::{Builder, Conn, HandlerResult, RecordedInput};
use roomer_hub::Permission;
use roomer_proto::PacketRef;
use roomer_testkit::Clock;

use super::hooks::News;
use super::plan::{Deed, Script};
use crate::names::{id_number, noise, person};
use crate::plan::{Address, Who};
use crate::trace::Trace;

/// What plan and application share.
#[derive(Clone, Debug, Default)]
pub struct Application(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub struct State {
    /// Handles of those who have called a handler, by number of id.
    handles: Vec<Option<Conn>>,
    /// The numbers of the ids of those in the slots.
    pub slots: [Option<u16>; 32],
    pub done: Vec<Done>,
    /// The journal, as far as somebody has asked for its length.
    pub journal: Vec<RecordedInput>,
    /// Slow handlers and rules that are under way.
    pub running: usize,
    /// For whom those ran that were dropped before their end.
    pub dropped: Vec<u16>,
    /// The slots of those about whom it was asked whether they may come in, and of those about whom
    /// it has made up its mind after a while.
    pub knocks: Vec<u8>,
    pub resolved: Vec<u8>,
    /// About how many it still thinks.
    pub knocking: usize,
}

/// What an application has done. Connections are named by the numbers of their ids.
#[derive(Clone, Copy, Debug)]
pub enum Done {
    Called {
        by: u16,
        handler: usize,
        hash: u64,
    },
    ToRoom {
        by: u16,
        room: &'static str,
        event: &'static str,
        payload: &'static [u8],
    },
    ToClient {
        by: u16,
        dst: &'static str,
        event: &'static str,
        payload: &'static [u8],
    },
    Raw {
        by: u16,
        payload: &'static [u8],
        taken: bool,
    },
    Join {
        who: u16,
        room: &'static str,
    },
    Leave {
        who: u16,
        room: &'static str,
    },
    Close {
        who: u16,
        code: u16,
        reason: &'static str,
    },
    /// A handler waits until then.
    Paused {
        until: Duration,
    },
    /// One that waits has its turn, for the first time or again, after so many entries of the
    /// journal and bytes that have come in.
    Resumed {
        by: u16,
        after: usize,
        bytes_in: u64,
    },
    Panicked,
    Returned {
        failed: bool,
    },
    /// A hook has heard of something, then as well.
    Told {
        by: u16,
        what: News,
        after: usize,
        bytes_in: u64,
    },
    /// That is all it did.
    Heard,
    /// A rule was asked.
    Asked {
        by: u16,
        about: Permission,
        sum: u64,
    },
    Answered {
        allowed: bool,
    },
}

/// What a slow handler or rule has to do, wherever it is in it.
pub(super) struct Errand {
    pub(super) application: Application,
    pub(super) conn: Conn,
    by: u16,
    pub(super) is_over: bool,
}

impl Application {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many entries the journal has, and how many bytes have come in.
    pub(super) fn entries(&self, conn: &Conn) -> (usize, u64) {
        let mut state = self.state();
        conn.server().take_journal(&mut state.journal);
        (state.journal.len(), conn.server().stats().bytes_in)
    }

    /// Registers a handler for each script.
    pub fn register(&self, mut builder: Builder, scripts: &[Script], clock: &Clock) -> Builder {
        for (handler, script) in scripts.iter().enumerate() {
            let (application, does) = (self.clone(), script.does.clone());
            builder = if script.is_slow() {
                let clock = clock.clone();
                builder.on_async(script.event, move |conn, message| {
                    let by = application.called(handler, &conn, &message.packet());
                    if let [Deed::Panic, ..] = *does {
                        _ = application.does(&conn, by, Deed::Panic);
                    }
                    let errand = Errand::new(application.clone(), conn);
                    errand.run(clock.clone(), does.clone())
                })
            } else {
                builder.on(script.event, move |conn, message| {
                    let by = application.called(handler, conn, &message.packet());
                    let end = does.iter().find_map(|deed| application.does(conn, by, *deed));
                    end.unwrap_or_else(|| application.returns(Ok(())))
                })
            };
        }
        builder
    }

    /// Notes that a handler was called. The number of its caller's id.
    fn called(&self, handler: usize, conn: &Conn, message: &PacketRef<'_>) -> u16 {
        self.notes(conn, |by| Done::Called { by, handler, hash: hash(message) })
    }

    /// Notes what has come to the application, and a handle of the one that it is about.
    pub(super) fn notes(&self, conn: &Conn, what: impl FnOnce(u16) -> Done) -> u16 {
        let by = number(conn);
        let mut state = self.state();
        let at = usize::from(by);
        if state.handles.len() <= at {
            state.handles.resize(at + 1, None);
        }
        state.handles[at] = Some(conn.clone());
        state.done.push(what(by));
        by
    }

    fn returns(&self, result: HandlerResult) -> HandlerResult {
        self.state().done.push(Done::Returned { failed: result.is_err() });
        result
    }

    /// Does something. What the handler returns, if that was its end.
    pub(super) fn does(&self, conn: &Conn, by: u16, deed: Deed) -> Option<HandlerResult> {
        match deed {
            Deed::Panic => {
                self.state().done.push(Done::Panicked);
                // Not panic!, whose hook would tell people.
                resume_unwind(Box::new("a plan's panic"))
            }
            Deed::Fail => Some(self.returns(Err("a plan's error".into()))),
            deed => {
                self.act(conn, by, &deed);
                None
            }
        }
    }

    /// Does something with the handle of the one in a slot, outside any handler.
    pub fn outside(&self, slot: u8, deed: &Deed) {
        let found = {
            let state = self.state();
            state.handle(slot).map(|(by, conn)| (by, conn.clone()))
        };
        if let Some((by, conn)) = found {
            self.act(&conn, by, deed);
        }
    }

    fn act(&self, conn: &Conn, by: u16, deed: &Deed) {
        let log = |done| self.state().done.push(done);
        match *deed {
            Deed::ToRoom { room, event, payload } => {
                let payload = noise(payload.0, payload.1);
                log(Done::ToRoom { by, room, event, payload });
                conn.send_to_room(room, event, payload);
            }
            Deed::ToClient { dst, event, payload } => {
                let (dst, payload) = (self.state().address(dst, by), noise(payload.0, payload.1));
                log(Done::ToClient { by, dst, event, payload });
                conn.send_to_client(dst, event, payload);
            }
            Deed::Raw(payload) => {
                let payload = noise(payload.0, payload.1);
                let taken = conn.try_send(payload);
                log(Done::Raw { by, payload, taken });
            }
            Deed::Join { room } => {
                log(Done::Join { who: by, room });
                conn.join(room);
            }
            Deed::Leave { room } => {
                log(Done::Leave { who: by, room });
                conn.leave(room);
            }
            Deed::Close { code, reason } => {
                log(Done::Close { who: by, code, reason });
                conn.close(code, reason);
            }
            Deed::CloseOther { slot, code, reason } => {
                let found = self.state().handle(slot).map(|(who, conn)| (who, conn.clone()));
                let Some((who, other)) = found else { return };
                log(Done::Close { who, code, reason });
                other.close(code, reason);
            }
            Deed::Fail | Deed::Panic | Deed::Pause { .. } => {}
        }
    }
}

impl State {
    fn handle(&self, slot: u8) -> Option<(u16, &Conn)> {
        let id = (*self.slots.get(usize::from(slot))?)?;
        Some((id, self.handles.get(usize::from(id))?.as_ref()?))
    }

    /// The text of an address, with `caller` for the one who called.
    pub fn address(&self, address: Address, caller: u16) -> &'static str {
        let who = |who| match who {
            Who::Slot(slot) => self.slots.get(usize::from(slot)).copied().flatten().map(person),
            Who::Ever(number) => Some(person(number % 32)),
            Who::Caller => Some(person(caller)),
        };
        match address {
            Address::Nothing => "",
            Address::Id(one) => who(one).map_or("", |person| &person.text),
            Address::Upper(one) => who(one).map_or("", |person| &person.upper),
            Address::Padded(one) => who(one).map_or("", |person| &person.padded),
            Address::Cut(one) => who(one).map_or("", |person| &person.cut),
            Address::Word(word) => word,
        }
    }
}

impl Errand {
    pub(super) fn new(application: Application, conn: Conn) -> Self {
        application.state().running += 1;
        Errand { application, by: number(&conn), conn, is_over: false }
    }

    async fn run(mut self, clock: Clock, does: Vec<Deed>) -> HandlerResult {
        self.resumes();
        for deed in does {
            if let Deed::Pause { millis } = deed {
                self.pauses(&clock, millis).await;
                continue;
            }
            self.is_over = matches!(deed, Deed::Fail | Deed::Panic);
            if let Some(result) = self.application.does(&self.conn, self.by, deed) {
                return result;
            }
        }
        self.is_over = true;
        self.application.returns(Ok(()))
    }

    pub(super) async fn pauses(&self, clock: &Clock, millis: u32) {
        let wait = Duration::from_millis(millis.into());
        self.application.state().done.push(Done::Paused { until: clock.now() + wait });
        match millis {
            0 => yield_now().await,
            _ => clock.sleep(wait).await,
        }
        self.resumes();
    }

    pub(super) fn resumes(&self) {
        let (by, (after, bytes_in)) = (self.by, self.application.entries(&self.conn));
        self.application.state().done.push(Done::Resumed { by, after, bytes_in });
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        let mut state = self.application.state();
        state.running -= 1;
        if !self.is_over {
            state.dropped.push(self.by);
        }
    }
}

/// Lets others have a turn.
pub(super) async fn yield_now() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The number of a connection's id.
fn number(conn: &Conn) -> u16 {
    id_number(conn.id().as_str().as_bytes()).unwrap_or(u16::MAX)
}

/// What stands for a message that a handler was given.
pub fn hash(message: &PacketRef<'_>) -> u64 {
    let mut trace = Trace::new();
    let PacketRef { room, event, dst, src, payload } = *message;
    for field in [room, event, dst, src] {
        trace.bytes(field.as_bytes());
    }
    trace.bytes(payload);
    trace.hash()
}
