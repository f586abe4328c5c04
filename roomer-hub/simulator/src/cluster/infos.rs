//! Members' info, which extended clients receive for the members of their rooms.
//!
//! Each change increments the version of a client's info, and each message contains the version at
//! the time of sending. A receiver that lists the sender must therefore show that version of the
//! info.

use std::collections::{BTreeMap, BTreeSet};

use roomer_hub::{ConnId, Info, Profile};
use roomer_proto::extended::{Member, Members};

use super::client::{Client, FULL};
use super::plan::ROOMS;
use crate::fault::{Fault, ensure};

/// The maximum size of info that nodes send to each other. One of the values below exceeds it.
pub const MAX_INFO: usize = 900;

/// By room, the info and user of each member as an extended client knows them, formatted as one
/// text.
pub type Infos = BTreeMap<usize, BTreeMap<ConnId, String>>;

/// Returns the info with this number.
pub fn info(number: u32) -> Option<Info> {
    Some(match number % 8 {
        0 => return None,
        // Two values are long: one does not fit into a small frame, the other exceeds the limit for
        // peers.
        1 => Info::string(&format!("{number}{}", "x".repeat(MAX_INFO - 20))),
        2 => Info::string(&format!("{number}{}", "y".repeat(MAX_INFO))),
        _ => Info::string(&number.to_string()),
    })
}

/// Returns the user of a client, given the client's number.
pub fn user(client: usize) -> Option<&'static str> {
    match client % 3 {
        0 => None,
        1 => Some("ann"),
        _ => Some("b\"ob\\"),
    }
}

/// Returns a client's profile for an info number.
pub fn profile(client: usize, number: u32) -> Profile {
    Profile::new(info(number), user(client))
}

/// Returns the formatted profile that a member on the same node, or on another node, receives.
fn known(client: usize, number: u32, is_local: bool) -> String {
    let info = info(number).filter(|info| is_local || info.as_str().len() <= MAX_INFO);
    text(info.as_ref(), user(client))
}

fn text(info: Option<&Info>, user: Option<&str>) -> String {
    format!("{} {user:?}", info.map_or("null", Info::as_str))
}

impl Client {
    /// Parses a `join_ack`'s member list, and stores the info in it. Returns the ids.
    pub fn list(&mut self, room: usize, payload: &[u8]) -> Result<Vec<ConnId>, Fault> {
        let parsed = Members::parse(payload).unwrap_or_default();
        let (members, away) = (parsed.members, parsed.away);
        let members = members.ok_or_else(|| Fault::new("a join_ack without members".into()))?;
        let ids = members.iter().map(|member| member.id).collect();
        let infos = members.iter().map(|member| (member.id, of(member)));
        if room < FULL {
            self.infos.insert(room, infos.collect());
            self.away.insert(room, away.into_iter().collect());
        }
        Ok(ids)
    }

    /// Applies a membership notice of the extended protocol.
    pub fn change(&mut self, room: usize, payload: &[u8]) -> Result<(), Fault> {
        let changes = Members::parse(payload);
        let changes = changes.ok_or_else(|| Fault::new("a change of nothing".into()))?;
        if changes.count.is_some() || room >= FULL {
            return Ok(());
        }
        for id in changes.left {
            self.member_left(room, id)?;
            self.infos.entry(room).or_default().remove(&id);
            self.away.entry(room).or_default().remove(&id);
        }
        for member in changes.joined {
            self.new_member(room, member.id)?;
            self.infos.entry(room).or_default().insert(member.id, of(&member));
        }
        for member in changes.changed {
            let is_there = self.views.get(&room).is_some_and(|view| view.contains(&member.id));
            let (id, name) = (member.id, ROOMS[room]);
            ensure!(is_there, "the info of {id} changes in {name}, and it is not there");
            let before = self.infos.entry(room).or_default().insert(id, of(&member));
            ensure!(before != Some(of(&member)), "the info of {id} in {name} changes to the same");
        }
        let away = self.away.entry(room).or_default();
        for id in changes.away {
            let is_there = self.views.get(&room).is_some_and(|view| view.contains(&id));
            ensure!(is_there && away.insert(id), "{id} is away in {} once more", ROOMS[room]);
        }
        for id in changes.back {
            ensure!(away.remove(&id), "{id} is back in {}, and was not away", ROOMS[room]);
        }
        Ok(())
    }

    /// Checks that the receiver of a message shows the info that the sender had when it sent the
    /// message.
    pub fn check_info(
        &self,
        src: ConnId,
        (number, index, node): (u32, usize, usize),
        room: Option<usize>,
    ) -> Result<(), Fault> {
        let rooms = self.infos.iter().filter(|(of, _)| room.is_none_or(|room| room == **of));
        for (room, members) in rooms {
            let Some(shown) = members.get(&src) else { continue };
            // A node does not send info above the size limit to its peers. Members on the sender's
            // node receive it.
            let due = known(index, number, node == self.node);
            ensure!(
                *shown == due,
                "{} gets a message of {src} in {}, and sees {shown:.20} instead of {due:.20}",
                self.id,
                ROOMS[*room]
            );
        }
        Ok(())
    }

    /// Once nothing is in flight, checks which info this client shows for a room's
    /// members, and which of them it shows as away.
    pub fn check_infos(&self, room: usize, others: &super::node::Clients) -> Result<(), Fault> {
        if !self.is_extended || !self.is_in(room) {
            return Ok(());
        }
        let view = &self.views[&room];
        let due = view.iter().filter_map(|id| others.get(id));
        let due: BTreeMap<ConnId, String> = due
            .map(|other| {
                let is_local = other.node == self.node;
                (other.id, known(other.number, other.info, is_local))
            })
            .collect();
        let away = view.iter().filter(|id| **id != self.id).filter_map(|id| others.get(id));
        let away = away.filter(|other| other.is_away && self.shows_away());
        let away: BTreeSet<ConnId> = away.map(|other| other.id).collect();
        let shown = self.away.get(&room).cloned().unwrap_or_default();
        ensure!(shown == away, "{} sees {shown:?} away in {}, not {away:?}", self.id, ROOMS[room]);
        let shown = self.infos.get(&room);
        ensure!(shown == Some(&due), "{} sees {shown:?} in {}, not {due:?}", self.id, ROOMS[room]);
        Ok(())
    }
}

fn of(member: &Member) -> String {
    text(member.info.as_ref(), member.user.as_deref())
}
