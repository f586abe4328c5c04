//! At the end of a plan, checks that the client and the server agree.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a simulation is reported as a fault"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use roomer_proto::client::{LostReason, State};

use super::plan::Server;
use super::run::Run;
use crate::fault::{Fault, ensure};

impl Run<'_> {
    /// Completes all pending work over a network without faults, and then compares both sides.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        (self.is_up, self.is_stalled) = (true, false);
        self.server.respond(0);
        for _ in 0..60 {
            self.advance(Duration::from_secs(3))?;
            // Handling may take several round trips.
            while self.server.handle(1)? {
                self.settle()?;
            }
            self.server.acknowledge("");
        }
        if self.plan.server != Server::Hostile {
            self.settle()?;
            self.check_messages()?;
            self.check_received()?;
            if !self.app.is_closed {
                self.check_rooms()?;
            }
        }
        // Whatever the server has sent, the client must still be able to close.
        self.client.close(self.now);
        self.advance(Duration::from_secs(60))?;
        ensure!(self.app.is_closed, "not closed: {:?}", self.client.state());
        Ok(())
    }

    /// Checks that both sides agree on the client's rooms and their members.
    fn check_rooms(&self) -> Result<(), Fault> {
        let state = self.client.state();
        ensure!(state == State::Open, "the client is {state:?}");
        let wished: BTreeSet<&str> = self.client.rooms().collect();
        let rooms = self.server.rooms();
        ensure!(wished == rooms, "the client is in {wished:?}, not {rooms:?}");
        for room in rooms {
            let members = self.client.members(room).into_iter().flat_map(|members| members.ids());
            let mut members: Vec<String> = members.map(ToString::to_string).collect();
            members.sort_unstable();
            let expected = self.server.members(room);
            ensure!(members == expected, "{room} has {expected:?}, not {members:?}");
        }
        Ok(())
    }

    /// Checks that each accepted message was handled, rejected or reported as lost, and that the
    /// messages to each room were handled in order and at most once.
    fn check_messages(&self) -> Result<(), Fault> {
        let mut last: BTreeMap<(usize, bool), usize> = BTreeMap::new();
        let mut handled = BTreeSet::new();
        for text in &self.server.handled {
            let number: usize = text[1..].parse().unwrap();
            let message = &self.app.messages[number];
            let before = last.insert((message.room, message.is_direct), number);
            ensure!(before.is_none_or(|before| before < number), "{text} after {before:?}");
            handled.insert(number);
        }
        for (number, message) in self.app.messages.iter().enumerate() {
            let is_handled = handled.contains(&number);
            match message.lost {
                None => {
                    let is_known =
                        is_handled || self.server.refused.contains(&format!("c{number}"));
                    ensure!(is_known, "c{number} is missing, and not reported");
                }
                Some(LostReason::Unsent) => ensure!(!is_handled, "c{number} was sent"),
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Checks that the client has received messages at most once and in order. In the last session
    /// of an extended client, none may be missing.
    fn check_received(&self) -> Result<(), Fault> {
        let sent = self.server.sent.iter();
        let all: Vec<(String, String)> =
            sent.clone().map(|(_, room, text)| ((*room).to_owned(), text.clone())).collect();
        let mut rest = all.iter();
        for message in &self.received {
            ensure!(rest.any(|other| other == message), "{message:?} is repeated, or out of order");
        }
        let sessions = self.server.sessions();
        let is_whole = self.plan.server == Server::Extended && !self.app.is_closed;
        for (session, room, text) in sent {
            let is_received = self.received.iter().any(|(_, other)| other == text);
            // The client drops messages in a room that it is leaving.
            let is_left = !self.client.is_joined(room);
            ensure!(
                !is_whole || *session != sessions || is_received || is_left,
                "{text} in {room} is missing"
            );
        }
        Ok(())
    }
}
