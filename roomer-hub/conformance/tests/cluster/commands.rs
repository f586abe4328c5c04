//! Tests an application's commands for connections to another node.

use std::sync::{Arc, Mutex};

use roomer_conformance::programs::until;
use roomer_engine::cluster::PeerState;
use roomer_engine::{ConnId, PacketRef, WarningReason};

use super::nodes::{Nodes, id};
use super::returns::with_users;

pub(crate) fn application_commands_remote_connections(nodes: &mut Nodes) {
    nodes.start(2);
    let [mut a, mut b] = nodes.clients([0, 1]);
    let server = nodes.server(0).clone();
    assert!(server.send(id(&b), "hello", b"you"));
    let own = b.id.clone();
    b.expect("root", "hello", &own, "", b"you");

    assert!(server.join(id(&b), "lobby"));
    let ack = b.expect_packet();
    assert_eq!(b.snapshot("lobby", ack), [own]);
    nodes.shows(&b, "lobby");
    nodes.join("lobby", [&mut a]);
    b.expect_new_member("lobby", &a.id);

    server.broadcast("lobby", "news", b"one");
    a.expect("lobby", "news", "", "", b"one");
    b.expect("lobby", "news", "", "", b"one");
    server.broadcast_except(id(&b), "lobby", "news", b"two");
    a.expect("lobby", "news", "", "", b"two");
    server.broadcast_except(id(&a), "lobby", "news", b"three");
    b.expect("lobby", "news", "", "", b"three");

    assert!(server.kick(id(&b), "lobby"));
    b.expect_left("lobby");
    a.expect_member_left("lobby", &b.id);
    // On this node, the room has no members.
    b.join("far");
    nodes.shows(&b, "far");
    server.broadcast("far", "news", b"four");
    b.expect("far", "news", "", "", b"four");

    assert!(server.disconnect(id(&b), 4321, "enough"));
    assert_eq!(b.expect_close(4321), "enough");
    a.expect_member_left("root", &b.id);
}

pub(crate) fn kick_cancels_pending_joins_on_all_nodes(nodes: &mut Nodes) {
    nodes.start_with(2, |builder| {
        with_users(builder).may_join_async(async |_, _| std::future::pending().await)
    });
    let home = nodes.server(1).clone();
    for (node, by_user) in [(0, true), (0, false), (1, true)] {
        let server = nodes.server(node).clone();
        let (mut client, _) = nodes.session(1, "&user=ann");
        client.send_to_room("staff", "join", b"");
        let is_joining = || home.is_joining(&client.id, "staff");
        until("its rule is not called", || is_joining().then_some(()));
        match by_user {
            // The result is the number of connections on the node itself.
            true => assert_eq!(server.user("ann").kick("staff"), node),
            false => assert!(server.kick(&client.id, "staff")),
        }
        until("its join is not cancelled", || (!is_joining()).then_some(()));
        let answer = loop {
            match client.expect_packet() {
                packet if packet.event == "roomer:members" => {}
                packet => break packet,
            }
        };
        assert_eq!((&*answer.room, &*answer.event), ("staff", "leave_ack"));
    }
}

pub(crate) fn unknown_id_is_reported(nodes: &mut Nodes) {
    nodes.start(2);
    let b = nodes.client(1);
    let server = nodes.server(0);
    let stranger = ConnId::from_random_bytes([7; 16]);
    assert!(!server.send(stranger, "hello", b""));
    assert!(!server.kick(stranger, "root"));
    assert!(!server.join(stranger, "lobby"));
    assert!(!server.move_to(stranger, "root", "lobby"));
    assert!(!server.disconnect(stranger, 4000, ""));
    assert!(server.conn(id(&b)).is_none(), "its claims are at its own node");
    assert!(nodes.server(1).conn(id(&b)).is_some());
    // The name of the other node arrives with that node's first heartbeat. The heartbeat may arrive
    // after the node's members.
    let peer = until("no beat comes", || {
        let mut peers = server.cluster()?.peers;
        assert_eq!(peers.len(), 1);
        peers.pop().filter(|peer| !peer.name.is_empty())
    });
    assert_eq!((&*peer.name, peer.state), ("node 1", PeerState::Live));
}

pub(crate) fn health_waits_for_other_nodes(nodes: &mut Nodes) {
    nodes.start(2);
    for index in 0..2 {
        let stats = nodes.server(index).stats().cluster.unwrap();
        assert!(stats.link_up);
        assert_eq!((stats.peers["live"], stats.peers["dead"]), (1, 0));
        assert!(stats.frames_in > 0 && stats.frames_out > 0 && stats.bytes_in > 0);
        assert_eq!((stats.resets.len(), stats.refused.len()), (0, 0));
        until("never ready", || nodes.server(index).is_ready().then_some(()));
        let text = nodes.server(index).stats().to_prometheus();
        assert!(text.contains("\nroomer_cluster_link_up 1\n"), "{text}");
        assert!(text.contains("\nroomer_cluster_peers{state=\"live\"} 1\n"), "{text}");
    }
}

pub(crate) fn oversized_application_message_is_rejected_with_warning(nodes: &mut Nodes) {
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let kept = warnings.clone();
    nodes.start_with(2, move |builder| {
        let kept = kept.clone();
        builder.max_message(1000).on_warning(move |warning| {
            if let WarningReason::MessageTooLarge { .. } = warning.reason {
                kept.lock().unwrap().push(warning.reason.clone());
            }
        })
    });
    let [mut a, mut b] = nodes.clients([0, 1]);
    let server = nodes.server(0).clone();
    let empty = PacketRef { room: "root", event: "news", ..PacketRef::default() };
    let payload = vec![b'x'; 1000 - empty.encoded_len()];
    server.broadcast("root", "news", &payload);
    for client in [&mut a, &mut b] {
        client.expect("root", "news", "", "", &payload);
    }

    let payload = vec![b'x'; payload.len() + 1];
    server.broadcast("root", "news", &payload);
    server.broadcast_except(id(&b), "root", "news", &payload);
    server.conn(id(&a)).unwrap().send_to_room("root", "news", &payload);
    assert!(!server.send(id(&b), "news", &payload));
    let taken = std::mem::take(&mut *warnings.lock().unwrap());
    // The same kind of warning is reported at most once in ten seconds.
    let reason = WarningReason::MessageTooLarge { event: "news".into(), bytes: 1001, limit: 1000 };
    assert_eq!(taken, [reason]);
    // Messages that stay on this node are not subject to the limit.
    assert!(server.send(id(&a), "news", &payload));
    let own = a.id.clone();
    a.expect("root", "news", &own, "", &payload);

    server.broadcast("root", "news", b"behind them");
    for client in [&mut a, &mut b] {
        client.expect("root", "news", "", "", b"behind them");
    }
    let stats = nodes.server(1).stats().cluster.unwrap();
    assert_eq!((stats.resets.len(), stats.refused.len()), (0, 0));
}
