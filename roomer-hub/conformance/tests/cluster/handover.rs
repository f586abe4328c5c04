//! Tests sessions that continue on a socket to another node.
//!
//! That node forwards the bytes to the session's own node.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomer_conformance::client::Received;
use roomer_conformance::programs::until;
use roomer_conformance::wire;
use roomer_engine::client::{Client, Event};
use roomer_engine::cluster::Cluster;
use roomer_engine::{Builder, Claims};
use roomer_smol::client::Smol;

use super::cuts::Cuts;
use super::device::{Device, expect_end, has_forwarded, start, wait_for_heartbeats};
use super::nodes::Nodes;
use super::returns::with_users;

pub(crate) fn session_resumes_at_another_node_without_loss(nodes: &mut Nodes) {
    start(nodes, 2, with_users);
    let mut ann = Device::connect(nodes, 0, "&user=ann");
    ann.join(nodes, "lobby");
    let (mut near, mut far) = (nodes.client(0), nodes.client(1));
    near.expect_new_member("root", &far.id);
    nodes.join("lobby", [&mut near, &mut far]);
    // Skip the notices about both clients, in `root` and in the lobby.
    (0..4).for_each(|_| assert_eq!(ann.packet().event, "roomer:members"));
    let id = ann.id().to_owned();
    ann.client.send_to_room("lobby", "chat", b"before");
    for client in [&mut near, &mut far] {
        client.expect("lobby", "chat", "", &id, b"before");
    }
    ann.client.shutdown_write();
    nodes.has_detached(0, 1);
    near.send_to_room("lobby", "chat", b"one");
    far.expect("lobby", "chat", "", &near.id, b"one");
    far.send_to_room("lobby", "chat", b"two");
    near.expect("lobby", "chat", "", &far.id, b"two");

    assert_eq!(ann.returns(nodes, 1).0, 2, "its join and its message");
    ann.expect("chat", &near.id, b"one");
    ann.expect("chat", &far.id, b"two");
    assert_eq!((nodes.sessions(0).resumed, nodes.sessions(0).detached), (1, 0));
    has_forwarded(nodes, 1, 1);
    // In each direction, send a message that is larger than the window of a tunnel.
    let large = vec![b'x'; 300_000];
    ann.client.send_to_room("lobby", "chat", &large);
    for client in [&mut near, &mut far] {
        client.expect("lobby", "chat", "", &id, &large);
    }
    near.send_to_room("lobby", "chat", &large);
    ann.expect("chat", &near.id, &large);
    far.expect("lobby", "chat", "", &near.id, &large);
    for at in 0..100 {
        let text = at.to_string();
        ann.client.send_to_room("lobby", "count", text.as_bytes());
        far.expect("lobby", "count", "", &id, text.as_bytes());
        near.expect("lobby", "count", "", &id, text.as_bytes());
    }
    near.expect_nothing();
    far.expect_nothing();
    ann.client.send(&wire::close(1000, ""));
    let end = loop {
        match ann.client.receive() {
            Received::Packet(packet) => assert_eq!(packet.event, "roomer:ack"),
            end => break end,
        }
    };
    assert_eq!(end, Received::Close(Some(1000), String::new()));
    ann.client.expect_end();
    for client in [&mut near, &mut far] {
        let mut rooms = [client.expect_packet(), client.expect_packet()].map(|packet| {
            assert_eq!((&*packet.event, packet.payload), ("member_left", id.clone().into_bytes()));
            packet.room
        });
        rooms.sort();
        assert_eq!(rooms, ["lobby", "root"]);
    }
    has_forwarded(nodes, 1, 0);
    assert_eq!(nodes.server(0).stats().closed_by_peer, 1);
}

pub(crate) fn session_follows_client_through_repeated_returns(nodes: &mut Nodes) {
    start(nodes, 3, with_users);
    let mut ann = Device::connect(nodes, 0, "&user=ann");
    let mut bob = nodes.client(2);
    assert_eq!(ann.packet().event, "roomer:members");
    let id = ann.id().to_owned();
    // Each time, the previous socket still looks open.
    for (at, node) in [1, 2, 1, 1, 0, 2].into_iter().enumerate() {
        let (received, mut old) = ann.returns(nodes, node);
        assert_eq!(received, at as u64);
        expect_end(&mut old);
        let text = at.to_string();
        bob.send_to_room("root", "chat", text.as_bytes());
        ann.expect("chat", &bob.id, text.as_bytes());
        ann.client.send_to_room("root", "chat", text.as_bytes());
        bob.expect("root", "chat", "", &id, text.as_bytes());
    }
    assert_eq!(nodes.sessions(0).resumed, 6);
    has_forwarded(nodes, 1, 0);
    has_forwarded(nodes, 2, 1);
    bob.expect_nothing();
}

