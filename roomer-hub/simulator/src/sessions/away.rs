//! Checks the notices about clients without a socket, in rooms that announce them.

use std::collections::BTreeSet;

use roomer_hub::ConnKey;

use super::application::text;
use super::harness::Harness;
use super::item::What;
use super::marks::Mark;
use crate::fault::{Fault, ensure};
use crate::server::expected::Order;

impl Harness<'_> {
    /// Checks an input that reports that a client has lost its socket, or has returned. Expects the
    /// notices to the other members.
    pub(super) fn check_away(
        &mut self,
        key: ConnKey,
        is_away: bool,
        polled: Option<usize>,
    ) -> Result<(), Fault> {
        let number = self.by_key(key)?;
        let session = &self.sessions[number];
        ensure!(polled == Some(session.keeper), "session {number} is not that of the task");
        ensure!(session.is_extended && session.is_open(), "session {number} cannot be away");
        // If the client is already waiting on another socket, the members must not be notified.
        let is_back = self.is_superseded(number, session.keeper);
        ensure!(!(is_away && is_back), "session {number} is away, and its client is back");
        if session.is_shown_away == is_away {
            return Ok(());
        }
        self.sessions[number].is_shown_away = is_away;
        let (client, id) = (self.sessions[number].client, self.sessions[number].id);
        let change = if is_away { "away" } else { "back" };
        let now = self.now();
        for room in ["r", "ro"] {
            let Some((order, members)) = self
                .model
                .room(room)
                .filter(|known| known.members.contains(&client))
                .map(|known| (Order::Room(known.number), known.members.clone()))
            else {
                continue;
            };
            for member in members.into_iter().filter(|member| *member != client) {
                if self.is_extended(member) {
                    self.marks.mark(is_away, Mark::ShownAway);
                    self.marks.mark(!is_away, Mark::ShownBack);
                    let payload = format!("{{\"{change}\":[\"{}\"]}}", text(id));
                    let what = What::Extended { room, event: "roomer:members", payload };
                    self.expect(now, member, order, what);
                }
            }
        }
        Ok(())
    }

    /// Returns the ids, in quotes, of the members of a room that `receiver` sees as away.
    pub(super) fn shown_away(&self, room: &str, receiver: u16) -> BTreeSet<String> {
        let announces = self.plan.setup.announces_away && room != "root";
        let away = self.sessions.iter().filter(|session| {
            announces
                && session.is_shown_away
                && session.client != receiver
                && self.model.is_in(session.client, room)
        });
        away.map(|session| format!("\"{}\"", text(session.id))).collect()
    }

    /// Checks that a session is shown as away exactly if it has no socket.
    pub(super) fn check_shown_away(&self, number: usize) -> Result<(), Fault> {
        let session = &self.sessions[number];
        let is_due = session.is_away() && self.plan.setup.announces_away;
        ensure!(session.is_shown_away == is_due, "shown as away: {}", session.is_shown_away);
        Ok(())
    }
}
