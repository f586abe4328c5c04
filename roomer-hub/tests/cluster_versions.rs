//! Frames in versions that a node cannot decode.

use bytes::Bytes;
use roomer_hub::cluster::{Input, Loss, PeerState};
use roomer_proto::cluster::VERSION;

use crate::support::net::{Net, Node};

/// Returns the same frame, marked as one of a later version.
fn later(frame: &Bytes) -> Bytes {
    let mut frame = frame.to_vec();
    frame[2] = VERSION + 1;
    frame.into()
}

#[test]
fn node_of_another_cluster_is_ignored() {
    let mut net = Net::new(1);
    net.nodes.push(Node::configured(2, net.now, |config| config.cluster = "other".into()));
    net.change = Box::new(|from, frame| if from == 1 { later(frame) } else { frame.clone() });
    net.nodes[1].handle(net.now, Input::Up { max_payload: 1 << 20 });
    net.run(3000);
    assert_eq!(net.states(0), []);
    assert!(net.nodes[0].cluster.statistics().refused["other_cluster"] >= 3);
}

#[test]
fn frame_of_other_version_excludes_new_peer() {
    let mut net = Net::new(1);
    net.open(0, 1);
    net.nodes.push(Node::new(2, net.now, Loss::Rejoin));
    net.change = Box::new(|from, frame| if from == 1 { later(frame) } else { frame.clone() });
    net.nodes[1].handle(net.now, Input::Up { max_payload: 1 << 20 });
    net.open(1, 2);
    net.run(500);
    assert_eq!(net.states(0), [PeerState::Foreign]);
    net.change = Box::new(|_, frame| frame.clone());
    net.run(4000);
    for node in 0..2 {
        assert_eq!(net.states(node), [PeerState::Live], "node {node}");
        assert_eq!(net.view(node, "root"), net.ids(&[(0, 1), (1, 2)]), "node {node}");
    }
}

#[test]
fn frame_of_other_version_during_transfer_is_ignored() {
    let mut net = Net::new(1);
    net.open(0, 1);
    net.nodes.push(Node::new(2, net.now, Loss::Rejoin));
    net.nodes[1].handle(net.now, Input::Up { max_payload: 1 << 20 });
    net.open(1, 2);
    // Deliver the first frame, a heartbeat, unchanged. Mark the next two, which contain the
    // members, as a later version.
    let mut frames = 0;
    net.change = Box::new(move |from, frame| {
        frames += usize::from(from == 1);
        if from == 1 && (2..4).contains(&frames) { later(frame) } else { frame.clone() }
    });
    net.run(6000);
    for node in 0..2 {
        assert_eq!(net.states(node), [PeerState::Live], "node {node}");
        assert_eq!(net.view(node, "root"), net.ids(&[(0, 1), (1, 2)]), "node {node}");
    }
}
