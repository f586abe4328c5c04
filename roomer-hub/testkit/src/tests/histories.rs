//! Tests of rooms with a message history.

use roomer_engine::{Builder, History, Presence, Server};
use roomer_proto::extended::{NUMBER, Position, Recall};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn world(history: History) -> World {
    World::new(1, Server::builder().history("chat/*", history))
}

fn join(world: &mut World, recall: Recall) -> Client {
    let client = world.connect_extended(Handshake::new());
    world.settle();
    client.join_and_recall("chat/1", recall);
    world.settle();
    client
}

fn since(client: &Client) -> Recall {
    Recall { at: client.position("chat/1"), last: None }
}

fn last(last: u32) -> Recall {
    Recall { at: None, last: Some(last) }
}

fn texts(client: &Client) -> Vec<String> {
    client.texts("chat/1", "say")
}

fn number(client: &Client) -> u64 {
    client.position("chat/1").unwrap().number
}

#[test]
fn application_reads_history() {
    let mut world = world(History::last(3).max_age(10 * SECOND));
    let ann = join(&mut world, Recall::default());
    ann.send("chat/1", "say", "1");
    world.advance(6 * SECOND);
    ann.send("chat/1", "say", "2");
    world.settle();
    world.server().broadcast("chat/1", "news", "3");
    world.settle();
    let read = |world: &World, last| -> Vec<(u64, String, Option<String>, Vec<u8>)> {
        let messages = world.server().history("chat/1", last);
        let fields = messages.into_iter().map(|message| {
            let src = message.src.map(|src| src.to_string());
            (message.number, message.event.to_string(), src, message.payload.to_vec())
        });
        fields.collect()
    };
    let (two, three) = (
        (2, "say".to_owned(), Some(ann.id()), b"2".to_vec()),
        (3, "news".to_owned(), None, b"3".to_vec()),
    );
    assert_eq!(read(&world, 9).len(), 3);
    assert_eq!(read(&world, 2), [two.clone(), three.clone()]);
    assert_eq!(read(&world, 1), std::slice::from_ref(&three));
    assert!(read(&world, 0).is_empty() && world.server().history("x", 9).is_empty());
    // The first message has expired, although the room was not used in the meantime.
    world.advance(5 * SECOND);
    assert_eq!(read(&world, 9), [two, three]);
}

#[test]
fn rejoining_client_gets_missed_messages() {
    let mut world = world(History::last(100));
    let ann = join(&mut world, Recall::default());
    let bob = join(&mut world, Recall::default());
    bob.send("chat/1", "say", "1");
    world.settle();
    assert_eq!((texts(&ann), number(&ann), number(&bob)), (vec!["1".into()], 1, 1));
    // The sender receives only the number of its own message.
    assert!(texts(&bob).is_empty() && bob.texts("chat/1", NUMBER).is_empty());
    ann.close(1000, "");
    world.settle();
    bob.send("chat/1", "say", "2");
    bob.send("chat/1", "say", "3");
    world.settle();
    let again = join(&mut world, since(&ann));
    assert!(again.has_recovered("chat/1"));
    assert_eq!((texts(&again), number(&again)), (vec!["2".into(), "3".into()], 3));
    let first = &again.messages("chat/1")[0];
    assert_eq!((first.src.to_string(), &*first.dst), (bob.id(), "#2"));
    bob.send("chat/1", "say", "4");
    world.settle();
    assert_eq!(texts(&again), ["2", "3", "4"]);
    // The client receives only the number of its own message.
    let at = Some(Position { number: 2, ..again.position("chat/1").unwrap() });
    bob.leave("chat/1");
    world.settle();
    bob.join_and_recall("chat/1", Recall { at, last: None });
    world.settle();
    assert!(texts(&bob).is_empty() && bob.has_recovered("chat/1"));
    assert_eq!(number(&bob), 4);
}

#[test]
fn reply_to_empty_room_is_in_history_of_later_client() {
    let mut world = world(History::last(100).max_age(60 * SECOND));
    let ann = join(&mut world, Recall::default());
    ann.close(1000, "");
    world.settle();
    let bob = join(&mut world, Recall::default());
    bob.send("chat/1", "say", "are you there?");
    bob.close(1000, "");
    world.settle();
    assert_eq!(world.server().stats().histories.rooms, 1);
    world.advance(59 * SECOND);
    let again = join(&mut world, since(&ann));
    assert!(again.has_recovered("chat/1"));
    assert_eq!(texts(&again), ["are you there?"]);
    again.close(1000, "");
    world.settle();
    world.advance(61 * SECOND);
    let late = join(&mut world, since(&ann));
    assert!(!late.has_recovered("chat/1") && texts(&late).is_empty());
    assert_eq!(number(&late), 0);
    let (epoch, before) = (late.position("chat/1").unwrap().epoch, ann.position("chat/1").unwrap());
    assert_ne!(epoch, before.epoch);
}

