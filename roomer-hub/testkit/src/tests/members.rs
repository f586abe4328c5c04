//! Tests of members with info, as seen by extended and by plain clients.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use roomer_proto::extended::{INFO, MEMBERS, Members};
use roomer_proto::{NEW_MEMBER, PacketRef, ROOT};

use super::*;
use roomer_engine::{Builder, Claims, Info, Presence, Server};

fn info(text: &str) -> Info {
    Info::new(text).expect("JSON")
}

/// Builds a server that takes each client's user and info from the query of its request.
fn named() -> Builder {
    Server::builder().authorize(|request| {
        let mut claims = Claims::new();
        if let Some(user) = request.query("user") {
            claims = claims.user(user);
        }
        if let Some(info) = request.query("info") {
            claims = claims.info(
                Info::new(&info).map_err(|_| roomer_engine::Rejection::unauthorized("not JSON"))?,
            );
        }
        Ok(claims)
    })
}

fn as_user(user: &str, info: &str) -> Handshake {
    Handshake::new().query("user", user).query("info", info)
}

#[test]
fn extended_members_see_info_and_user_of_each_other() {
    let mut world = World::new(1, named());
    let ann = world.connect_extended(as_user("ann", r#"{"name":"Ann"}"#));
    world.settle();
    let bob = world.connect_with(as_user("bob", "\"Bob\""));
    world.settle();
    let eve = world.connect_extended(Handshake::new());
    world.settle();
    for client in [&ann, &eve] {
        let info = |of: &Client| client.member_info(ROOT, &of.id());
        assert_eq!(info(&ann).as_deref(), Some(r#"{"name":"Ann"}"#));
        assert_eq!(info(&bob).as_deref(), Some("\"Bob\""), "a plain client has info too");
        assert_eq!(info(&eve), None);
        assert_eq!(client.member_user(ROOT, &bob.id()).as_deref(), Some("bob"));
        assert_eq!(client.member_user(ROOT, &eve.id()), None);
    }
    assert_eq!(bob.members(ROOT).unwrap().len(), 3);
    eve.reset();
    bob.close(1000, "");
    world.advance(Duration::from_secs(31));
    assert_eq!(ann.members(ROOT).unwrap(), [ann.id()]);
}

#[test]
fn info_change_is_sent_to_all_extended_members() {
    let mut world = World::new(1, named());
    let (ann, bob, plain) = (
        world.connect_extended(Handshake::new()),
        world.connect_extended(Handshake::new()),
        world.connect(),
    );
    [&ann, &bob, &plain].iter().for_each(|client| client.join("lobby"));
    world.settle();
    let server = world.server().clone();
    assert_eq!(server.set_info(ann.id(), info("1")), Ok(true));
    assert_eq!(server.set_info(plain.id(), info("2")), Ok(true));
    assert_eq!(server.set_info("nobody", info("3")), Ok(false));
    world.settle();
    for (room, client) in [(ROOT, &ann), ("lobby", &ann), (ROOT, &bob), ("lobby", &bob)] {
        assert_eq!(client.member_info(room, &ann.id()).as_deref(), Some("1"));
        assert_eq!(client.member_info(room, &plain.id()).as_deref(), Some("2"));
    }
    let conn = server.conn(ann.id()).unwrap();
    assert_eq!(conn.info(), Some(info("1")));
    assert!(conn.set_info(None).is_ok());
    world.settle();
    assert_eq!(bob.member_info(ROOT, &ann.id()), None);
    assert_eq!(conn.info(), None);
    let sent = server.stats().messages_out;
    assert!(conn.set_info(None).is_ok());
    world.settle();
    assert_eq!(server.stats().messages_out, sent, "nothing has changed");
}

#[test]
fn oversized_info_is_rejected_or_dropped_at_login() {
    let long = format!("\"{}\"", "x".repeat(1023));
    let mut world = World::new(1, named());
    let ann = world.connect_extended(as_user("ann", &long));
    world.settle();
    assert!(ann.is_open());
    assert_eq!(ann.member_info(ROOT, &ann.id()), None);
    assert_eq!(ann.member_user(ROOT, &ann.id()).as_deref(), Some("ann"));
    let error = world.server().set_info(ann.id(), info(&long)).unwrap_err();
    assert!(error.to_string().contains("1025 bytes exceeds max_info(1024)"), "{error}");
    let longest = info(&format!("\"{}\"", "x".repeat(1022)));
    assert_eq!(world.server().user("ann").set_info(longest), Ok(1));
}

/// Sends a packet that sets the client's info.
fn send_info(client: &Client, payload: &str) {
    let payload = payload.as_bytes();
    client.send_packet(&PacketRef { room: ROOT, event: INFO, payload, ..PacketRef::default() });
}

#[test]
fn client_sets_info_only_if_rule_permits() {
    let mut world = World::new(1, Server::builder());
    let ann = world.connect_extended(Handshake::new());
    world.settle();
    send_info(&ann, "1");
    world.settle();
    assert_eq!(ann.member_info(ROOT, &ann.id()), None);
    assert_eq!(world.server().stats().rejected_packets.info, 1);

    let builder = Server::builder()
        .may_set_info(|_, info| info.as_str() != "\"root\"")
        .max_info(8)
        .info_rate(1, 3);
    let mut world = World::new(1, builder);
    let ann = world.connect_extended(Handshake::new());
    let (bob, plain) = (world.connect_extended(Handshake::new()), world.connect());
    world.settle();
    let seen = |world: &mut World, sent: &str| {
        send_info(&ann, sent);
        world.settle();
        bob.member_info(ROOT, &ann.id())
    };
    assert_eq!(seen(&mut world, "\"hello\"").as_deref(), Some("\"hello\""));
    assert_eq!(seen(&mut world, "\"root\"").as_deref(), Some("\"hello\""), "the rule rejects it");
    for invalid in ["\"hello?\"\"", "\"hello!!\"", "[1", "1],[", "\u{fe}"] {
        assert_eq!(seen(&mut world, invalid).as_deref(), Some("\"hello\""), "{invalid}");
    }
    assert_eq!(seen(&mut world, "null"), None);
    assert_eq!(seen(&mut world, "4"), None, "above the rate");
    world.advance(Duration::from_secs(1));
    assert_eq!(seen(&mut world, "5").as_deref(), Some("5"));
    let rejected = world.server().stats().rejected_packets;
    assert_eq!((rejected.info, rejected.by_application), (6, 1));
    send_info(&plain, "1");
    world.settle();
    assert_eq!(world.server().stats().rejected_packets.reserved, 1);
    assert_eq!(bob.member_info(ROOT, &plain.id()), None);
}

#[test]
fn async_rule_decides_about_info() {
    let builder = Server::builder()
        .may_set_info_async(async |conn, info| conn.rooms().len() == 1 && info.as_str() != "2");
    let mut world = World::new(1, builder);
    let ann = world.connect_extended(Handshake::new());
    world.settle();
    ["1", "2"].iter().for_each(|payload| send_info(&ann, payload));
    world.settle();
    assert_eq!(ann.member_info(ROOT, &ann.id()).as_deref(), Some("1"));
    assert_eq!(world.server().stats().rejected_packets.by_application, 1);
}

#[test]
fn info_changes_while_away_are_replayed() {
    let mut world = World::new(1, Server::builder());
    let (ann, bob) =
        (world.connect_extended(Handshake::new()), world.connect_extended(Handshake::new()));
    world.settle();
    ann.reset();
    world.settle();
    for value in 0..5 {
        assert_eq!(world.server().set_info(bob.id(), info(&value.to_string())), Ok(true));
        bob.send(ROOT, "chat", value.to_string());
        assert_eq!(world.server().set_info(ann.id(), info(&value.to_string())), Ok(true));
        world.settle();
        // Other clients receive the new info of a member without a connection.
        assert_eq!(bob.member_info(ROOT, &ann.id()).unwrap(), value.to_string());
    }
    let eve = world.connect_extended(Handshake::new());
    world.settle();
    assert_eq!(eve.member_info(ROOT, &ann.id()).as_deref(), Some("4"));
    let again = world.reconnect(&ann);
    let (id, agreed) = (bob.id(), Rc::new(Cell::new(0)));
    let count = agreed.clone();
    again.on("chat", move |client, packet| {
        let text = String::from_utf8_lossy(&packet.payload).into_owned();
        count.set(count.get() + u32::from(client.member_info(ROOT, &id) == Some(text)));
    });
    world.settle();
    assert!(again.is_resumed());
    assert_eq!(agreed.get(), 5, "each change came before the message that followed it");
    assert_eq!(again.member_info(ROOT, &ann.id()).as_deref(), Some("4"));
    assert_eq!(again.members(ROOT).unwrap().len(), 3);
}

#[test]
fn resumed_session_keeps_info() {
    let mut world = World::new(1, named());
    let ann = world.connect_extended(as_user("ann", "1"));
    let bob = world.connect_extended(Handshake::new());
    world.settle();
    assert_eq!(world.server().set_info(ann.id(), info("2")), Ok(true));
    world.settle();
    ann.reset();
    world.settle();
    let again = world.reconnect(&ann);
    world.settle();
    assert!(again.is_resumed());
    assert_eq!(bob.member_info(ROOT, &ann.id()).as_deref(), Some("2"));
    assert_eq!(again.member_info(ROOT, &ann.id()).as_deref(), Some("2"));
}

#[test]
fn rooms_without_full_presence_send_count_or_nothing() {
    let builder = named().presence("count", Presence::Count).presence("off", Presence::Off);
    let mut world = World::new(1, builder);
    let clients: Vec<Client> =
        (0..3).map(|_| world.connect_extended(as_user("ann", "1"))).collect();
    world.settle();
    let changes = Rc::new(Cell::new(0));
    let count = changes.clone();
    clients[0].on(MEMBERS, move |_, packet| {
        count.set(count.get() + u32::from(&*packet.room != ROOT));
    });
    for (joined, client) in clients.iter().enumerate() {
        client.join("count");
        client.join("off");
        world.settle();
        for client in &clients[..=joined] {
            assert_eq!(client.member_count("count"), Some(joined as u64 + 1));
            assert_eq!(client.members("off"), Some(vec![client.id()]));
            assert_eq!(client.member_info("off", &client.id()).as_deref(), Some("1"));
        }
    }
    assert_eq!(changes.get(), 2, "two joins, counted in one room");
    clients[2].leave("count");
    clients[1].close(1000, "");
    world.settle();
    assert_eq!(clients[0].member_count("count"), Some(1));
    assert_eq!(world.server().set_info(clients[0].id(), info("2")), Ok(true));
    world.settle();
    assert_eq!(clients[0].member_info(ROOT, &clients[0].id()).as_deref(), Some("2"));
    assert_eq!(clients[0].member_info("off", &clients[0].id()).as_deref(), Some("2"));
    clients[0].join("off");
    clients[0].join("count");
    world.settle();
}

/// The packets in this test are the examples in `EXTENDED.md`.
#[test]
fn payloads_on_page_are_parsed() {
    let members = |text: &str| Members::parse(text.as_bytes()).expect("a payload of members");
    let page = members(
        r#"{"members":[["6a1f0c9e-52f1-4b7c-9f0e-3a5d1c8b7e20",{"name":"Ann"},"ann"],
 ["0b7e4c3d-8a91-4f26-a5d8-7c6b5a493827",null]]}"#,
    );
    let [ann, bob] = &page.members.expect("members")[..] else { panic!() };
    assert_eq!((&ann.info, ann.user.as_deref()), (&Some(info(r#"{"name":"Ann"}"#)), Some("ann")));
    assert_eq!((&bob.info, &bob.user), (&None, &None));
    let changes = members(
        r#"{"joined":[["0b7e4c3d-8a91-4f26-a5d8-7c6b5a493827",null]],
 "left":["6a1f0c9e-52f1-4b7c-9f0e-3a5d1c8b7e20"],
 "changed":[["0b7e4c3d-8a91-4f26-a5d8-7c6b5a493827",{"name":"Bob"}]]}"#,
    );
    let lists = (changes.joined.len(), changes.left.len(), changes.changed.len());
    assert_eq!(lists, (1, 1, 1));
    assert_eq!(members(r#"{"count":3}"#).count, Some(3));
    let away = members(r#"{"away":["6a1f0c9e-52f1-4b7c-9f0e-3a5d1c8b7e20"]}"#).away;
    assert_eq!(members(r#"{"back":["6a1f0c9e-52f1-4b7c-9f0e-3a5d1c8b7e20"]}"#).back, away);
}

#[test]
fn plain_member_gets_plain_packets_only() {
    // The bytes that the first client, a plain one, receives must not depend on whether the second
    // client is plain or extended.
    let bytes_of_first = |is_extended: bool| {
        let mut world = World::with_faults(7, Faults::none(), named());
        let first = world.connect();
        world.settle();
        let log = Rc::new(std::cell::RefCell::new(Vec::new()));
        for event in [NEW_MEMBER, "member_left", "join_ack", "chat", MEMBERS] {
            let log = log.clone();
            first.on(event, move |_, packet| log.borrow_mut().push(packet.borrowed().to_bytes()));
        }
        let second = match is_extended {
            true => world.connect_extended(as_user("bob", "1")),
            false => world.connect_with(as_user("bob", "1")),
        };
        world.settle();
        first.join("lobby");
        world.settle();
        second.join("lobby");
        second.send("lobby", "chat", "hi");
        assert_eq!(world.server().set_info(second.id(), info("2")), Ok(true));
        world.settle();
        second.leave("lobby");
        second.close(1000, "");
        world.settle();
        let text = log.borrow().concat();
        assert!(log.borrow().len() == 6, "{log:?}");
        let id = second.id();
        String::from_utf8_lossy(&text).replace(&id, "second")
    };
    assert_eq!(bytes_of_first(true), bytes_of_first(false));
}
