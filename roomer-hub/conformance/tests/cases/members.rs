//! A member's view of a room: `snapshot + new_member - member_left`.

use std::collections::BTreeSet;

use roomer_conformance::client::Client;
use roomer_conformance::wire::Packet;

/// A member that tracks the other members of a room, and fails if a notice contradicts its list.
pub(crate) struct Member {
    pub(crate) client: Client,
    pub(crate) room: &'static str,
    pub(crate) members: BTreeSet<String>,
}

impl Member {
    pub(crate) fn join(mut client: Client, room: &'static str) -> Member {
        let members = client.join(room).into_iter().collect();
        Member { client, room, members }
    }

    pub(crate) fn rejoin(&mut self) {
        self.members = self.client.join(self.room).into_iter().collect();
    }

    /// Leaves the room, and reads all packets until `leave_ack`. After it, no packet about the room
    /// may arrive.
    pub(crate) fn leave(&mut self) {
        self.client.send_to_room(self.room, "leave", b"");
        loop {
            let received = self.next_packet();
            if received.is_some_and(|packet| packet.event == "leave_ack") {
                return self.client.expect_nothing();
            }
        }
    }

    /// Reads the next packet. If it is a notice, applies it to the list; otherwise returns it.
    pub(crate) fn next_packet(&mut self) -> Option<Packet> {
        let packet = self.client.expect_packet();
        let is_new = match &*packet.event {
            "new_member" => true,
            "member_left" => false,
            event => {
                let is_built_in = matches!(event, "join_ack" | "leave_ack");
                let is_known = !packet.dst.is_empty() || self.members.contains(&packet.src);
                assert!(is_built_in || is_known, "not from a member: {packet:?}");
                return Some(packet);
            }
        };
        let Packet { room, event, dst, src, payload } = packet;
        assert_eq!((&*room, &*dst, &*src), (self.room, "", ""));
        let id = String::from_utf8(payload).unwrap();
        assert_ne!(id, self.client.id, "no client is notified of itself");
        let fits = if is_new { self.members.insert(id) } else { self.members.remove(&id) };
        assert!(fits, "{event} does not fit the list");
        None
    }

    /// Applies all notices that have arrived.
    pub(crate) fn catch_up(&mut self) {
        let id = self.client.id.clone();
        self.client.send_to_client(&id, "", "caught up", b"");
        while self.next_packet().is_none_or(|packet| packet.event != "caught up") {}
    }

    /// Applies notices until a message with this event arrives.
    pub(crate) fn read_until(&mut self, event: &str) {
        while self.next_packet().is_none_or(|packet| packet.event != event) {}
    }

    /// Applies notices until the list has `size` members. No other packets may arrive.
    pub(crate) fn settle(&mut self, size: usize) {
        while self.members.len() != size {
            let other = self.next_packet();
            assert!(other.is_none(), "{other:?}");
        }
    }
}
