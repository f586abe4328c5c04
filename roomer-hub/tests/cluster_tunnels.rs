//! Tunnel items between nodes: their order, and the reports of lost tunnels.

use bytes::Bytes;
use roomer_hub::cluster::Change;
use roomer_proto::PacketRef;
use roomer_proto::cluster::{NodeId, TUNNEL_DATA, TunnelItem, UserCommand};

use crate::support::net::Net;

/// Returns a formed cluster of two nodes that accept tunnels.
fn net() -> Net {
    let mut net = Net::new(2);
    for node in &mut net.nodes {
        node.cluster.accept_tunnels(true);
    }
    net.run(1500);
    net
}

fn node(net: &Net, index: usize) -> NodeId {
    net.nodes[index].cluster.node()
}

fn send(net: &mut Net, from: usize, item: TunnelItem<'_>) {
    let (now, to) = (net.now, node(net, 1 - from));
    let Net { nodes, .. } = net;
    let node = &mut nodes[from];
    node.cluster.record(now, node.hub.tables(), Change::Tunnel { to, item });
}

fn data(number: u64, bytes: &[u8]) -> TunnelItem<'_> {
    TunnelItem::Data { number, is_opener: true, bytes }
}

/// Returns the tunnel items that a node has received, and clears them.
fn received(net: &mut Net, index: usize) -> Vec<Bytes> {
    let from = node(net, 1 - index);
    let items = std::mem::take(&mut net.nodes[index].tunnels);
    items.into_iter().inspect(|(peer, _)| assert_eq!(*peer, from)).map(|(_, item)| item).collect()
}

fn encoded(item: TunnelItem<'_>) -> Bytes {
    let mut bytes = Vec::new();
    item.encode(&mut bytes);
    bytes.into()
}

/// Returns the node at `index` if the node at `from` may open a tunnel to it for connection 1.
fn tunnel_to(net: &Net, from: usize, index: usize) -> Option<NodeId> {
    let id = net.nodes[index].id(1);
    let Net { nodes, .. } = net;
    let peer = nodes[from].hub.tables().peers_of(id.as_str()).next()?;
    nodes[from].cluster.tunnel_to(peer)
}

#[test]
fn items_arrive_once_in_order_despite_lost_frames() {
    let mut net = net();
    let mut count = 0;
    net.lose = Box::new(move |from, _, _| {
        count += 1;
        from == 0 && count % 3 == 0
    });
    let texts: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    for text in &texts {
        send(&mut net, 0, data(1, text.as_bytes()));
        net.run(5);
    }
    net.run(3000);
    let expected: Vec<Bytes> = texts.iter().map(|text| encoded(data(1, text.as_bytes()))).collect();
    assert_eq!(received(&mut net, 1), expected);
    assert!(net.nodes[1].cluster.statistics().repaired > 0);
}

#[test]
fn restarted_stream_closes_tunnels_at_both_ends() {
    let mut net = net();
    send(&mut net, 0, data(1, b"one"));
    net.run(10);
    assert_eq!(received(&mut net, 1), [encoded(data(1, b"one"))]);
    // Lose the frames in one direction for longer than the journal keeps them.
    net.lose = Box::new(|from, _, _| from == 0);
    send(&mut net, 0, data(1, b"two"));
    net.run(100);
    net.lose = Box::new(|_, _, _| false);
    net.open(0, 1);
    net.run(100);
    assert_eq!(received(&mut net, 1), [encoded(data(1, b"two"))], "it is repaired");
    net.lose = Box::new(|from, _, _| from == 0);
    send(&mut net, 0, data(1, b"three"));
    net.run(12_000);
    net.lose = Box::new(|_, _, _| false);
    net.run(12_000);
    // An empty item means that the tunnels are lost. The items after it arrive over the new stream.
    send(&mut net, 0, data(2, b"four"));
    net.run(10);
    let at_receiver = received(&mut net, 1);
    assert_eq!(at_receiver.first(), Some(&Bytes::new()), "{at_receiver:?}");
    assert_eq!(at_receiver.last(), Some(&encoded(data(2, b"four"))));
    assert!(!at_receiver.contains(&encoded(data(1, b"three"))), "{at_receiver:?}");
    assert!(received(&mut net, 0).iter().all(Bytes::is_empty));
}