#[test]
fn expired_messages_are_not_recovered() {
    let mut world = world(History::last(3));
    let ann = join(&mut world, Recall::default());
    let bob = join(&mut world, Recall::default());
    (1..=2).for_each(|n| bob.send("chat/1", "say", n.to_string()));
    world.settle();
    ann.close(1000, "");
    world.settle();
    (3..=6).for_each(|n| bob.send("chat/1", "say", n.to_string()));
    world.settle();
    let again = join(&mut world, since(&ann));
    assert!(!again.has_recovered("chat/1") && texts(&again).is_empty());
    let some = join(&mut world, Recall { last: Some(2), ..since(&ann) });
    assert_eq!(texts(&some), ["5", "6"]);
    assert_eq!(texts(&join(&mut world, last(100))), ["4", "5", "6"]);
    assert!(texts(&join(&mut world, Recall::default())).is_empty());
}

#[test]
fn plain_members_get_unchanged_packets() {
    let mut world = world(History::last(3));
    let plain = world.connect();
    let ann = join(&mut world, Recall::default());
    plain.join("chat/1");
    world.settle();
    plain.send("chat/1", "say", "1");
    world.settle();
    ann.send("chat/1", "say", "2");
    world.settle();
    let server = world.server().clone();
    server.broadcast("chat/1", "say", "3");
    world.settle();
    let received = plain.messages("chat/1");
    assert!(received.iter().all(|packet| packet.dst.is_empty()));
    assert_eq!(
        (texts(&plain), texts(&ann)),
        (vec!["2".into(), "3".into()], vec!["1".into(), "3".into()])
    );
    assert_eq!(number(&ann), 3);
    assert_eq!(texts(&join(&mut world, last(3))), ["1", "2", "3"]);
}

#[test]
fn history_includes_handler_messages_but_not_direct_ones() {
    let builder = Server::builder().history("*", History::last(10)).on("relay", |conn, message| {
        conn.send_to_room(message.room, "say", message.payload);
    });
    let mut world = World::new(1, builder);
    let ann = join(&mut world, Recall::default());
    let bob = join(&mut world, Recall::default());
    bob.send("chat/1", "relay", "by a handler");
    bob.send_to(&ann.id(), "say", "direct");
    world.settle();
    assert_eq!((texts(&ann), number(&ann), number(&bob)), (vec!["by a handler".into()], 1, 1));
    assert_eq!(texts(&join(&mut world, last(10))), ["by a handler"]);
}

#[test]
fn presence_count_rooms_have_history() {
    for presence in [Presence::Count, Presence::Off] {
        let builder = Server::builder().presence("chat/*", presence);
        let mut world = World::new(1, builder.history("chat/*", History::last(10)));
        let ann = join(&mut world, Recall::default());
        ann.send("chat/1", "say", "1");
        world.settle();
        let bob = join(&mut world, last(1));
        assert_eq!((texts(&bob), number(&bob)), (vec!["1".into()], 1), "{presence:?}");
    }
}

#[test]
fn recalls_above_rate_become_plain_joins() {
    let rules: [fn(Builder) -> Builder; 3] = [
        |builder| builder,
        |builder| builder.may_join(|_, _| true),
        |builder| builder.may_join_async(async |_, _| true),
    ];
    for rule in rules {
        let builder = Server::builder().history("chat/*", History::last(10));
        let mut world = World::new(1, rule(builder));
        let ann = join(&mut world, Recall::default());
        ann.send("chat/1", "say", "1");
        world.settle();
        let bob = join(&mut world, Recall::default());
        for _ in 0..40 {
            bob.leave("chat/1");
            bob.join_and_recall("chat/1", last(10));
        }
        world.settle();
        assert_eq!((texts(&bob).len(), number(&bob), bob.rooms().len()), (16, 1, 2));
        world.advance(3 * SECOND);
        for _ in 0..5 {
            bob.leave("chat/1");
            bob.join_and_recall("chat/1", last(10));
        }
        world.settle();
        assert_eq!(texts(&bob).len(), 19);
    }
}

#[test]
fn total_history_is_bounded() {
    let history = History::last(1000).max_bytes(100_000);
    let mut world = World::new(1, Server::builder().history("*", history).max_history(50_000));
    let ann = world.connect_extended(Handshake::new());
    world.settle();
    for room in 0..20 {
        let name = format!("room {room}");
        ann.join(&name);
        (0..20).for_each(|_| ann.send(&name, "say", [b'x'; 1000]));
        ann.leave(&name);
        world.settle();
        let bytes = world.server().stats().histories.bytes;
        assert!(bytes <= 50_000 && (room < 2 || bytes > 20_000), "{bytes}");
    }
}
