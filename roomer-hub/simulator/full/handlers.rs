//! The application: handlers that do what the plan says and write down what they did, as they
//! did it.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use roomer_hub::server::{Builder, Conn, HandlerResult};
use roomer_proto::PacketRef;

use super::plan::{Deed, Script};
use crate::simulator::names::{id_number, noise, person};
use crate::simulator::plan::{Address, Who};
use crate::simulator::trace::Trace;

/// What plan and application share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Application(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Handles of those who have called a handler, by number of id.
    handles: Vec<Option<Conn>>,
    /// The numbers of the ids of those in the slots.
    pub(crate) slots: [Option<u16>; 32],
    pub(crate) done: Vec<Done>,
}

/// What an application has done. Connections are named by the numbers of their ids.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Done {
    Called { by: u16, handler: usize, hash: u64 },
    ToRoom { by: u16, room: &'static str, event: &'static str, payload: &'static [u8] },
    ToClient { by: u16, dst: &'static str, event: &'static str, payload: &'static [u8] },
    Raw { by: u16, payload: &'static [u8], taken: bool },
    Close { who: u16, code: u16, reason: &'static str },
    Panicked,
    Returned,
}

impl Application {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a handler for each script.
    pub(crate) fn register(&self, mut builder: Builder, scripts: &[Script]) -> Builder {
        for (handler, script) in scripts.iter().enumerate() {
            let (application, does) = (self.clone(), script.does.clone());
            builder = builder.on(script.event, move |conn, message| {
                application.run(handler, conn, message, &does)
            });
        }
        builder
    }

    fn run(
        &self,
        handler: usize,
        conn: &Conn,
        message: &PacketRef<'_>,
        does: &[Deed],
    ) -> HandlerResult {
        let by = id_number(conn.id().as_str().as_bytes()).unwrap_or(u16::MAX);
        {
            let mut state = self.state();
            let at = usize::from(by);
            if state.handles.len() <= at {
                state.handles.resize(at + 1, None);
            }
            state.handles[at] = Some(conn.clone());
            state.done.push(Done::Called { by, handler, hash: hash(message) });
        }
        for deed in does {
            match deed {
                Deed::Panic => {
                    self.state().done.push(Done::Panicked);
                    // Not panic!, whose hook would tell people.
                    resume_unwind(Box::new("a plan's panic"));
                }
                Deed::Fail => {
                    self.state().done.push(Done::Returned);
                    return Err("a plan's error".into());
                }
                _ => self.act(conn, by, deed),
            }
        }
        self.state().done.push(Done::Returned);
        Ok(())
    }

    /// Does something with the handle of the one in a slot, outside any handler.
    pub(crate) fn outside(&self, slot: u8, deed: &Deed) {
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
            Deed::Fail | Deed::Panic => {}
        }
    }
}

impl State {
    fn handle(&self, slot: u8) -> Option<(u16, &Conn)> {
        let id = (*self.slots.get(usize::from(slot))?)?;
        Some((id, self.handles.get(usize::from(id))?.as_ref()?))
    }

    /// The text of an address, with `caller` for the one who called.
    pub(crate) fn address(&self, address: Address, caller: u16) -> &'static str {
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

/// What stands for a message that a handler was given.
pub(crate) fn hash(message: &PacketRef<'_>) -> u64 {
    let mut trace = Trace::new();
    let PacketRef { room, event, dst, src, payload } = *message;
    for field in [room, event, dst, src] {
        trace.bytes(field.as_bytes());
    }
    trace.bytes(payload);
    trace.hash()
}
