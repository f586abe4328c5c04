//! Checks the events that a client reports against rules that hold for any server.

use std::collections::{BTreeMap, BTreeSet};

use roomer_proto::ConnId;
use roomer_proto::client::{Client, Event, LostReason, RequestId, State, Undelivered};

use super::plan::ROOMS;
use crate::fault::{Fault, ensure};

/// A message that the client has accepted from the application.
#[derive(Debug)]
pub struct Submitted {
    pub room: usize,
    /// True for a message to a single client. It may overtake messages to the room, which wait for
    /// the room's members.
    pub is_direct: bool,
    pub lost: Option<LostReason>,
}

/// The state of a room, derived only from the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    Out,
    In,
    /// The client was in the room when its session ended.
    Away,
}

/// The state that an application can derive from the client's events and the results of its calls.
#[derive(Default)]
pub struct Application {
    pub messages: Vec<Submitted>,
    /// The requests that have not been answered.
    pub requests: BTreeSet<RequestId>,
    pub rooms: BTreeMap<String, View>,
    /// For each room whose members are known, its members according to the events.
    members: BTreeMap<String, BTreeSet<String>>,
    /// Rooms that the application has left, and perhaps joined again, until an event reports the
    /// outcome.
    pub left: BTreeSet<String>,
    /// The client's id. A change of the id is not reported as a change of members.
    own: Option<ConnId>,
    is_open: bool,
    pub is_closed: bool,
}

impl Application {
    /// Checks an event, and updates the state derived from the events.
    pub fn event(&mut self, event: &Event) -> Result<(), Fault> {
        ensure!(!self.is_closed, "{event:?} after the end");
        let view = |app: &mut Self, room: &str| *app.rooms.entry(room.to_owned()).or_default();
        match event {
            Event::Opened { id, is_resumed } => {
                self.own = Some(*id);
                ensure!(!self.is_open, "opened twice");
                self.is_open = true;
                let joined = self.rooms.values_mut().filter(|view| **view == View::In);
                if !is_resumed {
                    joined.for_each(|view| *view = View::Away);
                }
            }
            Event::Suspended(_) => self.is_open = false,
            Event::Closed(_) => {
                self.is_closed = true;
                ensure!(self.requests.is_empty(), "no answer to {:?}", self.requests);
            }
            Event::Joined { room } => {
                let is_new = view(self, room) == View::Out || self.left.contains(&**room);
                ensure!(is_new, "joined {room} again");
                self.set(room, View::In);
            }
            Event::Rejoined { room, .. } => {
                ensure!(view(self, room) == View::Away, "rejoined {room}: {:?}", view(self, room));
                self.set(room, View::In);
            }
            Event::Removed { room } => {
                ensure!(view(self, room) != View::Out, "removed from {room} without a join");
                self.set(room, View::Out);
            }
            Event::Refused { room } | Event::Left { room } => self.set(room, View::Out),
            Event::MemberJoined { id, .. } | Event::MemberLeft { id, .. }
                if self.own == Some(*id) => {}
            Event::MemberJoined { room, id } => {
                let members = self.members.get_mut(&**room);
                let is_new = members.is_none_or(|members| members.insert(id.to_string()));
                ensure!(is_new, "{id} joins {room} twice");
            }
            Event::MemberLeft { room, id } => {
                let members = self.members.get_mut(&**room);
                let was_in = members.is_none_or(|members| members.remove(&id.to_string()));
                ensure!(was_in, "{id} leaves {room} twice");
            }
            Event::Lost(lost) => self.lost(lost)?,
            Event::Answered { request, .. } => {
                ensure!(self.requests.remove(request), "{request:?} is not open");
            }
            _ => {}
        }
        Ok(())
    }

    fn lost(&mut self, lost: &Undelivered) -> Result<(), Fault> {
        let text = String::from_utf8_lossy(&lost.packet.payload);
        let number = text.strip_prefix('c').and_then(|number| number.parse::<usize>().ok());
        let message = number.and_then(|number| self.messages.get_mut(number));
        let Some(message) = message else {
            return Err(Fault::new(format!("{text:?} was never accepted")));
        };
        ensure!(message.lost.is_none(), "{text:?} is lost twice");
        message.lost = Some(lost.reason);
        Ok(())
    }

    fn set(&mut self, room: &str, view: View) {
        self.rooms.insert(room.to_owned(), view);
        self.left.remove(room);
        // `compare` reads the members again after all events of this batch.
        self.members.remove(room);
    }

    /// Compares the state derived from the events with the client's getters.
    pub fn compare(&mut self, client: &Client) -> Result<(), Fault> {
        let state = client.state();
        ensure!(
            self.is_closed == (state == State::Closed),
            "{state:?}, closed: {}",
            self.is_closed
        );
        let is_open = state == State::Open;
        for room in ROOMS {
            let view = self.rooms.get(room).copied().unwrap_or_default();
            let (is_in, is_wished) =
                (client.is_joined(room), client.rooms().any(|name| name == room));
            let expected = is_open && is_wished && view == View::In;
            let is_open_question = self.left.contains(room);
            ensure!(
                is_in == expected || is_open_question,
                "{room}: {view:?}, wished: {is_wished}, but {is_in}"
            );
            let members = client.members(room).filter(|_| view == View::In && is_open);
            let Some(members) = members else {
                self.members.remove(room);
                continue;
            };
            let mut ids: BTreeSet<String> = members.ids().map(ToString::to_string).collect();
            let known = self.members.entry(room.to_owned()).or_insert_with(|| ids.clone());
            if let Some(own) = self.own {
                known.remove(own.as_str());
                ids.remove(own.as_str());
            }
            ensure!(*known == ids, "{room}: the events say {known:?}, the list {ids:?}");
        }
        Ok(())
    }
}
