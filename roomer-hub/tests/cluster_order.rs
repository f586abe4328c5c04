//! Rooms with a total message order across nodes.

use roomer_hub::Order;
use roomer_hub::cluster::{Config, Event};

use crate::support::net::Net;

const ROOM: &str = "lobby";

fn configure(config: &mut Config) {
    config.orders = vec![(ROOM.into(), Order::Room)];
    config.backlog_bytes = 400;
}

/// Creates nodes that have been connected for some time, each with a member in the room.
fn nodes(count: u64) -> Net {
    let mut net = Net::configured(count, configure);
    net.run(6000);
    for node in 0..net.nodes.len() {
        net.open(node, 1);
        net.say(node, 1, ROOM, "join", "");
    }
    net.run(100);
    net
}

/// Returns the messages that a member has received since the last call, excluding notices.
fn messages(net: &mut Net, node: usize, conn: u8) -> Vec<String> {
    let received = net.received(node, conn).into_iter();
    received.filter_map(|line| line.strip_prefix("chat lobby ").map(String::from)).collect()
}

/// Returns the number of losses reported by a node.
fn losses(net: &Net, node: usize) -> usize {
    net.nodes[node].events.iter().filter(|event| matches!(event, Event::Gap { .. })).count()
}

#[test]
fn overflow_drops_oldest_waiting_messages_only() {
    let mut net = nodes(2);
    // The home starts its term when it places the first message.
    net.say(0, 1, ROOM, "chat", "first");
    net.run(1000);
    assert_eq!(messages(&mut net, 1, 1), ["first"]);
    let texts: Vec<String> = (0..20).map(|number| format!("{number}")).collect();
    for node in 0..2 {
        net.open(node, 2);
        net.say(node, 2, ROOM, "join", "");
        for text in &texts {
            net.say(node, 1, ROOM, "chat", text);
            // Publish each frame immediately so that messages wait only for their places, not for
            // the broker.
            net.publish();
        }
    }
    // The home delivers its own messages immediately, so only the other node has messages waiting.
    let from = (0..2).find(|node| net.nodes[*node].cluster.waiting_messages() > 0);
    let from = from.expect("a node that is not the home");
    net.run(2000);
    assert_eq!(messages(&mut net, 1 - from, 1), texts, "those of the other node");
    assert_eq!(messages(&mut net, from, 1), texts, "those of the home");
    // The second member receives the messages from both nodes.
    let received = messages(&mut net, from, 2);
    let lost = 2 * texts.len() - received.len();
    assert!((1..texts.len()).contains(&lost), "{received:?}");
    let last = texts.last().expect("a text");
    assert_eq!(received.iter().filter(|text| *text == last).count(), 2, "{received:?}");
    assert_eq!(received.iter().filter(|text| **text == texts[0]).count(), 1, "{received:?}");
    assert_eq!(net.nodes[from].cluster.statistics().unplaced, lost as u64);
    assert_eq!([from, 1 - from].map(|node| losses(&net, node)), [lost, 0]);
}