pub(crate) fn repeated_node_changes_neither_lose_nor_duplicate(nodes: &mut Nodes) {
    let handled = Arc::new(Mutex::new(Vec::new()));
    let count = |builder: Builder| {
        let handled = handled.clone();
        builder.on("count", move |_, message| {
            handled.lock().unwrap().push(String::from_utf8(message.payload.to_vec()).unwrap());
            Ok(())
        })
    };
    start(nodes, 2, |builder| count(with_users(builder)));
    let urls = [0, 1].map(|node| format!("ws://{}/ws?user=ann", nodes.addr(node)));
    let cuts = Cuts::default();
    let ann = cuts.client_of::<Smol>(&[&urls[0], &urls[1]], true);
    let bob = Client::<Smol>::connect(&format!("ws://{}/ws", nodes.addr(1))).unwrap();
    smol::block_on(async {
        let (anns, bobs) = (ann.join("lobby"), bob.join("lobby"));
        anns.joined().await.unwrap();
        bobs.joined().await.unwrap();
        nodes.counts(0, "lobby", 2);
        nodes.counts(1, "lobby", 2);
        let id = ann.opened().await.unwrap();
        let (mut to_ann, mut to_bob) = (anns.messages_with(1000), bobs.messages_with(1000));
        let (mut events, mut bobs_events) = (ann.events(), bob.events());
        let texts: Vec<String> = (0..300).map(|number| number.to_string()).collect();
        for (number, text) in texts.iter().enumerate() {
            anns.send("chat", text).unwrap();
            anns.send("count", text).unwrap();
            bobs.send("chat", text).unwrap();
            if number % 25 == 20 {
                // When the connection breaks, some messages are in flight.
                let dials = cuts.dials();
                cuts.cut();
                until("the client does not connect again", || (cuts.dials() > dials).then_some(()));
            }
        }
        for text in &texts {
            assert_eq!(to_bob.next().await.unwrap().text().unwrap(), text);
            assert_eq!(to_ann.next().await.unwrap().text().unwrap(), text);
        }
        assert_eq!(*handled.lock().unwrap(), texts);
        assert_eq!(ann.opened().await, Ok(id));
        bob.close().await;
        while let Some(event) = bobs_events.next().await {
            assert!(!matches!(event, Event::MemberLeft { .. }), "{event:?}");
        }
        ann.close().await;
        while let Some(event) = events.next().await {
            assert!(!matches!(event, Event::Lost(_) | Event::Rejoined { .. }), "{event:?}");
        }
    });
    assert!(cuts.dials() > 10);
    // A socket that the client has abandoned may still request the session with an earlier token.
    for refused in [0, 1].map(|node| nodes.sessions(node).refused) {
        assert_eq!((refused.other_user, refused.incomplete), (0, 0));
    }
}

pub(crate) fn session_has_claims_of_last_login(nodes: &mut Nodes) {
    start(nodes, 2, |builder| {
        let builder = builder.authorize(|request| {
            let role = request.query("role").unwrap_or_default().into_owned();
            let mut claims = Claims::new().user("ann").with(Role(role.clone()));
            claims.insert("role", &role);
            Ok(if role == "guest" { claims.valid_for(Duration::from_secs(8)) } else { claims })
        });
        builder.on("who", |conn, _| {
            let role = &conn.claims().unwrap()["role"];
            let Role(first) = conn.extension::<Role>().unwrap();
            conn.send("you", format!("{role} {first} {}", conn.peer().is_some()));
            Ok(())
        })
    });
    let mut ann = Device::connect(nodes, 0, "&role=admin");
    ann.client.shutdown_write();
    nodes.has_detached(0, 1);
    ann.query = "&role=guest";
    ann.returns(nodes, 1);
    ann.client.send_to_room("root", "who", b"");
    ann.expect("you", "", b"guest admin true");
    // The handover includes the time until which the login is valid.
    let end = loop {
        match ann.client.receive() {
            Received::Packet(_) => {}
            end => break end,
        }
    };
    assert_eq!(end, Received::Close(Some(1008), "login expired".into()));
}

/// A value of a type of the application. It stays on the node of the session.
#[derive(Clone)]
struct Role(String);

pub(crate) fn session_requires_its_token_and_user(nodes: &mut Nodes) {
    start(nodes, 2, with_users);
    let mut ann = Device::connect(nodes, 0, "&user=ann");
    ann.client.shutdown_write();
    nodes.has_detached(0, 1);
    let _new = ann.starts_over_with_wrong_proofs(nodes, 1);
    let refused = nodes.sessions(0).refused;
    assert_eq!((refused.unknown, refused.other_user), (1, 2));
    assert_eq!(nodes.sessions(1).refused.other_node, 3);
    assert_eq!((nodes.sessions(0).detached, nodes.sessions(1).forwarded), (1, 0));
    ann.returns(nodes, 1);
    // The token was valid before.
    let other = ann.token.clone();
    (0..3).for_each(|_| assert_eq!(ann.packet().event, "roomer:members"));
    ann.client.send_to_room("lobby", "join", b"");
    assert_eq!(ann.packet().event, "join_ack");
    assert_ne!(other, "");
}

