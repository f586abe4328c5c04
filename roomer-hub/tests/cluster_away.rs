//! Members on other nodes that are away, in rooms that announce it.

use roomer_hub::cluster::{Loss, ResetReason};
use roomer_hub::{Command, ConnId, Info, Input};

use crate::support::net::Net;

/// Returns two nodes, each with an extended client in `root`.
fn two_nodes(loss: Loss) -> (Net, ConnId) {
    let mut net = Net::with(2, loss);
    for node in 0..2 {
        net.nodes[node].hub.announce_away("root");
        net.open_extended(node, node as u8);
    }
    net.run(10);
    net.received(1, 1);
    let ann = net.nodes[0].id(0);
    (net, ann)
}

fn set_away(net: &mut Net, is_away: bool) {
    let (conn, now) = (net.nodes[0].key(0), net.now);
    net.nodes[0].hub(now, Input::Away { conn, is_away });
}

fn change(kind: &str, id: ConnId) -> String {
    format!(r#"roomer:members root {{"{kind}":["{id}"]}}"#)
}

#[test]
fn away_notices_keep_order_with_messages_across_nodes() {
    let (mut net, ann) = two_nodes(Loss::Rejoin);
    net.say(0, 0, "root", "chat", "before");
    set_away(&mut net, true);
    net.say(0, 0, "root", "chat", "meanwhile");
    set_away(&mut net, true);
    set_away(&mut net, false);
    net.run(10);
    let expected = [
        "chat root before".into(),
        change("away", ann),
        "chat root meanwhile".into(),
        change("back", ann),
    ];
    assert_eq!(net.received(1, 1), expected);
}

#[test]
fn reconnected_node_learns_away_members() {
    let (mut net, ann) = two_nodes(Loss::Rejoin);
    net.nodes[0].is_up = false;
    net.run(6000);
    set_away(&mut net, true);
    net.received(1, 1);
    net.nodes[0].is_up = true;
    net.run(3000);
    let joined = format!(r#"roomer:members root {{"joined":[["{ann}",null]]}}"#);
    assert_eq!(net.received(1, 1), [joined, change("away", ann)]);
    net.say(1, 1, "root", "join", "");
    let (_, list) = net.nodes[1].acks.pop().expect("a list");
    assert!(list.ends_with(&format!(r#"],"away":["{ann}"]}}"#)), "{list}");
}

/// The frame with each change contains a damaged item in front of it, so the change is dropped.
/// Only the next stream contains it.
#[test]
fn restarted_stream_transfers_away_members() {
    let (mut net, ann) = two_nodes(Loss::Count);
    for is_away in [true, false] {
        let mut is_done = false;
        net.change = Box::new(move |from, frame| {
            let at = frame.windows(5).position(|part| part == b"\"Eve\"");
            let Some(at) = at.filter(|_| from == 0 && !is_done) else { return frame.clone() };
            is_done = true;
            [&frame[..at], b"\"Adam", &frame[at + 5..]].concat().into()
        });
        let (conn, now) = (net.nodes[0].key(0), net.now);
        for name in ["Ann", "Eve"] {
            let info = Some(Info::string(name));
            let command = Command::SetInfo { conn, info: info.as_ref() };
            net.nodes[0].hub(now, Input::Command(command));
        }
        set_away(&mut net, is_away);
        net.run(1000);
        let kind = if is_away { "away" } else { "back" };
        assert_eq!(net.received(1, 1).pop(), Some(change(kind, ann)));
    }
    let resets = &net.nodes[1].cluster.statistics().resets;
    assert_eq!(resets.iter().collect::<Vec<_>>(), [(&ResetReason::Malformed, &2)]);
}

/// Members that are away do not need a second seat, so the list is within the limit.
#[test]
fn away_members_do_not_count_as_seats() {
    let mut net = Net::configured(2, |config| config.max_seats = 2);
    net.nodes[1].hub.announce_away("root");
    net.open_extended(1, 9);
    net.nodes[0].hub.announce_away("root");
    for conn in [0, 1] {
        net.open_extended(0, conn);
        let (conn, now) = (net.nodes[0].key(conn), net.now);
        net.nodes[0].hub(now, Input::Away { conn, is_away: true });
    }
    net.nodes[0].is_up = false;
    net.run(6000);
    net.received(1, 9);
    net.nodes[0].is_up = true;
    net.run(3000);
    let [ann, bob] = [0, 1].map(|conn| net.nodes[0].id(conn));
    let received = net.received(1, 9);
    assert!(received.contains(&change("away", ann)) && received.contains(&change("away", bob)));
    assert!(net.nodes[1].cluster.statistics().resets.is_empty());
}
