//! An extended client's view of its rooms, derived only from the packets that it receives.

use std::collections::{BTreeMap, BTreeSet};

use crate::fault::{Fault, ensure};

/// The members of a room, as entries by id. In rooms with counts, the number of members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomView {
    pub entries: BTreeMap<String, String>,
    /// The ids of the members that are away.
    pub away: BTreeSet<String>,
    pub count: Option<u64>,
}

/// A client's view of all of its rooms.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub rooms: BTreeMap<String, RoomView>,
}

/// The length of an id in bytes.
const ID: usize = 36;

impl View {
    /// Applies a packet.
    pub fn receive(&mut self, room: &str, event: &str, payload: &str) -> Result<(), Fault> {
        match event {
            "join_ack" => {
                let mut view = RoomView::default();
                let (list, away) = split_away(payload);
                view.away = away;
                match list.strip_prefix("{\"members\":[").and_then(|rest| rest.strip_suffix("]}")) {
                    Some(list) => view.entries = entries(list)?,
                    None => view.count = Some(count(payload)?),
                }
                if let Some(known) = self.rooms.insert(room.into(), view.clone()) {
                    ensure!(known == view, "{payload}, but the changes so far make {known:?}");
                }
            }
            "leave_ack" => _ = self.rooms.remove(room),
            "roomer:members" => self.change(room, payload)?,
            "new_member" | "member_left" => {
                return Err(Fault::new(format!("{event} for an extended member")));
            }
            _ => {}
        }
        Ok(())
    }

    fn change(&mut self, room: &str, payload: &str) -> Result<(), Fault> {
        let view = self.rooms.get_mut(room);
        let Some(view) = view else { return Err(Fault::new(format!("{payload} from outside"))) };
        let (change, away) = split_away(payload);
        let list = |key: &str| {
            let rest = change.strip_prefix(&format!("{{\"{key}\":["));
            rest.and_then(|rest| rest.strip_suffix("]}"))
        };
        if let Some(joined) = list("joined") {
            for (id, entry) in entries(joined)? {
                let known = view.entries.insert(id, entry);
                ensure!(known.is_none(), "{payload} about a known member");
            }
            view.away.extend(away);
        } else if let Some(left) = list("left") {
            let known = view.entries.remove(left.trim_matches('"'));
            ensure!(known.is_some(), "{payload} about an unknown member");
            view.away.remove(left.trim_matches('"'));
        } else if let Some(id) = list("away") {
            let id = id.trim_matches('"').to_owned();
            let is_new = view.entries.contains_key(&id) && view.away.insert(id);
            ensure!(is_new, "{payload} about a member that is away, or not a member");
        } else if let Some(id) = list("back") {
            let was_away = view.away.remove(id.trim_matches('"'));
            ensure!(was_away, "{payload} about a member that is not away");
        } else if let Some(changed) = list("changed") {
            for (id, entry) in entries(changed)? {
                let known = view.entries.insert(id, entry.clone());
                let is_change = known.is_some_and(|known| known != entry);
                ensure!(is_change, "{payload} changes nothing");
            }
        } else {
            ensure!(view.count.is_some(), "{payload} in a room that lists its members");
            view.count = Some(count(payload)?);
        }
        Ok(())
    }
}

/// Splits the ids of the members that are away off the end of a list.
fn split_away(payload: &str) -> (String, BTreeSet<String>) {
    let Some((list, away)) = payload.split_once("],\"away\":[\"") else {
        return (payload.to_owned(), BTreeSet::new());
    };
    let away = away.trim_end_matches("\"]}").split("\",\"");
    (format!("{list}]}}"), away.map(str::to_owned).collect())
}

/// Splits a list into its entries. Each begins with `["` and the id; no info in the plans contains
/// `["`.
fn entries(list: &str) -> Result<BTreeMap<String, String>, Fault> {
    let mut found = BTreeMap::new();
    let starts: Vec<usize> =
        list.match_indices("[\"").map(|(at, _)| at).filter(|at| is_id(list, at + 2)).collect();
    ensure!(starts.first() == Some(&0), "a list of members: {list}");
    for (at, start) in starts.iter().enumerate() {
        let end = starts.get(at + 1).map_or(list.len(), |next| next - 1);
        let (entry, id) = (&list[*start..end], &list[start + 2..start + 2 + ID]);
        let is_first = found.insert(id.to_owned(), entry.to_owned()).is_none();
        ensure!(is_first && entry.ends_with(']'), "a list of members: {list}");
    }
    Ok(found)
}

fn is_id(list: &str, at: usize) -> bool {
    let id = list.get(at..at + ID).unwrap_or_default();
    id.len() == ID && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn count(payload: &str) -> Result<u64, Fault> {
    let text = payload.strip_prefix("{\"count\":").and_then(|rest| rest.strip_suffix('}'));
    let count = text.and_then(|text| text.parse().ok());
    count.ok_or_else(|| Fault::new(format!("{payload} is not a number of members")))
}
