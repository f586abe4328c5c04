//! Clusters of several nodes: members, messages, lost frames and dead nodes.

use roomer_hub::cluster::{Change, Config, Input, Loss, PeerState};
use roomer_proto::cluster::PeerCommand;
use roomer_proto::{ConnId, PacketRef};

use crate::support::net::{Net, Node};

#[test]
fn rooms_span_all_nodes() {
    let mut net = Net::new(3);
    assert_eq!(net.states(0), [PeerState::Live; 2]);
    net.open(0, 1);
    net.open(1, 2);
    net.run(10);
    for node in 0..3 {
        assert_eq!(net.view(node, "root"), net.ids(&[(0, 1), (1, 2)]), "node {node}");
    }
    // Each connection joined before its node had received the join of the other connection.
    for ((node, conn), other) in [((0, 1), net.nodes[1].id(2)), ((1, 2), net.nodes[0].id(1))] {
        assert_eq!(net.received(node, conn), [format!("new_member root {other}")]);
    }
    net.say(0, 1, "root", "chat", "hello");
    net.run(10);
    assert_eq!(net.received(1, 2), ["chat root hello"]);
    let (dst, event) = (net.nodes[0].id(1), "whisper");
    net.packet(
        1,
        2,
        PacketRef { dst: dst.as_str(), event, payload: b"psst", ..PacketRef::default() },
    );
    net.run(10);
    assert_eq!(net.received(0, 1), ["whisper  psst"]);
}

#[test]
fn request_answer_and_error_cross_nodes() {
    let mut net = Net::new(2);
    net.open_extended(0, 1);
    net.open_extended(1, 2);
    net.open(1, 3);
    net.run(10);
    let [asker, receiver, plain, gone] =
        [(0, 1), (1, 2), (1, 3), (1, 4)].map(|(node, conn)| net.nodes[node].id(conn));
    let send = |net: &mut Net, (node, conn), event, to: ConnId, tag| {
        let dst = format!("{to}:{tag}");
        let packet = PacketRef { event, dst: &dst, payload: b"?", ..PacketRef::default() };
        net.packet(node, conn, packet);
    };
    net.received(0, 1);
    net.received(1, 2);
    send(&mut net, (0, 1), "where", receiver, 7);
    net.run(10);
    assert_eq!(net.received(1, 2), ["where  ?"]);
    send(&mut net, (1, 2), "roomer:reply", asker, 7);
    send(&mut net, (1, 2), "roomer:reply", asker, 7);
    net.run(10);
    assert_eq!(net.received(0, 1), ["roomer:reply  ?"], "the second one is dropped");
    for (other, code) in [(plain, "plain"), (gone, "gone")] {
        send(&mut net, (0, 1), "where", other, 8);
        net.run(10);
        let [error] = &net.received(0, 1)[..] else { panic!("one error") };
        assert!(error.starts_with(&format!("roomer:error  {{\"code\":\"{code}\"")), "{error}");
    }
    assert!(!net.received(1, 3).iter().any(|line| line.starts_with("where")));
}

#[test]
fn later_node_gets_members() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.say(0, 1, "lobby", "join", "");
    net.say(0, 1, "count-7", "join", "");
    net.run(10);
    let now = net.now;
    net.nodes.push(Node::new(3, now, Loss::Rejoin));
    net.nodes[2].handle(now, Input::Up { max_payload: 1 << 20 });
    net.run(1200);
    assert_eq!(net.view(2, "lobby"), net.ids(&[(0, 1)]));
    let tables = net.nodes[2].hub.tables();
    assert_eq!(tables.member_count(tables.find_room("count-7").expect("a room")), 1);
}

#[test]
fn lost_frame_is_retransmitted_without_duplicates() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    net.run(10);
    net.received(1, 2);
    let mut frames = 0;
    net.lose = Box::new(move |from, _, _| {
        frames += usize::from(from == 0);
        from == 0 && frames == 2
    });
    for text in ["a", "b", "c", "d"] {
        net.say(0, 1, "root", "chat", text);
        net.run(10);
    }
    net.run(1500);
    assert_eq!(net.received(1, 2), ["chat root a", "chat root b", "chat root c", "chat root d"]);
    assert_eq!(net.nodes[1].cluster.statistics().repaired, 1);
    assert!(net.nodes[1].cluster.statistics().resets.is_empty());
}

#[test]
fn lost_frame_is_retransmitted_after_outage_of_broker() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    net.run(10);
    net.received(1, 2);
    // Lose one frame of node 0, and then all of node 1's requests for it.
    let mut frames = 0;
    net.lose = Box::new(move |from, _, _| {
        frames += usize::from(from == 0);
        from == 1 || frames == 1
    });
    for text in ["a", "b"] {
        net.say(0, 1, "root", "chat", text);
        net.run(10);
    }
    assert_eq!(net.states(1), [PeerState::Gap]);
    // Both links are down for longer than a missing frame may delay later ones, and node 0
    // reconnects later than node 1 by more than that time.
    net.set_link(0, false);
    net.set_link(1, false);
    net.run(1000);
    net.lose = Box::new(|_, _, _| false);
    net.set_link(1, true);
    net.run(1000);
    net.set_link(0, true);
    net.run(1500);
    assert_eq!(net.received(1, 2), ["chat root a", "chat root b"]);
    let statistics = net.nodes[1].cluster.statistics();
    assert_eq!((statistics.repaired, statistics.resets.len()), (1, 0));
}

