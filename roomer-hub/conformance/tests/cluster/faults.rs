//! Tests failures of brokers and nodes, as clients observe them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomer_conformance::client::Client;
use roomer_conformance::programs::until;
use roomer_engine::cluster::{Cluster, PeerState};

use super::nodes::Nodes;

/// Waits until the link of a node is up, or down.
fn link(nodes: &Nodes, index: usize, is_up: bool) {
    until("the link does not change", || {
        (nodes.server(index).cluster()?.is_up == is_up).then_some(())
    });
}

pub(crate) fn broker_restart_loses_no_message(nodes: &mut Nodes) {
    nodes.start(2);
    let [mut a, mut b] = nodes.clients([0, 1]);
    nodes.join("lobby", [&mut a, &mut b]);
    let mut number = 0_u32;
    let mut say = |a: &mut Client, count: u32| {
        for _ in 0..count {
            a.send_to_room("lobby", "n", &number.to_be_bytes());
            number += 1;
        }
    };
    say(&mut a, 300);
    nodes.broker.kill();
    say(&mut a, 300);
    link(nodes, 0, false);
    link(nodes, 1, false);
    say(&mut a, 300);
    nodes.broker.restart();
    say(&mut a, 300);
    for number in 0..1200_u32 {
        b.expect("lobby", "n", "", &a.id, &number.to_be_bytes());
    }
    b.send_to_room("lobby", "chat", b"back");
    a.expect("lobby", "chat", "", &b.id, b"back");
}

pub(crate) fn node_without_broker_shows_own_members(nodes: &mut Nodes) {
    let second = Duration::from_secs(1);
    nodes.start_cluster(2, |cluster: Cluster| cluster.beat(second, 5 * second));
    let [mut a, mut b] = nodes.clients([0, 1]);
    nodes.broker.kill();
    a.expect_member_left("root", &b.id);
    b.expect_member_left("root", &a.id);
    // Memberships and messages on the same node must not be affected.
    let mut c = Client::connect(nodes.nodes[0].as_ref().unwrap().addr);
    a.expect_new_member("root", &c.id);
    assert_eq!(c.root_members.len(), 2);
    c.send_to_room("root", "chat", b"alone");
    a.expect("root", "chat", "", &c.id, b"alone");
    assert!(nodes.server(0).is_ready());

    nodes.broker.restart();
    for client in [&mut a, &mut c] {
        client.expect_new_member("root", &b.id);
    }
    let mut news = [b.expect_packet(), b.expect_packet()].map(|packet| {
        assert_eq!((&*packet.room, &*packet.event), ("root", "new_member"));
        String::from_utf8(packet.payload).unwrap()
    });
    let mut expected = [a.id.clone(), c.id.clone()];
    news.sort_unstable();
    expected.sort_unstable();
    assert_eq!(news, expected);
    b.send_to_room("root", "chat", b"together");
    a.expect("root", "chat", "", &b.id, b"together");
}

pub(crate) fn members_of_stopping_node_leave(nodes: &mut Nodes) {
    nodes.start(2);
    let [mut a, mut b] = nodes.clients([0, 1]);
    b.send_to_room("root", "chat", b"the last word");
    // Wait until the server has read the message.
    b.expect_nothing();
    nodes.stop(1);
    a.expect("root", "chat", "", &b.id, b"the last word");
    a.expect_member_left("root", &b.id);
    assert_eq!(b.expect_close(1001), "server is going away");
    until("the node is still known", || nodes.server(0).cluster()?.peers.is_empty().then_some(()));
    let gone = nodes.server(0).stats().cluster.unwrap().gone;
    assert_eq!(gone.into_iter().collect::<Vec<_>>(), [("bye", 1)]);
}

pub(crate) fn wrong_broker_address_only_warns(nodes: &mut Nodes) {
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let kept = warnings.clone();
    let options = |builder: roomer_engine::Builder| {
        let kept = kept.clone();
        builder.on_warning(move |warning| kept.lock().unwrap().push(warning.to_string()))
    };
    let index = nodes.add_at(&options, "chat", "nats://127.0.0.1:1");
    let mut a = nodes.client(index);
    a.expect_nothing();
    let text = until("no warning", || {
        let all = warnings.lock().unwrap();
        all.iter().find(|text| text.contains("broker")).cloned()
    });
    assert!(text.contains("nats://127.0.0.1:1"), "{text}");
    assert!(!nodes.server(index).cluster().unwrap().is_up);
    // The stop must not wait for the broker.
    nodes.stop(index);
    assert_eq!(a.expect_close(1001), "server is going away");
}

pub(crate) fn health_can_depend_on_broker_but_stop_does_not(nodes: &mut Nodes) {
    let options = |builder: roomer_engine::Builder| {
        let cluster = Cluster::named("chat").formation_timeout(Duration::from_millis(50));
        builder.cluster(cluster.ready_needs_broker(true))
    };
    let index = nodes.add(&options, "chat");
    let other = nodes.add(&options, "chat");
    nodes.formed();
    let is_ready = |nodes: &Nodes, expected: bool| {
        until("the health does not change", || {
            (nodes.server(index).is_ready() == expected).then_some(())
        });
    };
    is_ready(nodes, true);
    let [mut a, mut b] = nodes.clients([index, index]);
    nodes.broker.kill();
    is_ready(nodes, false);
    // The node must still serve its own clients.
    a.send_to_room("root", "chat", b"alone");
    b.expect("root", "chat", "", &a.id, b"alone");
    nodes.broker.restart();
    is_ready(nodes, true);
    nodes.formed();
    // On a busy machine, the restart may take longer than the silence timeout.
    let gone = |nodes: &Nodes| nodes.server(other).stats().cluster.unwrap().gone;
    let before = gone(nodes).get("silent").copied().unwrap_or(0);
    nodes.broker.kill();
    link(nodes, index, false);
    nodes.stop(index);
    a.expect_close(1001);
    // The other node receives no goodbye. It therefore shows the members until it declares its peer
    // dead.
    nodes.counts(other, "root", 0);
    assert_eq!(gone(nodes).into_iter().collect::<Vec<_>>(), [("silent", before + 1)]);
}

pub(crate) fn frames_of_other_clusters_are_ignored(nodes: &mut Nodes) {
    nodes.start(2);
    let other = nodes.add(&|builder| builder, "other");
    link(nodes, other, true);
    let mut c = Client::connect(nodes.nodes[other].as_ref().unwrap().addr);
    let [mut a, mut b] = nodes_clients(nodes);
    assert_eq!(c.root_members.len(), 1);
    a.send_to_room("root", "chat", b"ours");
    b.expect("root", "chat", "", &a.id, b"ours");
    c.expect_nothing();
    assert_eq!(nodes.server(other).cluster().unwrap().peers_in(PeerState::Live), 0);
}

/// Connects clients to the first two nodes. A third node must not show them.
fn nodes_clients(nodes: &Nodes) -> [Client; 2] {
    let connect = |index: usize| Client::connect(nodes.nodes[index].as_ref().unwrap().addr);
    let mut a = connect(0);
    nodes.counts(1, "root", 1);
    let b = connect(1);
    a.expect_new_member("root", &b.id);
    [a, b]
}
