//! Tests of sessions whose sockets are lost at random, in every way and at every moment.

use std::time::Duration;

use super::sessions::numbers;
use super::*;
use roomer_engine::{Claims, Server};

/// A value that a handler stores with a connection.
struct Visits(u32);

#[test]
fn resume_keeps_data_and_applies_new_claims() {
    let builder = Server::builder()
        .authorize(|request| {
            let role = request.query("role").unwrap_or_default().into_owned();
            Ok(Claims::from([("role".to_owned(), role)]).user("ann"))
        })
        .on("visit", |conn, message| {
            let visits = conn.get::<Visits>().map_or(0, |visits| visits.0) + 1;
            conn.set(Visits(visits));
            let role = conn.claims().and_then(|claims| claims.get("role"));
            conn.reply(message, "visited", format!("{visits} as {}", role.unwrap_or_default()));
            Ok(())
        });
    let mut world = World::new(1, builder);
    let ann = world.connect_extended(Handshake::new().query("role", "guest"));
    world.settle();
    ann.send("root", "visit", "");
    world.settle();
    assert_eq!(ann.texts("root", "visited"), ["1 as guest"]);
    ann.reset();
    world.settle();
    let host = world.reconnect_with(&ann, Handshake::new().query("role", "host"));
    world.settle();
    assert!(host.is_resumed());
    host.send("root", "visit", "");
    world.settle();
    assert_eq!(host.texts("root", "visited"), ["2 as host"]);
    // The user still has exactly one connection.
    assert_eq!(world.server().user("ann").count(), 1);
}

#[test]
fn only_one_of_two_resumes_gets_session() {
    for seed in 0..50 {
        let mut world = World::new(seed, Server::builder());
        let ann = world.connect_extended(Handshake::new());
        world.settle();
        ann.unplug();
        let attempts = [world.reconnect(&ann), world.reconnect(&ann)];
        world.settle();
        world.advance(Duration::from_secs(6));
        let resumed = attempts.iter().filter(|client| client.is_resumed() && client.is_open());
        assert_eq!(resumed.count(), 1, "seed {seed}");
        let stats = world.server().stats();
        assert_eq!((stats.opened, stats.connections, stats.sockets), (1, 1, 1), "seed {seed}");
    }
}

#[test]
fn session_resumes_on_full_server_with_old_socket_open() {
    let authorize = |_: &roomer_engine::HandshakeRequest| Ok(Claims::default());
    for builder in [Server::builder(), Server::builder().authorize(authorize)] {
        let mut world = World::new(1, builder.max_connections(2));
        let ann = world.connect_extended(Handshake::new());
        let bob = world.connect_extended(Handshake::new());
        world.settle();
        ann.unplug();
        let again = world.reconnect(&ann);
        let stranger = world.connect_extended(Handshake::new());
        world.settle();
        assert!(again.is_resumed());
        assert_eq!(stranger.status(), Some(503));
        // A detached session does not count towards the limit on connections.
        bob.reset();
        world.settle();
        let carol = world.connect_extended(Handshake::new());
        world.settle();
        let late = world.reconnect(&bob);
        world.settle();
        assert_eq!((carol.status(), late.status()), (Some(101), Some(503)));
        let stats = world.server().stats();
        assert_eq!((stats.connections, stats.sessions.detached), (3, 1));
        // The session still waits for its client.
        carol.close(1000, "");
        world.settle();
        let late = world.reconnect(&bob);
        world.settle();
        assert!(late.is_resumed());
    }
}

#[test]
fn failed_resume_does_not_bypass_limit() {
    let builder = Server::builder()
        .authorize(|request| Ok(Claims::default().user(request.query("user").unwrap_or_default())));
    let mut world = World::new(1, builder.max_connections(1));
    let as_user = |user| Handshake::new().query("user", user);
    let ann = world.connect_extended(as_user("ann"));
    world.settle();
    let token = ann.session_token();
    // Neither another user's login nor a request without a count resumes the session.
    let query = |received| as_user("ann").query("session", &token).query("received", received);
    let other = world.reconnect_with(&ann, as_user("bob"));
    let countless = world.connect_extended(query("x"));
    world.settle();
    assert_eq!((other.status(), countless.status()), (Some(503), Some(503)));
    assert!(ann.is_open());
    assert_eq!(world.server().stats().connections, 1);
}

#[test]
fn silent_and_blocked_sockets_are_lost() {
    let mut world = World::new(1, Server::builder());
    let bob = world.connect();
    let (silent, stuck) =
        (world.connect_extended(Handshake::new()), world.connect_extended(Handshake::new()));
    world.settle();
    stuck.stall(0);
    bob.send("root", "chat", "0");
    world.settle();
    world.advance(Duration::from_secs(11));
    assert_eq!(world.server().stats().sessions.detached, 1, "the write timeout has passed");
    let stuck = world.reconnect(&stuck);
    world.settle();
    assert!(stuck.is_resumed());
    assert_eq!(stuck.texts("root", "chat"), ["0"]);
    // The client's network accepts every byte from the server, and delivers none to it.
    silent.stall(usize::MAX);
    world.advance(Duration::from_secs(70));
    assert_eq!(world.server().stats().sessions.detached, 1, "the pong timeout has passed");
    let silent = world.reconnect(&silent);
    world.settle();
    assert!(silent.is_resumed());
    assert_eq!(bob.members("root").map(|members| members.len()), Some(3));
    assert!(world.server().stats().closes.is_empty());
}

