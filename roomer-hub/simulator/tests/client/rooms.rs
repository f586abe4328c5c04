//! Tests joins, leaves, members and messages with both protocols.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use roomer_engine::{Presence, Server};
use roomer_proto::client::{
    Event, JoinError, LostReason, Options, RequestError, SendError, SendStatus, State,
};
use roomer_simulator::client::net::*;

/// Runs a test with both protocols, and with several seeds.
fn both(test: impl Fn(u64, Options)) {
    for seed in 0..8 {
        test(seed, Options::default());
        test(seed, plain());
    }
}

/// Connects two clients that join the room `lobby`.
fn two(net: &mut Net, options: &Options) {
    for number in [net.add(options.clone()), net.add(options.clone())] {
        net.join(number, "lobby");
        net.settle();
    }
    net.take_events(0);
    net.take_events(1);
}

#[test]
fn client_joins_sends_receives_and_leaves() {
    both(|seed, options| {
        let mut net = Net::new(seed, Server::builder());
        let ann = net.add(options.clone());
        net.join(ann, "lobby");
        assert_eq!(net.send(ann, "lobby", "early"), SendStatus::Queued);
        net.settle();
        assert_eq!(net.ends[ann].client.is_extended(), options.extended);
        let id = net.id(ann);
        let names: Vec<_> = net.take_events(ann);
        assert_eq!(names[0], Event::Opened { id, is_resumed: false });
        assert_eq!(names[1], Event::Joined { room: "root".into() });
        assert_eq!(names[2], Event::Joined { room: "lobby".into() });
        assert_eq!(names.len(), 3);

        let bob = net.add(options.clone());
        net.join(bob, "lobby");
        net.settle();
        let room = "lobby".into();
        assert!(net.take_events(ann).contains(&Event::MemberJoined { room, id: net.id(bob) }));
        let mut both = [id, net.id(bob)];
        both.sort_unstable();
        assert_eq!(
            (net.members(ann, "lobby"), net.members(bob, "lobby")),
            (both.into(), both.into())
        );

        assert_eq!(net.send(bob, "lobby", "hello"), SendStatus::Sent);
        let now = net.world.now();
        let sent = net.ends[bob].client.send(now, "lobby", "chat", Some(id.as_str()), b"psst");
        assert_eq!(sent, Ok(SendStatus::Sent));
        net.settle();
        let received: Vec<_> =
            net.messages(ann).iter().map(|m| (m.text().unwrap(), m.is_direct)).collect();
        assert_eq!(received, [("hello", false), ("psst", true)]);
        assert_eq!(net.messages(ann)[0].from, net.id(bob).as_str());
        assert!(net.messages(bob).is_empty());

        net.leave(bob, "lobby");
        net.settle();
        assert!(net.take_events(bob).contains(&Event::Left { room: "lobby".into() }));
        let left = Event::MemberLeft { room: "lobby".into(), id: net.id(bob) };
        assert!(net.take_events(ann).contains(&left));
        let gone = net.ends[bob].client.send(now, "lobby", "chat", None, b"");
        assert_eq!(gone, Err(SendError::NotJoined));
        assert_eq!(net.members(ann, "lobby"), [id]);
    });
}

#[test]
fn rejected_joins_and_kicks_are_events() {
    both(|seed, options| {
        let mut net = Net::new(seed, Server::builder().may_join(|_, room| room != "staff"));
        two(&mut net, &options);
        net.join(0, "staff");
        assert_eq!(net.send(0, "staff", "in vain"), SendStatus::Queued);
        net.settle();
        assert_eq!(net.lost(0), ["in vain"]);
        let events = net.take_events(0);
        assert!(events.contains(&Event::Refused { room: "staff".into() }), "{events:?}");
        assert!(!net.ends[0].client.rooms().any(|room| room == "staff"));

        net.world.server().kick(net.id(0), "lobby");
        net.settle();
        assert!(net.take_events(0).contains(&Event::Removed { room: "lobby".into() }));
        assert!(net.members(0, "lobby").is_empty());
        // A client that was removed may join again. A client that the server has moved need not
        // join.
        net.join(0, "lobby");
        net.world.server().join(net.id(1), "moved");
        net.settle();
        assert!(net.take_events(0).contains(&Event::Joined { room: "lobby".into() }));
        assert!(net.take_events(1).contains(&Event::Joined { room: "moved".into() }));
        assert_eq!(net.members(1, "moved"), [net.id(1)]);
    });
}

