//! What the application of one node does with connections of another.

use roomer_conformance::programs::until;
use roomer_engine::ConnId;
use roomer_engine::cluster::PeerState;

use super::nodes::{Nodes, id};

pub(crate) fn the_application_commands_connections_of_other_nodes(nodes: &mut Nodes) {
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
    // A room in which this node has no member.
    b.join("far");
    nodes.shows(&b, "far");
    server.broadcast("far", "news", b"four");
    b.expect("far", "news", "", "", b"four");

    assert!(server.disconnect(id(&b), 4321, "enough"));
    assert_eq!(b.expect_close(4321), "enough");
    a.expect_member_left("root", &b.id);
}

pub(crate) fn an_unknown_id_is_reported_as_such(nodes: &mut Nodes) {
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
    // Its name comes with its first beat, perhaps behind its members.
    let peer = until("no beat comes", || {
        let mut peers = server.cluster()?.peers;
        assert_eq!(peers.len(), 1);
        peers.pop().filter(|peer| !peer.name.is_empty())
    });
    assert_eq!((&*peer.name, peer.state), ("node 1", PeerState::Live));
}

pub(crate) fn health_waits_for_the_other_nodes(nodes: &mut Nodes) {
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