/// Two extended clients and a plain one send numbers to one another while sockets are lost in every
/// way and at every moment. Each must receive every number from the others exactly once and in
/// order.
#[test]
fn random_socket_losses_neither_lose_nor_duplicate() {
    for seed in 0..300 {
        let faults = [Faults::none(), Faults::gentle()][seed as usize % 2];
        let mut world = World::with_faults(seed, faults, Server::builder());
        let plain = world.connect();
        plain.join("lobby");
        let mut clients: Vec<(Client, Vec<String>)> = Vec::new();
        for _ in 0..2 {
            let client = world.connect_extended(Handshake::new());
            client.join("lobby");
            clients.push((client, Vec::new()));
        }
        world.settle();
        let ids: Vec<_> = clients.iter().map(|(client, _)| client.id()).collect();
        let mut sent = [0_u32; 3];
        for _ in 0..60 {
            let from = world.rng().below(3);
            match (world.rng().below(6), from) {
                (0..=2, 2) => {
                    plain.send("lobby", "from2", sent[2].to_string());
                    sent[2] += 1;
                }
                (0..=2, from) => {
                    let event = format!("from{from}");
                    clients[from].0.send("lobby", &event, sent[from].to_string());
                    sent[from] += 1;
                }
                (3, 0 | 1) => {
                    // The client abandons one connection attempt before it starts another.
                    let is_connected = clients[from].0.is_connected();
                    match world.rng().below(4) {
                        0 => clients[from].0.unplug(),
                        1 if is_connected => clients[from].0.half_close(),
                        // The client reconnects while the old socket still works.
                        2 if is_connected => {}
                        _ => clients[from].0.reset(),
                    }
                    (0..world.rng().below(8)).for_each(|_| _ = world.step());
                    let next = world.reconnect(&clients[from].0);
                    // The client has acknowledged everything it received, and no longer reads from
                    // the old socket.
                    clients[from].0.stall(usize::MAX);
                    let (old, received) = &mut clients[from];
                    received.extend(log(old));
                    *old = next;
                }
                (4, _) => (0..world.rng().below(20)).for_each(|_| _ = world.step()),
                _ => world.advance(Duration::from_millis(100)),
            }
        }
        world.heal();
        world.advance(Duration::from_secs(6));
        for (index, (client, received)) in clients.iter_mut().enumerate() {
            received.extend(log(client));
            assert!(client.is_open(), "seed {seed}");
            assert_eq!(client.id(), ids[index], "seed {seed}");
            for from in (0..3).filter(|from| *from != index) {
                let prefix = format!("from{from}:");
                let got: Vec<_> =
                    received.iter().filter_map(|line| line.strip_prefix(&prefix)).collect();
                assert_eq!(got, numbers(0..sent[from]), "seed {seed}, {from} to {index}");
            }
            assert_eq!(client.members("lobby").map(|members| members.len()), Some(3));
            assert_eq!(client.unacknowledged(), 0, "seed {seed}");
        }
        for (from, count) in sent.iter().enumerate().take(2) {
            assert_eq!(plain.texts("lobby", &format!("from{from}")), numbers(0..*count));
        }
        assert_eq!(world.server().stats().connections, 3, "seed {seed}");
        assert_eq!(world.server().stats().opened, 3, "seed {seed}");
    }
}

fn log(client: &Client) -> Vec<String> {
    let line = |packet: &roomer_proto::Packet| {
        format!("{}:{}", packet.event, String::from_utf8_lossy(&packet.payload))
    };
    client.messages("lobby").iter().map(line).collect()
}

#[test]
fn late_request_does_not_end_session() {
    let mut world = World::with_faults(1, Faults::none(), Server::builder());
    let (ann, bob) = (world.connect_extended(Handshake::new()), world.connect());
    world.settle();
    ann.unplug();
    let second = world.reconnect(&ann);
    world.settle();
    (0..3).for_each(|_| bob.send("root", "chat", "hello"));
    world.settle();
    assert_eq!(second.texts("root", "chat").len(), 3);
    // The third socket presents the token that the second one received.
    second.unplug();
    let third = world.reconnect(&second);
    world.settle();
    // This request presents the same token and count as the second socket's, but arrives late.
    let late = world.reconnect(&ann);
    world.settle();
    assert!(third.is_resumed() && third.is_open() && !late.is_resumed());
    bob.send("root", "chat", "you");
    world.settle();
    assert_eq!(third.texts("root", "chat").last().map(String::as_str), Some("you"));
}

#[test]
fn long_member_list_does_not_delay_acknowledgement() {
    let mut world = World::new(1, Server::builder().max_backlog(1024).max_message(1024));
    let members: Vec<_> = (0..30).map(|_| world.connect()).collect();
    let ann = world.connect_extended(Handshake::new());
    world.settle();
    members.iter().for_each(|member| member.join("lobby"));
    world.settle();
    ann.join("lobby");
    ann.request_ack();
    world.settle();
    assert_eq!(ann.members("lobby").map(|members| members.len()), Some(31));
    assert_eq!(ann.unacknowledged(), 0);
}
