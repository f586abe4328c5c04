//! Fuzzes the member list in `join_ack`, which is compared with the hub's members.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use roomer_hub::{Action, Config, ConnId, ConnKey, HashKey, Hub, Input};
use roomer_proto::{JOIN, LEAVE, PacketRef, ROOT};

/// The maximum number of events in an input.
const EVENTS: usize = 300;

/// Checks that a `join_ack` contains a JSON array with the ids of the room's members in order,
/// whichever clients have joined and left before, and that the chunks which it shares with an
/// earlier snapshot do not change.
///
/// The first byte is the number of connections at the start. Each pair of bytes after it is an event:
/// a join, leave, close or open, and the index of a connection.
pub fn snapshot(data: &[u8]) {
    let Some((&count, events)) = data.split_first() else { return };
    let mut crowd = Crowd::default();
    (0..count).for_each(|_| crowd.open());
    for event in events.chunks_exact(2).take(EVENTS) {
        if crowd.conns.is_empty() {
            crowd.open();
        }
        let at = usize::from(event[1]) % crowd.conns.len();
        match event[0] % 8 {
            0..=2 => crowd.packet(JOIN, at),
            3..=5 => crowd.packet(LEAVE, at),
            6 => crowd.end(at),
            _ => crowd.open(),
        }
        crowd.check_shared();
    }
}

struct Crowd {
    hub: Hub,
    opened: u32,
    conns: Vec<(ConnId, ConnKey)>,
    members: BTreeSet<ConnId>,
    /// The chunks of the last snapshot, and a copy of their bytes.
    shared: (Vec<Bytes>, Vec<u8>),
}

impl Default for Crowd {
    fn default() -> Self {
        let hub = Hub::new(Config::default(), HashKey([5; 16]));
        let (conns, members, shared) = (Vec::new(), BTreeSet::new(), Default::default());
        Crowd { hub, opened: 0, conns, members, shared }
    }
}

impl Crowd {
    fn open(&mut self) {
        self.opened += 1;
        let mut bytes = [0xab; 16];
        bytes[..4].copy_from_slice(&self.opened.to_be_bytes());
        let id = ConnId::from_random_bytes(bytes);
        self.members.insert(id);
        let snapshot_text = self.handle(Input::Open { id, extended: false });
        self.check(snapshot_text);
        let conn = self.hub.tables().find_conn(id.as_str()).expect("the connection is open");
        self.conns.push((id, conn));
    }

    fn packet(&mut self, event: &str, at: usize) {
        let (id, conn) = self.conns[at];
        let packet = PacketRef { room: ROOT, event, ..PacketRef::default() };
        if event == JOIN {
            self.members.insert(id);
        } else {
            self.members.remove(&id);
        }
        let snapshot_text = self.handle(Input::Packet { conn, packet });
        assert_eq!(snapshot_text.is_some(), event == JOIN);
        self.check(snapshot_text);
    }

    fn end(&mut self, at: usize) {
        let (id, conn) = self.conns.swap_remove(at);
        self.members.remove(&id);
        assert!(self.handle(Input::Gone { conn }).is_none());
    }

    /// Passes an input to the hub. Returns the snapshot that the hub sends, if it sends one.
    fn handle(&mut self, input: Input<'_>) -> Option<Vec<u8>> {
        let mut snapshot_text = None;
        for action in self.hub.handle(Duration::ZERO, input) {
            if let Action::JoinAck { snapshot, .. } = action {
                let text = snapshot.to_vec();
                assert_eq!(snapshot.len(), text.len());
                let runs = snapshot.runs().map(|run| run.chunks());
                let chunks: Vec<Bytes> = runs.flatten().cloned().collect();
                let before = chunks.concat();
                assert!(text.starts_with(&before));
                self.shared = (chunks, before);
                assert!(snapshot_text.replace(text).is_none(), "two snapshots");
            }
        }
        snapshot_text
    }

    fn check(&self, snapshot_text: Option<Vec<u8>>) {
        let Some(text) = snapshot_text else { return };
        let ids: Vec<String> = serde_json::from_slice(&text).expect("a JSON array of strings");
        let room = self.hub.tables().find_room(ROOT).expect("the room has members");
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
        assert_eq!(self.shared.0.concat(), self.shared.1, "a shared chunk has changed");
    }
}