#[test]
fn last_of_rapid_joins_and_leaves_wins() {
    both(|seed, options| {
        let mut net = Net::new(seed, Server::builder());
        two(&mut net, &options);
        for round in 0..40 {
            match net.rng.below(3) {
                0 => net.join(0, "lobby"),
                1 => net.leave(0, "lobby"),
                // The removal is in flight while the client's packets are in flight in the other
                // direction.
                _ => _ = net.world.server().kick(net.id(0), "lobby"),
            }
            if net.rng.chance(30) {
                net.settle();
            } else if net.rng.chance(50) {
                net.world.settle();
            }
            let wants = round % 2 == 0;
            if round % 10 > 7 {
                if wants {
                    net.join(0, "lobby")
                } else {
                    net.leave(0, "lobby")
                }
                net.settle();
                net.advance(MINUTE / 60);
                let is_in = net.world.server().members("lobby").contains(&net.id(0));
                let thinks = net.ends[0].client.is_joined("lobby");
                assert_eq!(thinks, is_in, "seed {seed}, round {round}");
                // If a removal was in flight when the client joined, it may take effect after the
                // join.
                assert!(is_in <= wants, "seed {seed}, round {round}");
            }
        }
        // Without further removals, each join and each leave must take effect.
        for wants in [true, false, true] {
            net.leave(0, "lobby");
            net.join(0, "lobby");
            net.leave(0, "lobby");
            if wants {
                net.join(0, "lobby");
            }
            net.settle();
            assert_eq!(net.world.server().members("lobby").contains(&net.id(0)), wants);
            let refused = Event::Refused { room: "lobby".into() };
            let events = net.take_events(0);
            assert!(!events.contains(&refused), "seed {seed}: {events:?}");
        }
    });
}

#[test]
fn kick_crossing_leave_is_not_rejected_join() {
    both(|seed, options| {
        let mut net = Net::new(seed, Server::builder());
        two(&mut net, &options);
        net.world.server().kick(net.id(0), "lobby");
        net.leave(0, "lobby");
        net.join(0, "lobby");
        net.settle();
        assert!(net.ends[0].client.is_joined("lobby"));
        let events = net.take_events(0);
        assert!(!events.contains(&Event::Refused { room: "lobby".into() }), "{events:?}");
    });
}

#[test]
fn root_can_be_left_for_good() {
    both(|seed, options| {
        let mut net = Net::new(seed, Server::builder());
        two(&mut net, &options);
        net.leave(0, "root");
        net.settle();
        assert_eq!(net.take_events(0), [Event::Left { room: "root".into() }]);
        assert!(!net.world.server().members("root").contains(&net.id(0)));
        // After a reconnection, the client must not be a member again.
        net.world.server().disconnect(net.id(0), 1012, "");
        net.settle();
        net.advance(MINUTE / 30);
        assert_eq!(net.state(0), State::Open);
        assert!(!net.world.server().members("root").contains(&net.id(0)));
        assert!(net.world.server().members("lobby").contains(&net.id(0)));
        assert!(!net.take_events(0).contains(&Event::Joined { room: "root".into() }));
    });
}

#[test]
fn presence_count_room_has_count() {
    both(|seed, options| {
        let builder = Server::builder().presence("lobby", Presence::Count);
        let mut net = Net::new(seed, builder);
        two(&mut net, &options);
        let members = net.ends[1].client.members("lobby").unwrap();
        assert_eq!((members.count(), members.ids().count()), (2, 0));
    });
}

#[test]
fn unsendable_messages_are_rejected_immediately() {
    let mut net = Net::new(1, Server::builder().max_message(1000));
    let mut options = Options::default();
    (options.queue_messages, options.queue_bytes) = (3, 2000);
    let ann = net.add(options);
    let now = net.world.now();
    net.join(ann, "lobby");
    let client = &mut net.ends[ann].client;
    for event in ["join", "join_ack", "new_member", "reopen", "roomer:ack", "roomer:any"] {
        assert_eq!(client.send(now, "lobby", event, None, b""), Err(SendError::Reserved));
    }
    assert_eq!(client.send(now, "lobby", "chat", Some(""), b""), Err(SendError::Reserved));
    assert_eq!(client.send(now, "other", "chat", None, b""), Err(SendError::NotJoined));
    assert_eq!(client.send(now, "lobby", "chat", None, &[0; 1900]), Ok(SendStatus::Queued));
    assert_eq!(client.send(now, "lobby", "chat", None, &[0; 200]), Err(SendError::Full));
    assert_eq!(client.send(now, "lobby", "chat", None, b""), Ok(SendStatus::Queued));
    assert_eq!(client.send(now, "lobby", "chat", None, b""), Ok(SendStatus::Queued));
    assert_eq!(client.send(now, "lobby", "chat", None, b""), Err(SendError::Full));
    client.leave(now, "lobby");
    net.settle();
    assert_eq!(net.lost(ann).len(), 3);
    // The client knows the limit, which the server has announced.
    net.join(ann, "lobby");
    net.settle();
    let client = &mut net.ends[ann].client;
    assert_eq!(client.send(now, "lobby", "chat", None, &[0; 1000]), Err(SendError::TooLarge));
    client.close(now);
    assert_eq!(client.send(now, "lobby", "chat", None, b""), Err(SendError::Closed));
    assert_eq!(client.join(now, "lobby"), Err(JoinError::Closed));
}

