//! The members of a room, as a client knows them.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::ConnId;
use crate::extended::{self, Info, Member};

/// The members of a room, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    ids: BTreeMap<ConnId, Option<Box<Details>>>,
    /// The number of members, where the server does not list them.
    count: Option<usize>,
}

/// The details of a member that an extended server sends. Boxed, since many members have none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Details {
    info: Option<Info>,
    user: Option<String>,
}

impl Members {
    /// Returns the number of members, including the client. Where the server only counts members
    /// (`Presence::Count`), it is the last number that the server has sent.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.unwrap_or(self.ids.len())
    }

    /// Returns true if the member is in the room.
    #[must_use]
    pub fn contains(&self, id: &ConnId) -> bool {
        self.ids.contains_key(id)
    }

    /// Returns the ids, sorted; none where the server only counts members.
    pub fn ids(&self) -> impl Iterator<Item = &ConnId> {
        self.ids.keys()
    }

    /// Returns the info of a member, where the server sends one.
    #[must_use]
    pub fn info(&self, id: &ConnId) -> Option<&Info> {
        self.ids.get(id)?.as_ref()?.info.as_ref()
    }

    /// Returns the user of a member, where the server sends one.
    #[must_use]
    pub fn user(&self, id: &ConnId) -> Option<&str> {
        self.ids.get(id)?.as_ref()?.user.as_deref()
    }

    /// Adds a member of which only the id is known. Returns false if it was there.
    pub(super) fn add(&mut self, id: ConnId) -> bool {
        self.ids.insert(id, None).is_none()
    }

    pub(super) fn remove(&mut self, id: &ConnId) -> bool {
        self.ids.remove(id).is_some()
    }

    /// Adds a member, or replaces the details of one. Returns false if it was there.
    pub(super) fn set(&mut self, member: Member) -> bool {
        let Member { id, info, user } = member;
        let has_details = info.is_some() || user.is_some();
        let details = has_details.then(|| Box::new(Details { info, user }));
        self.ids.insert(id, details).is_none()
    }

    pub(super) fn set_count(&mut self, count: u64) {
        self.count = usize::try_from(count).ok();
    }

    /// Reads the payload of a `join_ack`: an array of ids or, from an extended server, an object;
    /// a number where a plain server only counts members. Anything else is an empty room.
    pub(super) fn parse(payload: &[u8]) -> Self {
        let mut members = Members::default();
        if let Some(extended) = extended::Members::parse(payload) {
            extended.members.into_iter().flatten().for_each(|member| _ = members.set(member));
            members.count = extended.count.and_then(|count| usize::try_from(count).ok());
        } else if let Ok(list) = serde_json::from_slice::<Vec<serde_json::Value>>(payload) {
            let ids = list.iter().filter_map(serde_json::Value::as_str).filter_map(ConnId::parse);
            members.ids.extend(ids.map(|id| (id, None)));
        } else if let Ok(count) = serde_json::from_slice::<u64>(payload) {
            members.set_count(count);
        }
        members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: &str = "07070707-0707-4707-8707-070707070707";
    const BOB: &str = "09090909-0909-4909-8909-090909090909";

    #[test]
    fn every_form_of_a_list_is_read() {
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
        for (text, count) in [("17", 17), ("{\"count\":5}", 5), ("", 0), ("[", 0), ("-1", 0)] {
            assert_eq!(Members::parse(text.as_bytes()).count(), count, "{text}");
        }
    }
}
