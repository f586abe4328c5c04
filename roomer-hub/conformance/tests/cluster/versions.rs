//! Tests nodes that run another release of the cluster protocol.

use std::sync::{Arc, Mutex};

use roomer_conformance::client::Client;
use roomer_conformance::programs::until;
use roomer_engine::cluster::PeerState;
use roomer_engine::{Builder, Bytes};
use roomer_proto::cluster::VERSION;

use super::nodes::Nodes;
use super::tap::Tap;

/// The offset of the version in a frame.
const AT: usize = 2;

/// Simulates another release: it writes one version, and accepts no other.
fn later() -> Tap {
    let swap = |frame: Bytes| {
        let mut frame = frame.to_vec();
        let other = VERSION + 1;
        frame[AT] = if frame[AT] == VERSION { other } else { VERSION };
        Bytes::from(frame)
    };
    Tap { received: Arc::new(swap), published: Arc::new(swap) }
}

pub(crate) fn incompatible_node_is_listed_but_not_contacted(nodes: &mut Nodes) {
    let warnings = Arc::new(Mutex::new(String::new()));
    let kept = warnings.clone();
    let options = move |builder: Builder| {
        let kept = kept.clone();
        builder.on_warning(move |warning| kept.lock().unwrap().push_str(&warning.to_string()))
    };
    nodes.start_with(2, options);
    let [mut a, mut b] = nodes.clients([0, 1]);
    nodes.tap = later();
    let other = nodes.add(&|builder| builder, "chat");
    for index in [0, 1, other] {
        let due = if index == other { 2 } else { 1 };
        until("a node of another version is not shown", || {
            (nodes.server(index).cluster()?.peers_in(PeerState::Foreign) == due).then_some(())
        });
    }
    let mut c = Client::connect(nodes.addr(other));
    assert_eq!(c.root_members.len(), 1);
    c.send_to_room("root", "chat", b"theirs");
    c.expect_nothing();
    a.send_to_room("root", "chat", b"ours");
    b.expect("root", "chat", "", &a.id, b"ours");
    for client in [&mut a, &mut b, &mut c] {
        client.expect_nothing();
    }
    let warned = until("no warning", || {
        let warnings = warnings.lock().unwrap();
        warnings.contains("version").then(|| warnings.clone())
    });
    let node = nodes.server(other).cluster().unwrap().node.to_string();
    assert!(warned.contains(&node), "{warned}");
}
