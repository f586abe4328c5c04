//! Tests of JSON payloads, and of ids and statistics as JSON.
#![cfg(feature = "json")]

use std::collections::BTreeMap;

use roomer_engine::{Backlog, Claims, PacketRef, Server, json};
use roomer_hub::ConnId;
use roomer_testkit::World;

#[test]
fn every_way_to_send_accepts_json() {
    let builder = Server::builder()
        .authorize(|_| Ok(Claims::new().user("ann")))
        .on("all", |conn, message| {
            let (word, numbers): (&str, Vec<i32>) = message.json()?;
            let value = (numbers, word);
            let server = conn.server();
            conn.send_json("got", &value)?;
            conn.reply_json(message, "got", &value)?;
            conn.send_to_client_json(message.src, "got", &value)?;
            server.broadcast_json(message.room, "got", &value)?;
            assert!(server.send_json(message.src, "got", &value)?);
            assert!(!server.send_json("not an id", "got", &value)?);
            assert_eq!(server.user("ann").send_json("got", &value)?, 2);
            conn.send_to_room_json(message.room, "others", &value)?;
            server.broadcast_except_json(message.src, message.room, "others", &value)?;
            Ok(())
        })
        .on_async("fails", async |conn, message| {
            let map = BTreeMap::from([((1, 2), 3)]);
            conn.reply_json(&message, "got", &map)?;
            Ok(())
        });
    let mut world = World::new(1, builder);
    let (ann, bob) = (world.connect(), world.connect());
    ann.send("root", "all", r#"["x", [1, 2]]"#);
    ann.send("root", "fails", "");
    world.settle();
    let json = r#"[[1,2],"x"]"#;
    assert_eq!(ann.texts("root", "got"), [json; 6]);
    assert_eq!(bob.texts("root", "got"), [json; 2]);
    assert_eq!((ann.texts("root", "others").len(), bob.texts("root", "others").len()), (0, 2));
    assert_eq!(world.server().stats().handler_errors, 1);
}

#[test]
fn id_round_trips_as_json_string() {
    let id = ConnId::from_random_bytes([0xa1; 16]);
    let text = json(&id).unwrap();
    assert_eq!(text, format!("\"{id}\"").as_bytes());
    let read = |payload: &[u8]| PacketRef { payload, ..PacketRef::default() }.json::<ConnId>();
    assert_eq!(read(&text).unwrap(), id);
    let error = read(b"\"ann\"").unwrap_err().to_string();
    assert!(error.contains("\"ann\" is not a connection's id"), "{error}");
    assert!(read(b"7").is_err() && read(&text.to_ascii_uppercase()).is_err());
}

#[test]
fn statistics_are_objects_with_all_fields() {
    let mut world = World::new(1, Server::builder());
    let ann = world.connect();
    world.settle();
    ann.send("no such room", "chat", "");
    ann.close(4000, "");
    world.settle();
    let stats = world.server().stats();
    let text = String::from_utf8(json(&stats).unwrap()).unwrap();
    for part in [r#"{"connections":0,"#, r#""opened":1,"#, r#""not_member":1,"#, r#""closes":{"#] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // `Debug` prints every field.
    let fields = format!("{stats:?}").matches(": ").count();
    assert_eq!(text.matches("\":").count(), fields);
    let slowest: Vec<Backlog> = world.server().slowest(1);
    assert_eq!(json(&slowest).unwrap(), b"[]");
}
