//! Tests ordered rooms, in which messages arrive in the same order on all nodes.

use roomer_conformance::client::Client;
use roomer_engine::Order;
use roomer_engine::cluster::Cluster;

use super::nodes::Nodes;

/// Receives this many messages in a room. Returns each of them with its sender.
fn receive(client: &mut Client, count: u32) -> Vec<(String, u32)> {
    let mut received = Vec::new();
    for _ in 0..count {
        let packet = client.expect_packet();
        assert_eq!(packet.room, "game");
        received.push((packet.src, u32::from_be_bytes(packet.payload.try_into().unwrap())));
    }
    received
}

pub(crate) fn ordered_room_has_same_order_on_all_nodes(nodes: &mut Nodes) {
    const COUNT: u32 = 400;
    nodes.start_cluster(3, |cluster: Cluster| cluster.order("ga*", Order::Room));
    // Two of the members are on the same node, and each of the others is on another.
    let [mut a, mut b, mut c, mut d] = nodes.clients([0, 0, 1, 2]);
    nodes.join("game", [&mut a, &mut b, &mut c, &mut d]);
    let mut all = [a, b, c, d];
    std::thread::scope(|scope| {
        for client in &mut all {
            scope.spawn(|| {
                for number in 0..COUNT {
                    client.send_to_room("game", "n", &number.to_be_bytes());
                }
            });
        }
    });
    let ids: Vec<String> = all.iter().map(|client| client.id.clone()).collect();
    let received: Vec<_> = all.iter_mut().map(|client| receive(client, 3 * COUNT)).collect();
    // A member does not receive its own messages. Compare members in pairs, without the messages of
    // either.
    for (one, other) in [(0, 1), (0, 2), (1, 2), (2, 3), (0, 3)] {
        let others = |at: usize| {
            let is_other = |src: &String| *src != ids[one] && *src != ids[other];
            received[at].iter().filter(|(src, _)| is_other(src)).collect::<Vec<_>>()
        };
        assert!(others(one) == others(other), "members {one} and {other} differ");
    }
    for client in &mut all {
        client.expect_nothing();
    }
}
