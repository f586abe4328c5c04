//! Tests rooms with a message history in a cluster. Each node keeps its own history.

use roomer_conformance::client::Client;
use roomer_conformance::wire::Packet;
use roomer_engine::cluster::Cluster;
use roomer_engine::{History, Order};
use serde_json::Value;

use super::nodes::Nodes;

/// Receives packets until one with this event arrives.
fn next_of(client: &mut Client, event: &str) -> Packet {
    loop {
        let packet = client.expect_packet();
        if packet.event == event {
            return packet;
        }
    }
}

/// Joins a room. Returns the payload of the `join_ack`.
fn join(client: &mut Client, room: &str, recall: &str) -> Value {
    client.send_to_room(room, "join", recall.as_bytes());
    serde_json::from_slice(&next_of(client, "join_ack").payload).unwrap()
}

pub(crate) fn position_of_another_node_is_not_own_position(nodes: &mut Nodes) {
    nodes.start_with(2, |builder| builder.history("chat", History::last(10)));
    let (mut ann, _) = nodes.extended_client(0);
    let (mut bob, _) = nodes.extended_client(1);
    join(&mut ann, "chat", "");
    join(&mut bob, "chat", "");
    nodes.shows(&bob, "chat");
    ann.send_to_room("chat", "say", b"one");
    let said = next_of(&mut bob, "say");
    assert_eq!((&*said.dst, &*said.payload), ("#1", &b"one"[..]));
    ann.send_to_room("chat", "say", b"two");
    assert_eq!(next_of(&mut bob, "say").dst, "#2");
    // Ann knows the position of the first message in the history of her node. She reconnects to the
    // other node.
    let own = join(&mut ann, "chat", "{\"last\":0}")["at"][0].clone();
    let (mut ann, _) = nodes.extended_client(1);
    let ack = join(&mut ann, "chat", &format!("{{\"at\":[{own},1],\"last\":10}}"));
    assert_ne!(ack["at"][0], own);
    assert_eq!((&ack["at"][1], &ack["recovered"]), (&2.into(), &false.into()));
    for (number, text) in [("#1", "one"), ("#2", "two")] {
        let missed = next_of(&mut ann, "say");
        assert_eq!((&*missed.dst, &*missed.payload), (number, text.as_bytes()));
    }
}

pub(crate) fn ordered_room_has_no_history(nodes: &mut Nodes) {
    let address = nodes.broker.address("");
    for _ in 0..2 {
        let cluster = Cluster::named("chat").order("ga*", Order::Room);
        nodes.add_with(&|builder| builder.history("*", History::last(10)), cluster, &address);
    }
    nodes.formed();
    let [(mut ann, _), (mut bob, _), (mut dora, _)] = [0, 1, 0].map(|at| nodes.extended_client(at));
    let mut plain = nodes.client(0);
    for client in [&mut ann, &mut bob, &mut dora] {
        assert_eq!(join(client, "game", "{\"last\":5}").get("at"), None);
        nodes.shows(client, "game");
    }
    plain.send_to_room("game", "join", b"");
    next_of(&mut plain, "join_ack");
    nodes.shows(&plain, "game");
    for text in ["one", "two", "end"] {
        ann.send_to_room("game", "say", text.as_bytes());
    }
    for client in [&mut bob, &mut dora, &mut plain] {
        for text in ["one", "two", "end"] {
            let said = next_of(client, "say");
            assert_eq!((&*said.dst, &*said.payload), ("", text.as_bytes()), "{}", client.id);
        }
    }
}