pub(crate) fn stopping_node_closes_only_own_sessions(nodes: &mut Nodes) {
    start(nodes, 3, with_users);
    let mut ann = Device::connect(nodes, 0, "&user=ann");
    let mut bob = Device::connect(nodes, 2, "&user=bob");
    assert_eq!(ann.packet().event, "roomer:members");
    for device in [&mut ann, &mut bob] {
        device.client.shutdown_write();
    }
    nodes.has_detached(0, 1);
    nodes.has_detached(2, 1);
    ann.returns(nodes, 1);
    bob.returns(nodes, 1);
    // When its own node stops, the session is closed in the same way as one whose socket is on that
    // node.
    nodes.stop(0);
    let end = loop {
        match ann.client.receive() {
            Received::Packet(_) => {}
            end => break end,
        }
    };
    assert!(
        matches!(&end, Received::Close(Some(1012), why) if why.starts_with("retry=")),
        "{end:?}"
    );
    has_forwarded(nodes, 1, 1);
    // When the node of the socket stops, the socket is dropped. The client then reaches its session
    // through another node.
    assert_eq!(bob.packet().event, "roomer:members");
    nodes.stop(1);
    expect_end(&mut bob.client);
    bob.returns(nodes, 2);
    assert_eq!(nodes.sessions(2).resumed, 2);
}

pub(crate) fn isolated_node_loses_sessions_at_other_nodes(nodes: &mut Nodes) {
    let cluster =
        || Cluster::named("chat").beat(Duration::from_millis(200), Duration::from_secs(5));
    let proxy = nodes.add_behind_proxy(with_users, cluster());
    let address = nodes.broker.address("");
    nodes.add_with(&with_users, cluster(), &address);
    nodes.formed();
    wait_for_heartbeats(nodes);
    let mut ann = Device::connect(nodes, 0, "&user=ann");
    ann.client.shutdown_write();
    nodes.has_detached(0, 1);
    ann.returns(nodes, 1);
    ann.client.send_to_room("lobby", "join", b"");
    assert_eq!(ann.packet().event, "join_ack");
    drop(proxy);
    expect_end(&mut ann.client);
    let _again = {
        let Device { token, received, .. } = &ann;
        let query = format!("&user=ann&session={token}&received={received}");
        let (client, hello) = nodes.greeted(1, &query);
        assert_eq!(hello["resumed"], false);
        client
    };
    has_forwarded(nodes, 1, 0);
    // The session is still on its own node, and a client that connects there continues it.
    nodes.has_detached(0, 1);
    ann.returns(nodes, 0);
}

pub(crate) fn stalled_remote_client_loses_session_without_delaying_others(nodes: &mut Nodes) {
    start(nodes, 2, |builder| {
        let short = Duration::from_millis(500);
        with_users(builder).write_timeout(short).close_timeout(short)
    });
    let mut ann = Device::connect(nodes, 0, "&user=ann");
    ann.join(nodes, "lobby");
    let (mut near, mut far) = (nodes.client(0), nodes.client(1));
    near.expect_new_member("root", &far.id);
    nodes.join("lobby", [&mut near, &mut far]);
    let id = ann.id().to_owned();
    (0..4).for_each(|_| assert_eq!(ann.packet().event, "roomer:members"));
    ann.client.shutdown_write();
    nodes.has_detached(0, 1);
    ann.returns(nodes, 1);
    let part = vec![b'x'; 50_000];
    // After the timeout the session is detached. It then misses more packets than the node keeps
    // for it.
    let is_closed = || nodes.server(0).stats().lost == 1;
    let mut left = Vec::new();
    // Send more than the kernel buffers for the socket.
    for _ in 0..2000 {
        if is_closed() {
            break;
        }
        near.send_to_room("lobby", "chat", &part);
        loop {
            let packet = far.expect_packet();
            if packet.event == "chat" {
                break assert_eq!(
                    (packet.src, packet.payload.len()),
                    (near.id.clone(), part.len())
                );
            }
            left.push((packet.event, packet.room, packet.payload));
        }
        let peers = nodes.server(0).cluster().unwrap().peers;
        assert!(peers[0].unapplied_bytes < 3 << 20, "{peers:?}");
    }
    until("a client that does not read stays", || is_closed().then_some(()));
    while left.len() < 2 {
        let packet = far.expect_packet();
        left.push((packet.event, packet.room, packet.payload));
    }
    left.sort();
    let of = |room: &str| ("member_left".to_owned(), room.to_owned(), id.clone().into_bytes());
    assert_eq!(left, [of("lobby"), of("root")]);
    // The other node must drop the socket, although the socket has no space for the last bytes.
    has_forwarded(nodes, 1, 0);
    let statistics = nodes.server(1).cluster().unwrap().statistics;
    assert_eq!((statistics.gaps, statistics.overflows), (0, 0));
}
