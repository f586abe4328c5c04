//! Tests clients that join more rooms with a history than the server's rate permits in one burst.

use std::collections::BTreeSet;
use std::time::Duration;

use roomer_engine::{Builder, History, Server};
use roomer_proto::client::{Event, Options};
use roomer_simulator::client::net::*;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const ROOMS: usize = 30;
/// The number of joins that the server's rate permits in one burst.
const BURST: usize = 16;

fn name(room: usize) -> String {
    format!("room {room:02}")
}

fn remembering() -> Builder {
    Server::builder().history("room *", History::last(10)).resume_window(SECOND)
}

/// Starts a server with a client that has joined each room and sent one message to it.
fn rooms(seed: u64, builder: Builder) -> Net {
    let mut net = Net::new(seed, builder);
    let ann = net.add(Options::default());
    for room in 0..ROOMS {
        net.join(ann, &name(room));
    }
    net.settle();
    say(&mut net, "old");
    net.advance(SECOND);
    net
}

fn say(net: &mut Net, text: &str) {
    for room in 0..ROOMS {
        net.send(0, &name(room), text);
        net.advance(MILLISECOND);
    }
}

/// Cuts a client off while messages are sent, and lets it return in a new session.
fn miss(net: &mut Net, number: usize) {
    net.is_up = false;
    net.cut(number);
    net.advance(3 * SECOND);
    say(net, "missed");
    net.is_up = true;
    net.advance(MINUTE);
}

fn enter(net: &mut Net, number: usize, room: usize) {
    let now = net.world.now();
    net.ends[number].client.join_with_history(now, &name(room), 5).unwrap();
}

/// Returns the rooms that the client is in.
fn open(net: &Net, number: usize) -> Vec<usize> {
    (0..ROOMS).filter(|room| net.ends[number].client.is_joined(&name(*room))).collect()
}

/// Checks that a client has received exactly this text in each room since the last call.
fn expect_texts(net: &mut Net, number: usize, text: &str) {
    let messages = net.messages(number).into_iter();
    let mut received: Vec<_> =
        messages.map(|message| (message.room.to_string(), message.text().unwrap())).collect();
    received.sort_unstable();
    let expected: Vec<_> = (0..ROOMS).map(|room| (name(room), text)).collect();
    assert_eq!(received, expected);
    net.ends[number].events.clear();
}

#[test]
fn each_room_gets_history_in_each_session() {
    for seed in 0..9 {
        // Rules must not affect the rate of joins, so run without and with both kinds of rules.
        let builder = match seed % 3 {
            0 => remembering(),
            1 => remembering().may_join(|_, _| true),
            _ => remembering().may_join_async(async |_, _| true),
        };
        let mut net = rooms(seed, builder);
        let bob = net.add(Options::default());
        net.settle();
        (0..ROOMS).for_each(|room| enter(&mut net, bob, room));
        net.settle();
        assert_eq!(open(&net, bob).len(), BURST, "seed {seed}");
        net.advance(20 * SECOND);
        expect_texts(&mut net, bob, "old");
        // The next session has a new rate.
        miss(&mut net, bob);
        assert!(!net.ends[bob].events.iter().any(|event| matches!(event, Event::Missed { .. })));
        expect_texts(&mut net, bob, "missed");
        assert_eq!(open(&net, bob).len(), ROOMS);
    }
}

/// A client that joined without requesting the history still requests the messages it has missed.
#[test]
fn each_room_recovers_missed_messages() {
    let mut net = rooms(1, remembering());
    let bob = net.add(Options::default());
    (0..ROOMS).for_each(|room| net.join(bob, &name(room)));
    net.settle();
    assert_eq!(open(&net, bob).len(), ROOMS, "joins without a request do not wait");
    miss(&mut net, bob);
    expect_texts(&mut net, bob, "missed");
}

#[test]
fn joins_of_rooms_without_history_are_not_delayed() {
    let builder = Server::builder().history("room 29", History::last(10));
    let mut net = rooms(1, builder);
    let bob = net.add(Options::default());
    (0..ROOMS).for_each(|room| enter(&mut net, bob, room));
    let start = net.world.now();
    net.settle();
    assert_eq!((open(&net, bob).len(), net.world.now()), (ROOMS, start));
    assert_eq!(net.texts(bob, "room 29"), ["old"]);
}

#[test]
fn plain_joins_are_not_delayed() {
    let mut net = rooms(1, Server::builder().extended(false));
    let bob = net.add(Options::default());
    (0..ROOMS).for_each(|room| enter(&mut net, bob, room));
    net.settle();
    assert_eq!(open(&net, bob).len(), ROOMS);
}

#[test]
fn waiting_room_can_be_left_and_rejoined() {
    let mut net = rooms(1, remembering());
    let bob = net.add(Options::default());
    net.settle();
    (0..ROOMS).for_each(|room| enter(&mut net, bob, room));
    net.settle();
    net.leave(bob, &name(29));
    net.leave(bob, &name(28));
    enter(&mut net, bob, 28);
    // The server's removal crosses the client's leave. The client's join then waits while the
    // answer to the leave arrives.
    net.world.server().kick(net.id(bob), name(0));
    net.leave(bob, &name(0));
    enter(&mut net, bob, 0);
    net.settle();
    let left =
        |net: &Net, room| net.ends[bob].events.contains(&Event::Left { room: name(room).into() });
    assert!(left(&net, 29) && left(&net, 28) && !open(&net, bob).contains(&0));
    net.advance(20 * SECOND);
    let events = &net.ends[bob].events;
    let refused = |event: &Event| matches!(event, Event::Refused { .. } | Event::Removed { .. });
    assert!(!events.iter().any(refused), "{events:?}");
    assert_eq!(open(&net, bob), (0..29).collect::<Vec<_>>());
    assert_eq!(net.texts(bob, &name(0)), ["old", "old"], "the past of both memberships");
    assert_eq!(net.texts(bob, &name(28)), ["old"]);
}

#[test]
fn each_membership_gets_history() {
    for seed in 0..40 {
        let mut net = rooms(seed, remembering().resume_window(10 * SECOND));
        let bob = net.add(Options::default());
        let mut wanted = BTreeSet::new();
        for _ in 0..80 {
            let room = net.rng.below(ROOMS);
            match net.rng.below(10) {
                0..=4 => {
                    enter(&mut net, bob, room);
                    wanted.insert(room);
                }
                5 => {
                    net.leave(bob, &name(room));
                    wanted.remove(&room);
                }
                6 => net.cut(bob),
                7 => net.settle(),
                8 => net.world.settle(),
                _ => {
                    let millis = net.rng.below(1500) as u64;
                    net.advance(Duration::from_millis(millis));
                }
            }
        }
        net.advance(MINUTE);
        assert_eq!(open(&net, bob), wanted.iter().copied().collect::<Vec<_>>(), "seed {seed}");
        let events = &net.ends[bob].events;
        for room in 0..ROOMS {
            let joined = Event::Joined { room: name(room).into() };
            let times = events.iter().filter(|event| **event == joined).count();
            // If the application leaves a room during the join, the room's past messages may still
            // arrive.
            let pasts = net.texts(bob, &name(room)).len();
            assert!(pasts >= times, "seed {seed}, room {room}: {pasts} of {times}");
        }
        assert!(!events.iter().any(|event| matches!(event, Event::Missed { .. })), "seed {seed}");
    }
}