/// If an empty queue enforced its limit, a longer message could never be sent.
#[test]
fn empty_queue_accepts_one_oversized_message() {
    both(|seed, options| {
        let mut net = Net::new(seed, Server::builder().max_message(4000));
        let mut small = options.clone();
        small.queue_bytes = 1000;
        let ann = net.add(small);
        let bob = net.add(options);
        net.join(bob, "lobby");
        net.settle();
        let large = "x".repeat(2000);
        let send = |net: &mut Net, text: &str| {
            let now = net.world.now();
            net.ends[ann].client.send(now, "lobby", "chat", None, text.as_bytes())
        };
        net.join(ann, "lobby");
        assert_eq!(send(&mut net, &large), Ok(SendStatus::Queued));
        assert_eq!(send(&mut net, "small"), Err(SendError::Full));
        net.advance(Duration::from_secs(10));
        let sent = [&large, &large, "small"].map(|text| send(&mut net, text));
        assert_eq!(sent, [Ok(SendStatus::Sent), Ok(SendStatus::Queued), Err(SendError::Full)]);
        net.advance(Duration::from_secs(10));
        assert_eq!(net.texts(bob, "lobby"), [&*large, &*large, &*large]);
        assert!(net.lost(ann).is_empty());
    });
}

#[test]
fn queued_message_above_server_limit_is_reported() {
    let mut net = Net::new(1, Server::builder().max_message(1000));
    let ann = net.add(Options::default());
    net.join(ann, "lobby");
    assert_eq!(net.send(ann, "lobby", &"x".repeat(1000)), SendStatus::Queued);
    assert_eq!(net.send(ann, "lobby", "small"), SendStatus::Queued);
    net.settle();
    let lost = net.ends[ann].events.iter().filter_map(|event| match event {
        Event::Lost(lost) => Some((lost.packet.payload.len(), lost.reason)),
        _ => None,
    });
    assert_eq!(lost.collect::<Vec<_>>(), [(1000, LostReason::TooLarge)]);
    assert_eq!(net.ends[ann].client.state(), State::Open);
}

#[test]
fn queued_request_above_server_limit_fails() {
    let mut net = Net::new(1, Server::builder().max_message(1000));
    let ann = net.add(Options::default());
    net.join(ann, "lobby");
    let request = |net: &mut Net| {
        let now = net.world.now();
        let client = &mut net.ends[ann].client;
        client.request(now, "lobby", "sum", None, &[b'1'; 1000], Duration::from_secs(5))
    };
    let queued = request(&mut net).unwrap();
    net.settle();
    let too_large = RequestError::NotSent(SendError::TooLarge);
    let answers = net.ends[ann].events.iter().filter_map(|event| match event {
        Event::Answered { request, result } => Some((*request, result.clone())),
        _ => None,
    });
    assert_eq!(answers.collect::<Vec<_>>(), [(queued, Err(too_large))]);
    assert_eq!(request(&mut net), Err(SendError::TooLarge));
}

#[test]
fn messages_of_closed_room_are_reported_once() {
    both(|seed, options| {
        let mut net = Net::new(seed, Server::builder());
        two(&mut net, &options);
        net.world.server().kick(net.id(0), "lobby");
        net.send(0, "lobby", "uncertain");
        net.settle();
        net.cut(0);
        net.settle();
        net.advance(MINUTE);
        let lost = net.ends[0].events.iter().filter_map(|event| match event {
            Event::Lost(lost) => Some(lost.reason),
            _ => None,
        });
        let lost: Vec<_> = lost.collect();
        assert_eq!(lost, [LostReason::Unconfirmed], "seed {seed}");
    });
}

#[test]
fn login_is_renewed() {
    let renewed = Arc::new(AtomicBool::new(false));
    let seen = renewed.clone();
    let minute = MINUTE;
    let builder = Server::builder()
        .authorize(move |_| Ok(roomer_engine::Claims::new().user("ann").valid_for(2 * minute)))
        .renew_login(move |_, token| {
            assert_eq!(token, "fresh");
            seen.store(true, Ordering::SeqCst);
            Ok(roomer_engine::Claims::new().user("ann").valid_for(60 * minute))
        });
    let mut net = Net::new(1, builder);
    let ann = net.add(Options::default());
    net.advance(MINUTE + MINUTE / 4);
    let is_due = |event: &Event| matches!(event, Event::Expiring { left } if *left <= MINUTE);
    assert!(net.take_events(ann).iter().any(is_due));
    let now = net.world.now();
    net.ends[ann].client.renew(now, "fresh").unwrap();
    net.advance(5 * MINUTE);
    assert!(renewed.load(Ordering::SeqCst));
    assert_eq!((net.state(ann), net.ends[ann].attempts), (State::Open, 1));
}
