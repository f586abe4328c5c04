//! The list of a room's members, as last reported by the server.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use crate::ConnId;
use crate::extended::{self, Info, Member};

/// The members of a room, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Sorted by id. A map would allocate space for eleven entries up front, but in many rooms the
    /// client knows only itself.
    list: Vec<Entry>,
    /// The number of members, if the server sends only a count.
    count: Option<usize>,
}

type Entry = (ConnId, Option<Box<Details>>);

/// Details of a member, sent by extended servers. Boxed, because many members have none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Details {
    info: Option<Info>,
    user: Option<String>,
    is_away: bool,
}

/// The kind of a change to a member, from which an event is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Left,
    Joined,
    Changed,
}

impl Members {
    /// Returns the number of members, including the client. If the server only counts members
    /// (`Presence::Count`), this is the last count received.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.unwrap_or(self.list.len())
    }

    /// Returns true if the member is in the room.
    #[must_use]
    pub fn contains(&self, id: &ConnId) -> bool {
        self.find(id).is_ok()
    }

    /// Returns the ids in sorted order; empty if the server only counts members.
    pub fn ids(&self) -> impl Iterator<Item = &ConnId> {
        self.list.iter().map(|(id, _)| id)
    }

    /// Returns a member's info, if the server has sent it.
    #[must_use]
    pub fn info(&self, id: &ConnId) -> Option<&Info> {
        self.details(id)?.info.as_ref()
    }

    /// Returns a member's user, if the server has sent it.
    #[must_use]
    pub fn user(&self, id: &ConnId) -> Option<&str> {
        self.details(id)?.user.as_deref()
    }

    /// Returns true if a member has lost its connection but may still resume its session. Always
    /// false in rooms that do not announce this, and for the client itself.
    #[must_use]
    pub fn is_away(&self, id: &ConnId) -> bool {
        self.details(id).is_some_and(|details| details.is_away)
    }

    /// Adds a member without details. Returns false if it was already present.
    pub(super) fn add(&mut self, id: ConnId) -> bool {
        self.insert(id, None).is_none()
    }

    pub(super) fn remove(&mut self, id: &ConnId) -> bool {
        self.find(id).map(|at| self.list.remove(at)).is_ok()
    }

    /// Adds a member, or replaces its info and user. Returns the change, if there is one.
    pub(super) fn set(&mut self, member: Member) -> Option<Change> {
        let is_away = self.is_away(&member.id);
        let (id, details) = entry_of(member);
        let before = self.insert(id, details);
        // `insert` has replaced the details, and thereby reset this state.
        self.set_away(&id, is_away);
        match before {
            None => Some(Change::Joined),
            Some(before) => (before.as_deref() != self.details(&id)).then_some(Change::Changed),
        }
    }

    /// Records whether a member is away. Returns false if this was already recorded, or if the
    /// member is not in the list.
    pub(super) fn set_away(&mut self, id: &ConnId, is_away: bool) -> bool {
        if self.is_away(id) == is_away {
            return false;
        }
        let Ok(at) = self.find(id) else { return false };
        let empty = || Box::new(Details { info: None, user: None, is_away: false });
        let details = self.list[at].1.get_or_insert_with(empty);
        details.is_away = is_away;
        // Free the details if they are empty, as for most members.
        if !is_away && details.info.is_none() && details.user.is_none() {
            self.list[at].1 = None;
        }
        true
    }

    /// Applies the changes that an extended server has sent, and returns them. A member that has
    /// left and joined again occurs twice, any other member once.
    pub(super) fn apply(&mut self, changes: extended::Members) -> Vec<(ConnId, Change)> {
        let extended::Members { left, joined, changed, away, back, count, .. } = changes;
        let mut made = Vec::new();
        made.extend(left.into_iter().filter(|id| self.remove(id)).map(|id| (id, Change::Left)));
        // Report a member only once, even if it has joined or changed and is also away.
        let mut seen = BTreeSet::new();
        let mut report = |id: ConnId, change: Option<Change>| {
            made.extend(change.filter(|_| seen.insert(id)).map(|change| (id, change)));
        };
        for member in joined {
            report(member.id, self.set(member));
        }
        for member in changed {
            if self.contains(&member.id) {
                report(member.id, self.set(member));
            }
        }
        let away = away.into_iter().map(|id| (id, true));
        for (id, is_away) in away.chain(back.into_iter().map(|id| (id, false))) {
            report(id, self.set_away(&id, is_away).then_some(Change::Changed));
        }
        if let Some(count) = count {
            self.set_count(count);
        }
        made
    }

    /// Returns the changes to the other members since an earlier list. `own` contains the client's
    /// id for the earlier list and for this one, because the client itself neither joins nor
    /// leaves.
    pub(super) fn since(
        &self,
        before: &Members,
        own: (Option<ConnId>, ConnId),
    ) -> Vec<(ConnId, Change)> {
        let is_own = |id: &ConnId| *id == own.1 || Some(*id) == own.0;
        let before_of = |id: &ConnId| before.find(id).ok().filter(|_| !is_own(id));
        let earlier = before.list.iter().filter(|(id, _)| !is_own(id));
        let earlier = earlier.filter_map(|(id, details)| match self.find(id) {
            Ok(at) => (self.list[at].1 != *details).then_some((*id, Change::Changed)),
            Err(_) => Some((*id, Change::Left)),
        });
        // The client's earlier connection may still be listed as another member.
        let new = self.ids().filter(|id| **id != own.1 && before_of(id).is_none());
        earlier.chain(new.map(|id| (*id, Change::Joined))).collect()
    }

    /// Replaces the list. If an id occurs more than once, the last entry is kept.
    fn set_all(&mut self, entries: impl Iterator<Item = Entry>) {
        self.list = entries.collect();
        // Sort once: inserting the entries one by one would be quadratic.
        self.list.sort_by_key(|(id, _)| *id);
        self.list.dedup_by(|later, earlier| {
            // The sort is stable, so `later` comes later in the payload. `dedup_by` keeps
            // `earlier`, which therefore receives the contents of `later`.
            let is_same = later.0 == earlier.0;
            if is_same {
                core::mem::swap(later, earlier);
            }
            is_same
        });
        // `collect` grows the vector by doubling, and a client may keep many member lists for
        // hours.
        self.list.shrink_to_fit();
    }

    /// Inserts a member, or replaces its details. Returns the previous details if the member was
    /// present.
    fn insert(
        &mut self,
        id: ConnId,
        details: Option<Box<Details>>,
    ) -> Option<Option<Box<Details>>> {
        match self.find(&id) {
            Ok(at) => Some(core::mem::replace(&mut self.list[at].1, details)),
            Err(at) => {
                if self.list.is_empty() {
                    // By default, a vector's first allocation has space for four entries.
                    self.list.reserve_exact(1);
                }
                self.list.insert(at, (id, details));
                None
            }
        }
    }

    /// Returns the index of a member, or the index at which to insert it.
    fn find(&self, id: &ConnId) -> Result<usize, usize> {
        self.list.binary_search_by_key(id, |(id, _)| *id)
    }

    fn details(&self, id: &ConnId) -> Option<&Details> {
        self.list[self.find(id).ok()?].1.as_deref()
    }

    pub(super) fn set_count(&mut self, count: u64) {
        self.count = usize::try_from(count).ok();
    }

    /// Parses the payload of a `join_ack`: an array of ids, an object from an extended server, or a
    /// number from a plain server that only counts members. Anything else yields an empty list.
    pub(super) fn parse(payload: &[u8]) -> Self {
        let mut members = Members::default();
        // Choose the format by the payload, not by the protocol: a plain server never sends an
        // object.
        if let Some(extended) = extended::Members::parse(payload) {
            members.set_all(extended.members.into_iter().flatten().map(entry_of));
            for id in &extended.away {
                members.set_away(id, true);
            }
            members.count = extended.count.and_then(|count| usize::try_from(count).ok());
        } else if let Ok(list) = serde_json::from_slice::<Vec<serde_json::Value>>(payload) {
            // Entries that are not ids are skipped: one bad entry must not discard the others.
            let ids = list.iter().filter_map(serde_json::Value::as_str).filter_map(ConnId::parse);
            members.set_all(ids.map(|id| (id, None)));
        } else if let Ok(count) = serde_json::from_slice::<u64>(payload) {
            members.set_count(count);
        }
        members
    }
}

