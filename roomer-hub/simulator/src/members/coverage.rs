//! Coverage of the plans with info: marks for the situations that runs must reach.

use roomer_hub::Presence;

use super::marks::Mark;
use super::plan::{INVALID, USERS};
use super::run::Run;

impl Run<'_> {
    pub(super) fn mark_join(&mut self, client: usize, room: &str, is_open: bool) {
        let model = &self.model;
        let extended = model.clients[client].extended;
        let others = model.room(room).map_or(&[][..], |room| &room.members);
        let all_extended = !others.is_empty() && others.iter().all(|m| model.clients[*m].extended);
        self.marks.mark(is_open && extended && model.is_in(client, room), Mark::Rejoin);
        self.marks.mark(is_open && !extended && all_extended, Mark::PlainJoins);
    }

    pub(super) fn mark_leave(&mut self, client: usize, name: &str) {
        let model = &self.model;
        let Some(room) = model.room(name).filter(|room| room.members.contains(&client)) else {
            return;
        };
        let mut others = room.members.iter().filter(|member| **member != client);
        let is_last = others.clone().count() > 0
            && others.all(|m| model.clients[*m].extended != model.clients[client].extended);
        let is_extended = model.clients[client].extended;
        self.marks.mark(is_last && is_extended, Mark::LastExtendedLeaves);
        self.marks.mark(is_last && !is_extended, Mark::LastPlainLeaves);
        let size = room.members.len();
        self.marks.mark(size > 100 && room.members[0] != client, Mark::LeftFromChunk);
    }

    pub(super) fn mark_change(&mut self, client: usize, value: &str) {
        let model = &self.model;
        let is_new = model.clients[client].info != value;
        if !model.clients[client].is_open {
            return;
        }
        let notified = model.rooms.iter().filter(|room| {
            room.members.contains(&client)
                && model.presence(room.name) == Presence::Full
                && room.members.iter().any(|member| model.clients[*member].extended)
        });
        let notified = if is_new { notified.count() } else { 0 };
        let is_elsewhere = ["count", "off"].iter().any(|room| model.is_in(client, room));
        self.marks.mark(notified > 0, Mark::Changed);
        self.marks.mark(notified >= 3, Mark::ChangedInThree);
        self.marks.mark(notified > 0 && value == "null", Mark::ChangedToNull);
        self.marks.mark(!is_new, Mark::Unchanged);
        self.marks.mark(notified > 0 && !model.clients[client].extended, Mark::ChangedOfPlain);
        self.marks.mark(is_new && is_elsewhere, Mark::SetInRoom);
        let is_crowded = model.rooms.iter().any(|room| room.members.len() >= 100);
        self.marks.mark(notified > 0 && is_crowded, Mark::ChangedInChunk);
    }

    pub(super) fn mark_away(&mut self, client: usize, is_away: bool) {
        let (expected, extended) = (self.model.expected.len(), self.model.clients[client].extended);
        let has_own = self.model.expected.iter().any(|(to, _)| *to == client);
        self.marks.mark(expected > 0 && is_away && !has_own, Mark::Away);
        self.marks.mark(expected > 0 && !is_away && extended, Mark::Back);
        self.marks.mark(expected > 2, Mark::AwayInThree);
    }

    pub(super) fn mark_sent(&mut self, client: usize, payload: &[u8], is_open: bool) {
        if !is_open {
            return;
        }
        let (plan, extended) = (self.plan, self.model.clients[client].extended);
        let is_valid = !INVALID.contains(&payload);
        let is_permitted = extended && plan.authorize;
        let fits = payload.len() <= plan.max_info;
        self.marks.mark(!extended, Mark::ByPlain);
        self.marks.mark(extended && !plan.authorize, Mark::NotAllowed);
        self.marks.mark(is_permitted && !is_valid, Mark::Invalid);
        self.marks.mark(is_permitted && is_valid && !fits, Mark::TooLong);
        self.marks.mark(is_permitted && payload.len() == plan.max_info, Mark::AtLimit);
        if is_permitted && is_valid && fits {
            self.marks.mark(true, Mark::SentByClient);
            let (can_now, can_later) = self.model.may_send(client);
            self.marks.mark(can_now, Mark::Asked);
            self.marks.mark(!can_now, Mark::AboveRate);
            self.marks.mark(!can_now && can_later, Mark::AfterWait);
        }
    }

    pub(super) fn mark_packet(&mut self, event: &str, text: &str) {
        let is_list = event == "join_ack";
        self.marks.mark(is_list && text.contains(USERS[1].1), Mark::UserShown);
        self.marks.mark(is_list && text.contains(USERS[2].1), Mark::UserQuoted);
        let is_count = text.starts_with("{\"count\"");
        self.marks.mark(is_list && is_count, Mark::CountedJoin);
        self.marks.mark(!is_list && is_count, Mark::Counted);
        let has_plain = self.model.clients.iter().any(|client| {
            !client.extended && client.info != "null" && text.contains(&client.entry())
        });
        self.marks.mark(is_list && has_plain, Mark::PlainWithInfo);
        let has_away = text.contains("\"away\":[\"");
        self.marks.mark(is_list && has_away, Mark::AwayListed);
        self.marks.mark(has_away && text.contains("\"joined\""), Mark::JoinedAway);
        let is_alone = is_list && text.matches("[\"").count() == 1;
        self.marks.mark(is_alone, Mark::Alone);
    }
}
