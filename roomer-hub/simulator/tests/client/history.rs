//! Tests clients in rooms with a message history: late joiners, and clients whose sessions ended.

use std::collections::BTreeSet;
use std::time::Duration;

use roomer_engine::{Builder, History, Server};
use roomer_proto::client::{Event, Options};
use roomer_simulator::client::net::*;

const SECOND: Duration = Duration::from_secs(1);

/// Builds a server that keeps this many messages of the room `lobby`, and ends a session after one
/// second without a connection.
fn remembering(messages: usize) -> Builder {
    Server::builder().history("lobby", History::last(messages)).resume_window(SECOND)
}

#[test]
fn new_member_gets_last_messages_in_order() {
    for seed in 0..8 {
        let mut net = Net::new(seed, remembering(100));
        let ann = net.add(Options::default());
        net.join(ann, "lobby");
        net.settle();
        net.send_messages(ann, 0..10);
        let bob = net.add(Options::default());
        net.join_with_history(bob, 4);
        let carl = net.add(Options::default());
        net.join(carl, "lobby");
        net.settle();
        net.send_messages(ann, 10..12);
        assert_eq!(net.texts(bob, "lobby"), numbers(6..12), "seed {seed}");
        assert_eq!(net.numbers(bob), [7, 8, 9, 10, 11, 12], "seed {seed}");
        assert_eq!(net.texts(carl, "lobby"), numbers(10..12), "seed {seed}");
        assert_eq!(net.texts(ann, "lobby"), numbers(0..0), "seed {seed}");
        assert!(net.messages(bob).iter().all(|message| !message.is_direct));
    }
}

#[test]
fn messages_missed_between_sessions_arrive_once_in_order() {
    for seed in 0..8 {
        let mut net = Net::new(seed, remembering(100));
        for number in [net.add(Options::default()), net.add(Options::default())] {
            net.join(number, "lobby");
            net.settle();
        }
        let before = net.id(1);
        net.send_messages(0, 0..3);
        net.send_messages(1, 100..102);
        net.away(1, |net| net.send_messages(0, 3..7));
        assert_ne!(net.id(1), before);
        net.send_messages(0, 7..8);
        // The client must receive neither the messages that it had already received, nor its own.
        assert_eq!(net.texts(1, "lobby"), numbers(0..8), "seed {seed}");
        net.away(1, |_| ());
        net.send_messages(0, 8..9);
        assert_eq!(net.texts(1, "lobby"), numbers(0..9), "seed {seed}");
        assert!(!net.has_missed(1));
    }
}

#[test]
fn expired_messages_are_reported_missing() {
    for (last, expected) in [(0, numbers(0..2)), (3, [numbers(0..2), numbers(7..10)].concat())] {
        let mut net = Net::new(1, remembering(5));
        let ann = net.add(Options::default());
        net.join(ann, "lobby");
        let bob = net.add(Options::default());
        net.join_with_history(bob, last);
        net.settle();
        net.send_messages(ann, 0..2);
        net.away(bob, |net| net.send_messages(ann, 2..10));
        let rejoined =
            |event: &Event| matches!(event, Event::Rejoined { room, .. } if room == "lobby");
        let events = &net.ends[bob].events;
        let missed = events.iter().position(|event| matches!(event, Event::Missed { .. }));
        assert!(missed.unwrap() < events.iter().position(rejoined).unwrap());
        assert_eq!(net.texts(bob, "lobby"), expected);
        // No message is lost after this point.
        net.take_events(bob);
        net.away(bob, |net| net.send_messages(ann, 10..13));
        assert_eq!(net.texts(bob, "lobby"), numbers(10..13));
        assert!(!net.has_missed(bob));
    }
}

