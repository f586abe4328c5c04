//! The server's rates: an extended client learns them from `hello`, a plain one by a close.

use std::time::Duration;

use roomer_engine::{Builder, Server};
use roomer_proto::client::{Event, Failure, Options, Sent, State};
use roomer_simulator::client::net::*;
use roomer_testkit::Rng;

const SECOND: Duration = Duration::from_secs(1);

/// Returns the number of packets above a rate.
fn too_fast(net: &Net) -> u64 {
    net.world.server().stats().rejected_packets.rate
}

fn room(number: usize) -> String {
    format!("room {number}")
}

/// Returns a client in the lobby that another one is in, too.
fn in_lobby(builder: Builder, options: Options) -> (Net, usize, usize) {
    let mut net = Net::new(1, builder);
    let (ann, bob) = (net.add(options.clone()), net.add(options));
    net.join(ann, "lobby");
    net.join(bob, "lobby");
    net.advance(10 * SECOND);
    (net, ann, bob)
}

#[test]
fn a_plain_client_that_was_too_fast_slows_down() {
    let (mut net, ann, bob) = in_lobby(Server::builder().message_rate(10, 20), plain());
    for number in 0..100 {
        net.send(ann, "lobby", &number.to_string());
    }
    net.advance(SECOND / 2);
    let events = net.take_events(ann);
    let closed = Failure::Closed { code: Some(1008), reason: "rate".into() };
    assert!(events.contains(&Event::Suspended(closed)), "{events:?}");
    for number in 0..100 {
        net.send(ann, "lobby", &format!("again {number}"));
    }
    net.advance(MINUTE);
    assert_eq!((net.state(ann), net.ends[ann].attempts), (State::Open, 2));
    let heard = net.texts(bob, "lobby");
    let again = heard.iter().filter(|text| text.starts_with("again")).count();
    assert_eq!(again, 100);
}

#[test]
fn a_hundred_messages_of_an_extended_client_go_at_the_rate_of_the_server() {
    let (mut net, ann, bob) = in_lobby(Server::builder().message_rate(10, 20), Options::default());
    let sent = (0..100).map(|number| net.send(ann, "lobby", &number.to_string()));
    let at_once = sent.filter(|sent| *sent == Sent::Sent).count();
    // Its join and the leave of root are long refilled.
    assert_eq!(at_once, 20);
    net.advance(5 * SECOND);
    assert!((65..=70).contains(&net.texts(bob, "lobby").len()), "neither faster nor much slower");
    net.advance(5 * SECOND);
    assert_eq!((net.texts(bob, "lobby"), too_fast(&net)), (numbers(0..100), 0));
    assert_eq!((net.ends[ann].attempts, net.lost(ann)), (1, vec![]));
}

#[test]
fn a_client_that_returns_with_sixty_rooms_and_a_full_queue_is_not_too_fast() {
    let builder = Server::builder().message_rate(20, 20).join_rate(10, 10);
    let (mut net, ann, bob) = in_lobby(builder, Options::default());
    for number in 0..60 {
        net.join(ann, &room(number));
    }
    net.advance(7 * SECOND);
    assert!((0..60).all(|number| net.ends[ann].client.is_in(&room(number))));
    // A close ends the session: everything has to be joined again.
    net.world.server().disconnect(net.id(ann), 1012, "");
    net.settle();
    assert_eq!(net.state(ann), State::Waiting);
    for number in 0..100 {
        assert_eq!(net.send(ann, "lobby", &number.to_string()), Sent::Queued);
    }
    net.advance(2 * SECOND);
    assert!(
        !net.texts(bob, "lobby").is_empty(),
        "messages do not wait for the joins of other rooms"
    );
    net.advance(9 * SECOND);
    assert!((0..60).all(|number| net.ends[ann].client.is_in(&room(number))));
    assert_eq!((net.texts(bob, "lobby"), net.lost(ann)), (numbers(0..100), vec![]));
    assert_eq!((too_fast(&net), net.ends[ann].attempts), (0, 2));
}

#[test]
fn a_probe_about_a_refused_room_waits_for_its_turn() {
    let builder = Server::builder().message_rate(1, 2).may_join(|_, room| room != "secret");
    let mut net = Net::new(1, builder);
    let ann = net.add(Options::default());
    net.join(ann, "lobby");
    net.join(ann, "secret");
    net.advance(5 * SECOND);
    let events = net.take_events(ann);
    assert!(events.contains(&Event::Refused { room: "secret".into() }), "{events:?}");
    assert_eq!((too_fast(&net), net.ends[ann].attempts), (0, 1));
}

/// Whatever the network delays, and delivers at once.
#[test]
fn no_network_makes_a_client_too_fast() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut rate = |most: usize| {
            let (per_second, burst) = (1 + rng.below(most), 1 + rng.below(most));
            (per_second as u32, burst as u32)
        };
        let (messages, bytes, joins) = (rate(30), rate(300), rate(10));
        let builder = Server::builder()
            .max_message(300)
            .message_rate(messages.0, messages.1)
            .byte_rate(60 + bytes.0, 300 + bytes.1)
            .join_rate(joins.0, joins.1);
        let mut net = Net::new(seed, builder);
        let (ann, bob) = (net.add(Options::default()), net.add(Options::default()));
        net.join(ann, "lobby");
        net.join(bob, "lobby");
        net.advance(10 * SECOND);
        let mut sent = 0;
        for _ in 0..60 {
            match rng.below(8) {
                0..3 => {
                    net.send(ann, "lobby", &sent.to_string());
                    sent += 1;
                }
                3 => net.join(ann, &room(rng.below(8))),
                4 => net.leave(ann, &room(rng.below(8))),
                5 => net.ends[ann].is_stalled = rng.chance(50),
                6 if rng.chance(20) => net.cut(ann),
                _ => net.advance(Duration::from_millis(rng.below(2000) as u64)),
            }
        }
        net.ends[ann].is_stalled = false;
        net.advance(5 * MINUTE);
        assert_eq!(too_fast(&net), 0, "seed {seed}: {messages:?}, {bytes:?}, {joins:?}");
        assert_eq!((net.state(ann), net.lost(ann)), (State::Open, vec![]), "seed {seed}");
        assert_eq!(net.texts(bob, "lobby"), numbers(0..sent), "seed {seed}");
    }
}
