//! Tests of values that users rely on: ids, defaults, null keys and errors.

use std::time::Duration;

use roomer_hub::{Config, ConnId, ConnKey, HashKey, Hub, Input, Rate, RegisterError, RoomKey};
use roomer_proto::PacketRef;

const ID: &str = "a1a1a1a1-a1a1-41a1-a1a1-a1a1a1a1a1a1";

#[test]
fn id_is_version_4_uuid_in_lower_case() {
    let id = ConnId::from_random_bytes([0xa1; 16]);
    assert_eq!((id.as_str(), id.to_string(), format!("{id:?}")), (ID, ID.into(), ID.into()));
    let all_ones = ConnId::from_random_bytes([0xff; 16]);
    assert_eq!(all_ones.as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_eq!(all_ones.as_str().len(), ConnId::LEN);
}

#[test]
fn id_is_parsed_only_in_wire_form() {
    assert_eq!(ConnId::parse(ID), Some(ConnId::from_random_bytes([0xa1; 16])));
    let plain = ID.replace('-', "");
    let others = [
        ID.to_uppercase(),
        format!("{{{ID}}}"),
        format!("urn:uuid:{ID}"),
        format!(" {ID}"),
        format!("{ID} "),
        plain,
        ID[1..].into(),
        String::new(),
    ];
    for other in others {
        assert_eq!(ConnId::parse(&other), None, "{other:?}");
    }
}

#[test]
fn defaults_match_docs() {
    let config = Config::default();
    assert!(config.members_only && !config.announce_rejoin && config.extended);
    assert_eq!((config.max_name, config.max_rooms), (4096, 1100));
    assert_eq!((config.message_rate, config.byte_rate, config.join_rate), (None, None, None));
    assert_eq!((config.violation_rate, config.shared_room_only), (Rate::new(1, 256), false));

    let mut compat = Config::compat();
    assert!(!compat.members_only && compat.announce_rejoin && !compat.extended);
    (compat.members_only, compat.announce_rejoin, compat.extended) = (true, false, true);
    assert_eq!(compat, config, "the limits are the same");
}

#[test]
fn default_limits_are_exact() {
    let mut hub = Hub::new(Config::default(), HashKey([1; 16]));
    let id = ConnId::parse(ID).unwrap();
    for _ in hub.handle(Duration::ZERO, Input::Open { id, extended: false }) {}
    let conn = hub.tables().find_conn(ID).unwrap();
    let mut join = |room: &str| {
        let packet = PacketRef { room, event: "join", ..PacketRef::default() };
        for _ in hub.handle(Duration::ZERO, Input::Packet { conn, packet }) {}
        hub.tables().find_room(room).is_some_and(|room| hub.tables().is_member(conn, room))
    };
    assert!(join(&"n".repeat(4096)));
    assert!(!join(&"n".repeat(4097)));
    for number in 2..1100 {
        assert!(join(&format!("room {number}")));
    }
    assert!(!join("one more"));
    assert_eq!((hub.tables().room_count(), hub.tables().rooms_of(conn).len()), (1100, 1100));
    assert_eq!((hub.rejected_packets().long_name, hub.rejected_packets().too_many_rooms), (1, 1));
    for _ in hub.handle(Duration::ZERO, Input::Gone { conn }) {}
    assert_eq!((hub.tables().conn_count(), hub.tables().room_count()), (0, 0));
}

#[test]
fn null_keys_find_nothing() {
    let mut hub = Hub::new(Config::compat(), HashKey([1; 16]));
    let id = ConnId::parse(ID).unwrap();
    for _ in hub.handle(Duration::ZERO, Input::Open { id, extended: false }) {}
    let (conn, room) = (ConnKey::default(), RoomKey::default());
    let packet = PacketRef { room: "root", event: "chat", ..PacketRef::default() };
    assert_eq!(hub.handle(Duration::ZERO, Input::Packet { conn, packet }).len(), 0);
    assert_eq!(hub.handle(Duration::ZERO, Input::Gone { conn }).len(), 0);
    assert_eq!(
        (hub.tables().conn_id(conn), hub.tables().opened_at(conn), hub.tables().room_name(room)),
        (None, None, None)
    );
    assert!(hub.tables().members(room).is_empty() && !hub.tables().is_member(conn, room));
    assert_eq!(hub.tables().rooms_of(conn).len(), 0);
}

#[test]
fn register_reports_rejection_reason() {
    let mut hub = Hub::new(Config::default(), HashKey([1; 16]));
    assert_eq!(hub.register("chat").unwrap().index(), 0);
    assert_eq!(hub.register("chat"), Err(RegisterError::Duplicate("chat".into())));
    assert_eq!(hub.register("open"), Err(RegisterError::Reserved("open".into())));
    assert_eq!(hub.register(""), Err(RegisterError::Empty));
    // An error returned by `main` is printed with `Debug`.
    assert_eq!(format!("{:?}", RegisterError::Empty), "an event needs a name");
    assert_eq!(hub.register("ping").unwrap().index(), 1);
}

#[test]
fn debug_output_hides_hash_key() {
    assert_eq!(format!("{:?}", HashKey(*b"a secret in here")), "HashKey(secret)");
}

#[test]
fn tables_list_rooms_and_members() {
    let mut hub = Hub::new(Config::default(), HashKey([7; 16]));
    assert_eq!(hub.tables().rooms().count(), 0);
    let mut open = |byte| {
        hub.handle(
            Duration::ZERO,
            Input::Open { id: ConnId::from_random_bytes([byte; 16]), extended: false },
        )
        .for_each(drop);
        hub.tables().find_conn(ConnId::from_random_bytes([byte; 16]).as_str()).unwrap()
    };
    let keys = [open(1), open(2)];
    let join = PacketRef { room: "lobby", event: "join", ..PacketRef::default() };
    hub.handle(Duration::ZERO, Input::Packet { conn: keys[1], packet: join }).for_each(drop);
    let rooms: Vec<(RoomKey, &str)> = hub.tables().rooms().collect();
    assert_eq!(rooms.iter().map(|(_, name)| *name).collect::<Vec<_>>(), ["root", "lobby"]);
    assert_eq!(
        rooms.iter().map(|(key, _)| hub.tables().room_name(*key)).collect::<Vec<_>>(),
        [Some("root"), Some("lobby")]
    );
    let members = hub.tables().members(rooms[0].0);
    assert_eq!(format!("{members:?}"), format!("{keys:?}"));
}

#[test]
fn id_parse_error_describes_format() {
    let id: ConnId = ID.parse().unwrap();
    assert_eq!((id, id.as_ref() as &str), (ConnId::from_random_bytes([0xa1; 16]), ID));
    assert!(id == *ID && id == ID && id != "ann");
    let error = "ann".parse::<ConnId>().unwrap_err().to_string();
    assert_eq!(
        error,
        "\"ann\" is not a connection's id, which is a UUID in lower case with hyphens"
    );
    let long = "x".repeat(1_000_000).parse::<ConnId>().unwrap_err();
    assert!(long.to_string().len() < 200);
}

#[test]
fn hub_reports_protocol_of_clients() {
    let is_extended = |config, extended| {
        let mut hub = Hub::new(config, HashKey([1; 16]));
        let id = ConnId::from_random_bytes([1; 16]);
        for _ in hub.handle(Duration::ZERO, Input::Open { id, extended }) {}
        hub.tables().is_extended(hub.tables().find_conn(id.as_str()).unwrap())
    };
    assert!(is_extended(Config::default(), true));
    assert!(!is_extended(Config::default(), false));
    assert!(!is_extended(Config::compat(), true), "the original's mode has plain clients only");
}