#[test]
fn history_of_another_server_is_not_continued() {
    // The epoch of a history is random, so a second world is like a server that was restarted.
    let mut net = Net::new(1, remembering(100));
    let (ann, bob) = (net.add(Options::default()), net.add(Options::default()));
    net.join(ann, "lobby");
    net.join(bob, "lobby");
    net.settle();
    net.send_messages(ann, 0..5);
    net.is_up = false;
    net.cut(ann);
    net.cut(bob);
    net.advance(3 * SECOND);
    net.world = roomer_testkit::World::new(2, remembering(100));
    net.is_up = true;
    net.advance(MINUTE);
    assert!(net.has_missed(bob));
    net.send_messages(ann, 5..8);
    assert_eq!(net.texts(bob, "lobby"), numbers(0..8));
    assert_eq!(net.numbers(bob), [1, 2, 3, 4, 5, 1, 2, 3]);
}

#[test]
fn history_has_no_gaps_or_duplicates() {
    for seed in 0..100 {
        let mut net = Net::new(seed, remembering(10_000));
        for _ in 0..3 {
            let number = net.add(Options::default());
            net.join(number, "lobby");
        }
        net.settle();
        let mut sent = vec![Vec::new(); 3];
        for _ in 0..80 {
            let number = net.rng.below(3);
            match net.rng.below(10) {
                0..=4 => {
                    let text = format!("{number}:{}", sent[number].len());
                    net.send(number, "lobby", &text);
                    sent[number].push(text);
                }
                5 => net.cut(number),
                6 => net.drop_silently(number),
                7 => net.is_up = !net.is_up,
                8 => {
                    let millis = net.rng.below(2500) as u64;
                    net.advance(Duration::from_millis(millis));
                }
                _ => net.settle(),
            }
        }
        net.is_up = true;
        net.advance(3 * MINUTE);
        let texts: Vec<Vec<String>> = (0..3).map(|it| net.texts(it, "lobby")).collect();
        for (sender, sent) in sent.iter().enumerate() {
            let prefix = format!("{sender}:");
            let of_sender = |receiver: usize| {
                texts[receiver].iter().filter(|text| text.starts_with(&prefix)).collect::<Vec<_>>()
            };
            assert!(of_sender(sender).is_empty(), "seed {seed}: own messages");
            let [one, other] = [1, 2].map(|next| of_sender((sender + next) % 3));
            assert_eq!(one, other, "seed {seed}: messages of {sender}");
            let lost: BTreeSet<String> = net.lost(sender).into_iter().collect();
            let arrived: BTreeSet<String> = one.iter().map(|text| (*text).clone()).collect();
            assert_eq!(arrived.len(), one.len(), "seed {seed}: doubled");
            let all = sent.iter().all(|text| arrived.contains(text) || lost.contains(text));
            assert!(all, "seed {seed}: missing");
        }
        assert!((0..3).all(|number| !net.has_missed(number)), "seed {seed}");
    }
}

#[test]
fn rule_can_deny_history() {
    for seed in 0..8 {
        let rule =
            |conn: &roomer_engine::Conn, room: &str| conn.user().is_some() || room != "lobby";
        let builder = remembering(100).history("hall", History::last(100)).may_read_history(rule);
        let mut net = Net::new(seed, builder);
        let ann = net.add(Options::default());
        net.join(ann, "lobby");
        net.join(ann, "hall");
        net.send_messages(ann, 0..10);
        let now = net.world.now();
        net.ends[ann].client.send(now, "hall", "chat", None, b"hall").unwrap();
        net.settle();
        let bob = net.add(Options::default());
        net.join_with_history(bob, 4);
        net.ends[bob].client.join_with_history(net.world.now(), "hall", 4).unwrap();
        net.settle();
        // The client is in both rooms, and receives the history of the room that has no rule.
        net.send_messages(ann, 10..12);
        assert_eq!(net.texts(bob, "lobby"), numbers(10..12), "seed {seed}");
        assert_eq!(net.texts(bob, "hall"), ["hall"], "seed {seed}");
        // A client that returns with a position in the history does not get access to it either.
        net.away(bob, |net| net.send_messages(ann, 12..14));
        assert_eq!(net.texts(bob, "lobby"), numbers(10..12), "seed {seed}");
        assert!(net.has_missed(bob), "seed {seed}");
        net.send_messages(ann, 14..15);
        assert_eq!(net.texts(bob, "lobby").len(), 3, "seed {seed}");
    }
}
