//! The member list that clients are sent as JSON.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use roomer_hub::{Action, Config, ConnId, ConnKey, HashKey, Hub, Input};
use roomer_proto::{JOIN, LEAVE, PacketRef, ROOT};

/// The most that may come and go.
const EVENTS: usize = 300;

/// Whoever comes and goes, in whatever order: a `join_ack` is a JSON array of strings, the ids of
/// the room's members in their order, and what was shared of an earlier one stays as it was.
///
/// The first byte says how many connections there are to begin with. Each two bytes after it are
/// one event: a join, a leave, an end or a new connection, and of whom.
pub fn snapshot(data: &[u8]) {
    let Some((&count, events)) = data.split_first() else { return };
    let mut crowd = Crowd::default();
    (0..count).for_each(|_| crowd.open());
    for event in events.chunks_exact(2).take(EVENTS) {
        if crowd.people.is_empty() {
            crowd.open();
        }
        let at = usize::from(event[1]) % crowd.people.len();
        match event[0] % 8 {
            0..=2 => crowd.ask(JOIN, at),
            3..=5 => crowd.ask(LEAVE, at),
            6 => crowd.end(at),
            _ => crowd.open(),
        }
        crowd.check_shared();
    }
}

struct Crowd {
    hub: Hub,
    opened: u32,
    people: Vec<(ConnId, ConnKey)>,
    members: BTreeSet<ConnId>,
    /// Pages of the last answer, and their text as it was.
    shared: (Vec<Bytes>, Vec<u8>),
}

impl Default for Crowd {
    fn default() -> Self {
        let hub = Hub::new(Config::default(), HashKey([5; 16]));
        let (people, members, shared) = (Vec::new(), BTreeSet::new(), Default::default());
        Crowd { hub, opened: 0, people, members, shared }
    }
}

impl Crowd {
    fn open(&mut self) {
        self.opened += 1;
        let mut bytes = [0xab; 16];
        bytes[..4].copy_from_slice(&self.opened.to_be_bytes());
        let id = ConnId::from_random_bytes(bytes);
        self.members.insert(id);
        let answer = self.handle(Input::Open { id });
        self.check(answer);
        let conn = self.hub.tables().find_conn(id.as_str()).expect("the connection is taken");
        self.people.push((id, conn));
    }

    fn ask(&mut self, event: &str, at: usize) {
        let (id, conn) = self.people[at];
        let packet = PacketRef { room: ROOT, event, ..PacketRef::default() };
        if event == JOIN {
            self.members.insert(id);
        } else {
            self.members.remove(&id);
        }
        let answer = self.handle(Input::Packet { conn, packet });
        assert_eq!(answer.is_some(), event == JOIN);
        self.check(answer);
    }

    fn end(&mut self, at: usize) {
        let (id, conn) = self.people.swap_remove(at);
        self.members.remove(&id);
        assert!(self.handle(Input::Gone { conn }).is_none());
    }

    /// Has the hub do something, and returns the snapshot that it sends, if any.
    fn handle(&mut self, input: Input<'_>) -> Option<Vec<u8>> {
        let mut answer = None;
        for action in self.hub.handle(Duration::ZERO, input) {
            if let Action::JoinAck { snapshot, .. } = action {
                let text = snapshot.to_vec();
                assert_eq!(snapshot.len(), text.len());
                let chunks = snapshot.chunks().to_vec();
                let before = chunks.concat();
                assert!(text.starts_with(&before));
                self.shared = (chunks, before);
                assert!(answer.replace(text).is_none(), "two answers");
            }
        }
        answer
    }

    fn check(&self, answer: Option<Vec<u8>>) {
        let Some(text) = answer else { return };
        let ids: Vec<String> = serde_json::from_slice(&text).expect("a JSON array of strings");
        let room = self.hub.tables().find_room(ROOT).expect("somebody is in it");
        let members = self
            .hub
            .tables()
            .members(room)
            .iter()
            .filter_map(|conn| self.hub.tables().conn_id(conn));
        assert!(members.map(|id| id.to_string()).eq(ids.iter().cloned()), "another order");
        let listed: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
        assert!(listed.len() == ids.len() && self.members.iter().map(ConnId::as_str).eq(listed));
    }

    fn check_shared(&self) {
        assert_eq!(self.shared.0.concat(), self.shared.1, "what was shared has changed");
    }
}
