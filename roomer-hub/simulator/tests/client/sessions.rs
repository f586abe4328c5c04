//! Tests clients that lose their connection, with and without a session.

use std::time::Duration;

use roomer_engine::Server;
use roomer_proto::client::{Event, Failure, Options, SendStatus, State};
use roomer_simulator::client::net::*;

const SECOND: Duration = Duration::from_secs(1);

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
fn session_resumes_without_loss_or_notice() {
    for seed in 0..20 {
        let mut net = Net::new(seed, Server::builder());
        two(&mut net, &Options::default());
        let id = net.id(0);
        net.send(0, "lobby", "0");
        net.send(1, "lobby", "0");
        net.cut(0);
        net.send(0, "lobby", "1");
        net.send(1, "lobby", "1");
        net.join(0, "other");
        net.advance(SECOND);
        net.send(0, "lobby", "2");
        net.settle();
        let events = net.take_events(0);
        let expected = [
            Event::Suspended(Failure::Broken),
            Event::Opened { id, is_resumed: true },
            Event::Joined { room: "other".into() },
        ];
        assert_eq!(events, expected);
        assert_eq!(net.texts(1, "lobby"), numbers(0..3));
        assert_eq!(net.take_events(1), [], "no member has left");
        let stats = net.world.server().stats();
        assert_eq!((stats.sessions.resumed, stats.lost), (1, 0));
    }
}

#[test]
fn messages_missed_while_away_are_replayed() {
    let mut net = Net::new(1, Server::builder());
    two(&mut net, &Options::default());
    net.drop_silently(0);
    for number in 0..200 {
        net.send(1, "lobby", &number.to_string());
        net.advance(SECOND / 10);
    }
    // The client notices the loss because the server's pings do not arrive.
    net.advance(30 * SECOND);
    assert_eq!(net.texts(0, "lobby"), numbers(0..200));
    assert_eq!(net.world.server().stats().sessions.resumed, 1);
}

#[test]
fn lost_session_rejoins_rooms_and_reports_losses() {
    for (seed, options) in (0..10).flat_map(|seed| [(seed, Options::default()), (seed, plain())]) {
        // Extended clients also reconnect when their sessions have expired.
        let mut net = Net::new(seed, Server::builder().resume_window(SECOND));
        two(&mut net, &options);
        let before = net.id(0);
        net.is_up = false;
        net.send(0, "lobby", "uncertain");
        net.cut(0);
        assert_eq!(net.send(0, "lobby", "later"), SendStatus::Queued);
        net.advance(20 * SECOND);
        net.is_up = true;
        net.advance(MINUTE);
        let events = net.take_events(0);
        assert!(events.contains(&Event::Opened { id: net.id(0), is_resumed: false }), "{events:?}");
        assert_ne!(net.id(0), before);
        let rejoined = Event::Rejoined { room: "lobby".into(), previous_id: before };
        assert!(events.contains(&rejoined), "{events:?}");
        let received = net.texts(1, "lobby");
        let is_lost = events.iter().any(|event| matches!(event, Event::Lost(_)));
        let expected = if received.len() == 2 { vec!["uncertain", "later"] } else { vec!["later"] };
        assert_eq!(received, expected);
        assert!(is_lost || received.len() == 2, "seed {seed}");
        assert_eq!(net.members(0, "lobby"), net.members(1, "lobby"));
    }
}

#[test]
fn member_changes_while_away_are_events() {
    let mut net = Net::new(1, Server::builder());
    two(&mut net, &plain());
    let (gone, before) = (net.id(1), net.id(0));
    net.is_up = false;
    net.cut(0);
    net.settle();
    net.leave(1, "lobby");
    net.settle();
    net.is_up = true;
    let carl = net.add(plain());
    net.join(carl, "lobby");
    net.advance(20 * SECOND);
    let events = net.take_events(0);
    let room = "lobby";
    let of_lobby = |event: &&Event| match event {
        Event::MemberJoined { room, .. } | Event::MemberLeft { room, .. } => room == "lobby",
        Event::Rejoined { room, .. } => room == "lobby",
        _ => false,
    };
    let seen: Vec<_> = events.iter().filter(of_lobby).cloned().collect();
    assert_eq!(
        seen,
        [
            Event::MemberLeft { room: room.into(), id: gone },
            Event::MemberJoined { room: room.into(), id: net.id(carl) },
            Event::Rejoined { room: room.into(), previous_id: before },
        ]
    );
}

#[test]
fn client_falls_back_to_plain_protocol() {
    for builder in [Server::builder().extended(false), Server::builder().compat()] {
        let mut net = Net::new(1, builder);
        two(&mut net, &Options::default());
        assert!(!net.ends[0].client.is_extended());
        net.send(0, "lobby", "hello");
        net.settle();
        assert_eq!(net.texts(1, "lobby"), ["hello"]);
        net.cut(0);
        net.advance(SECOND);
        assert!(net.take_events(0).iter().any(|event| matches!(event, Event::Rejoined { .. })));
    }
}

#[test]
fn messages_wait_for_other_disconnected_members() {
    let mut net = Net::new(1, Server::builder());
    two(&mut net, &plain());
    net.is_up = false;
    net.cut(0);
    net.cut(1);
    net.send(0, "lobby", "is Bob here");
    net.advance(5 * SECOND);
    net.is_up = true;
    // Ann reconnects first. Her message must wait for Bob.
    while net.state(0) != State::Open {
        net.advance(SECOND / 10);
    }
    net.advance(30 * SECOND);
    assert_eq!(net.texts(1, "lobby"), ["is Bob here"]);

    // Messages do not wait for other members without limit.
    net.is_up = false;
    net.cut(0);
    net.cut(1);
    net.send(0, "lobby", "hello");
    net.advance(SECOND);
    net.ends[1].client = roomer_proto::client::Client::new(plain());
    let now = net.world.now();
    net.ends[1].client.close(now);
    net.is_up = true;
    net.advance(MINUTE);
    let now = net.world.now();
    assert_eq!(net.ends[0].client.send(now, "lobby", "chat", None, b""), Ok(SendStatus::Sent));
}

#[test]
fn packets_are_acknowledged_in_both_directions() {
    let mut net = Net::new(1, Server::builder().resume_buffer(100_000));
    two(&mut net, &Options::default());
    // Send far more than either end keeps without an acknowledgement.
    for number in 0..4000 {
        net.send(0, "lobby", &format!("{number:01000}"));
        net.settle();
    }
    assert_eq!(net.texts(1, "lobby").len(), 4000);
    net.cut(0);
    net.cut(1);
    net.advance(SECOND);
    let stats = net.world.server().stats();
    assert_eq!((stats.sessions.resumed, stats.lost), (2, 0));
    assert!(net.lost(0).is_empty());
}