#[test]
fn dead_node_loses_tunnels() {
    let mut net = net();
    send(&mut net, 0, data(1, b"one"));
    net.run(10);
    received(&mut net, 1);
    net.nodes[0].is_up = false;
    net.run(8000);
    assert_eq!(received(&mut net, 1), [Bytes::new()]);
    assert_eq!(tunnel_to(&net, 1, 0), None);
}

#[test]
fn tunnels_go_only_to_live_accepting_nodes() {
    let mut net = net();
    assert_eq!(tunnel_to(&net, 0, 1), Some(node(&net, 1)));
    net.nodes[1].cluster.accept_tunnels(false);
    net.run(1500);
    assert_eq!(tunnel_to(&net, 0, 1), None);
    assert_eq!(tunnel_to(&net, 1, 0), Some(node(&net, 0)));
    // A node with an earlier release does not report that it accepts tunnels.
    let net = Net::new(2);
    assert_eq!(tunnel_to(&net, 0, 1), None);
}

#[test]
fn tunnels_cannot_overflow_stream() {
    let mut net = net();
    let to = node(&net, 1);
    let room = |net: &Net| net.nodes[0].cluster.tunnel_room(to).unwrap();
    let all = room(&net);
    net.nodes[0].is_up = false;
    let bytes = [7; TUNNEL_DATA];
    while room(&net) >= TUNNEL_DATA {
        send(&mut net, 0, data(1, &bytes));
    }
    net.nodes[0].is_up = true;
    net.run(1500);
    assert_eq!(room(&net), all);
    assert!(received(&mut net, 1).len() >= 60);
    assert_eq!(net.nodes[0].cluster.statistics().overflows, 0);
    assert_eq!(net.nodes[0].cluster.tunnel_room(NodeId(9)), None);
}

#[test]
fn other_traffic_leaves_tunnels_their_share() {
    let mut net = net();
    let to = node(&net, 1);
    let room = |net: &Net| net.nodes[0].cluster.tunnel_room(to).unwrap();
    let payload = [7; 64 * 1024];
    let say = |net: &mut Net, mib: usize| {
        let packet =
            PacketRef { room: "lobby", event: "say", payload: &payload, ..Default::default() };
        for _ in 0..16 * mib {
            let node = &mut net.nodes[0];
            let change = Change::User { user: "ann", command: UserCommand::Send { packet } };
            node.cluster.record(net.now, node.hub.tables(), change);
        }
    };
    let all = room(&net);
    // Publish nothing meanwhile, so that bytes accumulate. Senders pause at two of the four MiB.
    say(&mut net, 2);
    assert!(net.nodes[0].cluster.is_any_congested());
    assert!(room(&net) >= all - 64 * 1024, "{} of {all}", room(&net));
    assert_eq!(tunnel_to(&net, 0, 1), Some(to));
    let bytes = [7; TUNNEL_DATA];
    for _ in 0..32 {
        send(&mut net, 0, data(1, &bytes));
    }
    let before = room(&net);
    assert!((all / 2 - 64 * 1024..all / 2).contains(&before), "{before} of {all}");
    say(&mut net, 1);
    assert_eq!((room(&net), tunnel_to(&net, 0, 1)), (0, None));
    net.run(1500);
    assert_eq!((room(&net), tunnel_to(&net, 0, 1)), (all, Some(to)));
    assert_eq!(received(&mut net, 1).len(), 32);
    assert_eq!(net.nodes[0].cluster.statistics().overflows, 0);
}

#[test]
fn earlier_tunnels_do_not_block_new_open() {
    let mut net = net();
    let to = node(&net, 1);
    let bytes = [7; TUNNEL_DATA];
    while net.nodes[0].cluster.tunnel_room(to).is_some_and(|room| room > 0) {
        send(&mut net, 0, data(1, &bytes));
    }
    assert_eq!(tunnel_to(&net, 0, 1), Some(to));
}
