//! Invariants of a hub's tables that hold after any input, checked through its public lookups.

use std::time::Duration;

use roomer_hub::{Action, ConnId, ConnKey, Hub, Input, RoomKey};
use roomer_proto::{JOIN, NEW_MEMBER, PacketRef};

/// Checks that the tables are consistent. `conns` and `rooms` are all that have ever existed.
pub(crate) fn tables(hub: &Hub, conns: &[(ConnId, ConnKey)], rooms: &[RoomKey]) {
    let tables = hub.tables();
    let is_open = |conn: ConnKey| tables.conn_id(conn).is_some();
    assert_eq!(tables.conn_count(), conns.iter().filter(|conn| is_open(conn.1)).count());
    assert_eq!(
        tables.room_count(),
        rooms.iter().filter(|&&room| tables.room_name(room).is_some()).count()
    );
    for &(id, conn) in conns {
        let seats: Vec<RoomKey> = tables.rooms_of(conn).collect();
        assert!(all_differ(&seats), "two seats in one room");
        if is_open(conn) {
            assert_eq!(
                (tables.conn_id(conn), tables.find_conn(id.as_str())),
                (Some(id), Some(conn))
            );
        } else {
            assert_eq!(
                (tables.opened_at(conn), seats.len()),
                (None, 0),
                "a stale key finds a connection"
            );
            assert_ne!(tables.find_conn(id.as_str()), Some(conn), "an id finds a stale key");
        }
        for &room in rooms {
            let in_room = tables.members(room).iter().any(|member| member == conn);
            assert_eq!(seats.contains(&room), in_room, "seats and members disagree");
            assert_eq!(tables.is_member(conn, room), in_room, "is_member and members disagree");
        }
    }
    for &room in rooms {
        let members: Vec<ConnKey> = tables.members(room).iter().collect();
        assert_eq!(tables.members(room).len(), members.len());
        assert_eq!(tables.members(room).is_empty(), members.is_empty());
        assert!(all_differ(&members), "a member twice");
        assert!(members.iter().all(|&member| is_open(member)), "a member without a connection");
        match tables.room_name(room) {
            Some(name) => {
                assert_eq!(tables.find_room(name), Some(room), "a name finds another room");
                assert!(!members.is_empty(), "a room without members");
            }
            None => assert!(members.is_empty(), "a room that is gone has members"),
        }
    }
}

/// Checks that a repeated join of each room is answered with the room's members in order, and
/// changes nothing.
pub(crate) fn snapshots(hub: &mut Hub, rooms: &[RoomKey]) {
    for &room in rooms {
        let tables = hub.tables();
        let Some(first) = tables.members(room).iter().next() else { continue };
        let name = String::from(tables.room_name(room).unwrap());
        let ids: Vec<ConnId> =
            tables.members(room).iter().map(|of| tables.conn_id(of).unwrap()).collect();
        let before = hub.rejected_packets();
        let again = PacketRef { room: &name, event: JOIN, ..PacketRef::default() };
        let mut actions = hub.handle(Duration::ZERO, Input::Packet { conn: first, packet: again });
        match actions.next() {
            Some(Action::JoinAck { to, id, room, snapshot }) => {
                assert_eq!((to, id, room), (first, ids[0].as_str(), &*name));
                assert_eq!(read_snapshot(&snapshot.to_vec()), ids, "a wrong snapshot of {name:?}");
            }
            other => panic!("a repeated join is answered with {other:?}"),
        }
        let events = actions.map(|action| match action {
            Action::Broadcast { packet, .. } => String::from(packet.event),
            other => format!("{other:?}"),
        });
        let events: Vec<String> = events.collect();
        assert!(events.iter().all(|event| event == NEW_MEMBER), "a repeated join: {events:?}");
        assert_eq!(hub.rejected_packets(), before);
    }
}

/// Returns the ids listed in a `join_ack`, in order.
pub(crate) fn read_snapshot(payload: &[u8]) -> Vec<ConnId> {
    let text = std::str::from_utf8(payload).unwrap();
    let inside = text.strip_prefix("[\"").and_then(|rest| rest.strip_suffix("\"]"));
    let inside = inside.unwrap_or_else(|| panic!("not an array of strings: {text}"));
    let ids = inside.split("\",\"").map(ConnId::parse);
    ids.map(|id| id.unwrap_or_else(|| panic!("not an array of ids: {text}"))).collect()
}

fn all_differ<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().all(|(at, item)| !items[..at].contains(item))
}