fn entry_of(member: Member) -> Entry {
    let Member { id, info, user } = member;
    let has_details = info.is_some() || user.is_some();
    (id, has_details.then(|| Box::new(Details { info, user, is_away: false })))
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const ANN: &str = "07070707-0707-4707-8707-070707070707";
    const BOB: &str = "09090909-0909-4909-8909-090909090909";

    #[test]
    fn each_member_list_format_is_parsed() {
        let id = |text| ConnId::parse(text).unwrap();
        let plain = Members::parse(alloc::format!("[\"{ANN}\",\"{BOB}\",3,\"x\"]").as_bytes());
        assert_eq!(plain.ids().copied().collect::<Vec<_>>(), [id(ANN), id(BOB)]);
        assert_eq!((plain.count(), plain.info(&id(ANN))), (2, None));
        let json =
            alloc::format!("{{\"members\":[[\"{ANN}\",{{\"a\":1}},\"ann\"],[\"{BOB}\",null]]}}");
        let extended = Members::parse(json.as_bytes());
        assert_eq!(extended.count(), 2);
        assert_eq!(extended.info(&id(ANN)).map(Info::as_str), Some("{\"a\":1}"));
        assert_eq!((extended.user(&id(ANN)), extended.user(&id(BOB))), (Some("ann"), None));
        assert_eq!((extended.info(&id(BOB)), extended.contains(&id(BOB))), (None, true));
        let away = alloc::format!(
            "{{\"members\":[[\"{ANN}\",null],[\"{BOB}\",null]],\"away\":[\"{BOB}\"]}}"
        );
        let away = Members::parse(away.as_bytes());
        assert_eq!([ANN, BOB].map(|member| away.is_away(&id(member))), [false, true]);
        let twice = alloc::format!(
            "{{\"members\":[[\"{BOB}\",1],[\"{ANN}\",null],[\"{BOB}\",2],[\"{ANN}\",3]]}}"
        );
        let twice = Members::parse(twice.as_bytes());
        assert_eq!(twice.ids().copied().collect::<Vec<_>>(), [id(ANN), id(BOB)]);
        let infos = [ANN, BOB].map(|member| twice.info(&id(member)).map(Info::as_str));
        assert_eq!(infos, [Some("3"), Some("2")], "the last entry of a member counts");
        for (text, count) in [("17", 17), ("{\"count\":5}", 5), ("", 0), ("[", 0), ("-1", 0)] {
            assert_eq!(Members::parse(text.as_bytes()).count(), count, "{text}");
        }
    }

    proptest! {
        #[test]
        fn members_match_map_after_joins_and_leaves(steps in prop::collection::vec((0u8..8, 0u8..5), 0..40)) {
            let (mut members, mut model) = (Members::default(), BTreeMap::new());
            for (number, step) in steps {
                let id = ConnId::from_random_bytes([number; 16]);
                let user = (step == 2).then(|| alloc::format!("{number}"));
                let known: Option<(Option<String>, bool)> = model.get(&id).cloned();
                let expected = match (step, known) {
                    (0, _) => model.remove(&id).is_some(),
                    (1, _) => model.insert(id, (None, false)).is_none(),
                    (2, known) => {
                        let is_away = known.as_ref().is_some_and(|(_, is_away)| *is_away);
                        model.insert(id, (user.clone(), is_away)).is_none()
                    }
                    (_, Some((user, was_away))) => {
                        model.insert(id, (user, step == 3));
                        was_away != (step == 3)
                    }
                    (_, None) => false,
                };
                let changed = match step {
                    0 => members.remove(&id),
                    1 => members.add(id),
                    2 => members.set(Member { id, info: None, user }) == Some(Change::Joined),
                    _ => members.set_away(&id, step == 3),
                };
                prop_assert_eq!(changed, expected);
                let known = members.ids().map(|id| {
                    (*id, (members.user(id).map(Into::into), members.is_away(id)))
                });
                prop_assert!(known.eq(model.iter().map(|(id, known)| (*id, known.clone()))));
                prop_assert_eq!(members.count(), model.len());
            }
        }
    }
}