#[test]
fn many_lost_frames_are_retransmitted_a_window_at_a_time() {
    const COUNT: usize = 128;
    // A broker disconnects a reader for which too many bytes are waiting.
    const MAX_IN_FLIGHT: usize = 600 * 1024;
    let mut net = Net::configured(2, |config| config.journal_bytes = 8 << 20);
    net.open(0, 1);
    net.open(1, 2);
    net.run(10);
    net.received(1, 2);
    net.lose = Box::new(|from, _, _| from == 0);
    let text = "x".repeat(32 * 1024);
    for _ in 0..COUNT {
        net.say(0, 1, "root", "chat", &text);
        net.publish();
    }
    net.lose = Box::new(|_, _, _| false);
    let (mut most, mut idle) = (0, 0);
    while net.nodes[1].received.len() < COUNT {
        net.publish();
        let sizes = net.wire.iter().filter(|(to, _)| *to == 1).map(|(_, frame)| frame.len());
        let bytes: usize = sizes.sum();
        most = most.max(bytes);
        idle = if bytes == 0 { idle + 1 } else { 0 };
        assert!(idle < 2000, "{} messages arrived", net.nodes[1].received.len());
        net.deliver();
        net.tick(1);
    }
    assert!((MAX_IN_FLIGHT / 2..MAX_IN_FLIGHT).contains(&most), "{most} bytes in flight");
    let statistics = net.nodes[1].cluster.statistics();
    assert_eq!((statistics.repaired, statistics.resets.len()), (1, 0));
}

#[test]
fn lost_messages_appear_as_leave_and_rejoin() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    for (node, conn) in [(0, 1), (1, 2)] {
        net.say(node, conn, "lobby", "join", "");
    }
    net.run(10);
    net.received(1, 2);
    // Lose retransmitted frames too.
    net.lose = Box::new(|from, _, _| from == 0);
    net.say(0, 1, "lobby", "chat", "lost");
    net.run(2000);
    net.lose = Box::new(|_, _, _| false);
    net.run(2000);
    let id = net.nodes[0].id(1);
    let expected = [format!("member_left lobby {id}"), format!("new_member lobby {id}")];
    let received = net.received(1, 2);
    assert!(received == ["chat lobby lost"] || received == expected, "{received:?}");
}

#[test]
fn members_of_dead_node_leave_and_return() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    net.run(10);
    net.received(1, 2);
    net.nodes[0].is_up = false;
    net.run(4500);
    assert_eq!(net.view(1, "root").len(), 2);
    net.run(1500);
    assert_eq!(net.view(1, "root"), net.ids(&[(1, 2)]));
    let id = net.nodes[0].id(1);
    assert_eq!(net.received(1, 2), [format!("member_left root {id}")]);
    net.nodes[0].is_up = true;
    net.run(2000);
    assert_eq!(net.received(1, 2), [format!("new_member root {id}")]);
    assert_eq!(net.view(0, "root").len(), 2);
}

#[test]
fn members_of_stopping_node_leave_immediately() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    net.run(10);
    let now = net.now;
    net.nodes[0].handle(now, Input::Stop);
    net.publish();
    net.run(10);
    assert_eq!(net.view(1, "root"), net.ids(&[(1, 2)]));
    assert_eq!(net.states(1), []);
}

#[test]
fn message_larger_than_frame_is_fragmented() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    net.run(10);
    net.received(1, 2);
    let text = "x".repeat(1 << 20);
    net.say(0, 1, "root", "chat", &text[..(1 << 20) - 100]);
    net.run(10);
    let received = net.received(1, 2);
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].len(), "chat root ".len() + text.len() - 100);
}

#[test]
fn oversized_application_message_is_not_sent_to_peers() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    net.run(10);
    net.received(1, 2);
    let max = Config::new("", "").max_packet;
    let empty = PacketRef { room: "root", event: "news", ..PacketRef::default() };
    let most = max - empty.encoded_len();
    for len in [most, most + 1, most + 200_000] {
        let payload = vec![b'x'; len];
        let dst = net.nodes[1].id(2);
        let (room, event, payload) = ("root", "news", &payload[..]);
        let (from, except, except_guest) = (None, None, None);
        let now = net.now;
        for command in [
            roomer_hub::Command::Broadcast { from, except, except_guest, room, event, payload },
            roomer_hub::Command::Send { from, dst: dst.as_str(), room, event, payload },
        ] {
            net.nodes[0].hub(now, roomer_hub::Input::Command(command));
            net.run(10);
        }
    }
    net.say(0, 1, "root", "chat", "behind them");
    net.run(3000);
    let lens: Vec<usize> = net.received(1, 2).iter().map(String::len).collect();
    // A direct message also contains the receiver's id, so the longest message exceeds the limit.
    assert_eq!(lens, ["news root ".len() + most, "chat root behind them".len()]);
    assert_eq!(net.nodes[0].cluster.statistics().unsendable, 5);
    let statistics = net.nodes[1].cluster.statistics();
    assert_eq!((statistics.resets.len(), statistics.refused.len()), (0, 0));
}

#[test]
fn command_with_oversized_name_is_not_sent_to_peers() {
    let mut net = Net::new(2);
    net.open(1, 2);
    net.run(10);
    let (id, now) = (net.nodes[1].id(2), net.now);
    let name = "x".repeat(2 << 20);
    let Node { hub, cluster, .. } = &mut net.nodes[0];
    let peer = hub.tables().peer_of(id.as_str()).expect("a peer");
    for command in [
        PeerCommand::Join { room: &name },
        PeerCommand::Move { from: "root", to: &name },
        PeerCommand::Close { code: 4000, reason: &name },
    ] {
        cluster.record(now, hub.tables(), Change::Command { peer, id, command });
    }
    net.run(3000);
    assert_eq!(net.nodes[0].cluster.statistics().unsendable, 3);
    assert_eq!(net.nodes[1].cluster.statistics().resets.len(), 0);
}
