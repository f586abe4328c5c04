//! A node's policies for lost messages, and for peers that send bad frames.

use bytes::Bytes;
use roomer_hub::Command;
use roomer_hub::cluster::{Event, GoneReason, Input, Loss, PeerState};
use roomer_proto::cluster::{FrameKind, Head, Item};

use crate::support::net::Net;

/// Returns true if the frame is part of a stream.
fn is_numbered(frame: &[u8]) -> bool {
    Head::decode(frame).is_ok_and(|(head, _)| head.kind != FrameKind::Control)
}

/// Returns two nodes, the second of which has lost a message to `lobby`, and the packets its client
/// received.
fn after_a_loss(loss: Loss) -> (Net, Vec<String>) {
    let mut net = Net::with(2, loss);
    net.open(0, 1);
    net.open(1, 2);
    for (node, conn) in [(0, 1), (1, 2)] {
        net.say(node, conn, "lobby", "join", "");
    }
    net.run(10);
    net.received(1, 2);
    net.nodes[1].events.clear();
    // Lose retransmitted frames too.
    net.lose = Box::new(|from, _, frame| from == 0 && is_numbered(frame));
    net.say(0, 1, "lobby", "chat", "lost");
    net.run(3000);
    net.lose = Box::new(|_, _, _| false);
    net.run(2000);
    assert_eq!(net.states(1), [PeerState::Live]);
    let received = net.received(1, 2);
    (net, received)
}

fn gaps(net: &Net) -> Vec<Event> {
    let events = net.nodes[1].events.iter();
    events.filter(|event| matches!(event, Event::Gap { .. })).cloned().collect()
}

fn gap(net: &Net, room: Option<&str>, frames: Option<u64>) -> Event {
    let node = net.nodes[0].cluster.node();
    Event::Gap { node, name: "node 1".into(), room: room.map(Into::into), frames }
}

#[test]
fn loss_appears_as_leave_and_rejoin_by_default() {
    let (net, received) = after_a_loss(Loss::default());
    let id = net.nodes[0].id(1);
    assert_eq!(received, [format!("member_left lobby {id}"), format!("new_member lobby {id}")]);
    assert_eq!(gaps(&net), [gap(&net, Some("lobby"), Some(1))]);
    assert_eq!(net.nodes[1].closes, []);
    assert_eq!(net.nodes[1].cluster.statistics().gaps, 1);
}

#[test]
fn counted_loss_is_invisible_to_clients() {
    let (net, received) = after_a_loss(Loss::Count);
    assert_eq!(received, [""; 0]);
    assert_eq!(gaps(&net), [gap(&net, Some("lobby"), Some(1))]);
    assert_eq!(net.nodes[1].closes, []);
    assert_eq!(net.view(1, "lobby"), net.view(0, "lobby"));
}

#[test]
fn loss_closes_room_members_if_configured() {
    let (mut net, received) = after_a_loss(Loss::Close);
    assert_eq!(received, [""; 0]);
    assert_eq!(gaps(&net), [gap(&net, Some("lobby"), Some(1))]);
    assert_eq!(net.nodes[1].closes, [Some("lobby".to_owned())]);
    // If a dead peer returns, no connections are closed: its members' leaves have already shown the
    // loss.
    net.nodes[1].closes.clear();
    net.nodes[0].is_up = false;
    net.run(6000);
    assert_eq!(net.states(1), [PeerState::Dead]);
    net.nodes[0].is_up = true;
    net.run(2000);
    assert_eq!(net.states(1), [PeerState::Live]);
    assert_eq!(net.nodes[1].closes, []);
    assert_eq!(gaps(&net).len(), 1);
}

#[test]
fn lost_direct_messages_close_members_of_sender_rooms() {
    let mut net = Net::with(2, Loss::Close);
    net.open(0, 1);
    net.open(1, 2);
    net.say(0, 1, "lobby", "join", "");
    net.say(1, 2, "lobby", "join", "");
    net.say(1, 2, "other", "join", "");
    net.run(10);
    net.nodes[1].events.clear();
    net.lose = Box::new(|from, _, frame| from == 0 && is_numbered(frame));
    let (dst, from, now) = (net.nodes[1].id(2), Some(net.nodes[0].key(1)), net.now);
    let (dst, room, event) = (dst.as_str(), "root", "psst");
    let command = Command::Send { from, dst, room, event, payload: b"" };
    net.nodes[0].hub(now, roomer_hub::Input::Command(command));
    net.run(3000);
    net.lose = Box::new(|_, _, _| false);
    net.run(2000);
    assert_eq!(gaps(&net), [gap(&net, None, Some(1))]);
    let rooms = ["lobby", "root"].map(|room| Some(room.to_owned()));
    assert_eq!(net.nodes[1].closes, rooms);
}

/// Returns a control frame from the first node that cannot be decoded.
fn bad_frame(net: &Net) -> Bytes {
    let mut frame = Vec::new();
    let cluster = u64::from_be_bytes(net.own_frame(0)[3..11].try_into().expect("eight bytes"));
    let from = net.nodes[0].cluster.node();
    Head { cluster, from, kind: FrameKind::Control }.encode(&mut frame);
    Item::RequestStream { stream: 1, after: Default::default() }.encode(&mut frame);
    frame.pop();
    frame.into()
}

fn causes(net: &Net) -> Vec<GoneReason> {
    let events = net.nodes[1].events.iter();
    let reason = |event: &Event| match event {
        Event::PeerGone { reason, .. } => Some(*reason),
        _ => None,
    };
    events.filter_map(reason).collect()
}

#[test]
fn tenth_bad_frame_in_minute_bans_peer_for_30_seconds() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    net.run(1500);
    let frame = bad_frame(&net);
    for _ in 0..9 {
        let now = net.now;
        net.nodes[1].handle(now, Input::Frame(frame.clone()));
    }
    // After a minute, the first nine bad frames no longer count.
    net.run(60_000);
    for _ in 0..9 {
        let now = net.now;
        net.nodes[1].handle(now, Input::Frame(frame.clone()));
    }
    assert_eq!(causes(&net), []);
    assert_eq!(net.states(1), [PeerState::Live]);
    net.run(1000);
    let now = net.now;
    net.nodes[1].handle(now, Input::Frame(frame.clone()));
    assert_eq!(causes(&net), [GoneReason::BadFrames]);
    assert_eq!(net.states(1), [PeerState::Dead]);
    assert_eq!(net.view(1, "root"), net.ids(&[(1, 2)]));
    net.run(29_500);
    assert_eq!(net.states(1), [PeerState::Dead], "its beats do not bring it back yet");
    net.run(2500);
    assert_eq!(net.states(1), [PeerState::Live]);
    assert_eq!(net.view(1, "root").len(), 2);
    assert_eq!(net.nodes[1].cluster.statistics().refused["malformed"], 19);
}

#[test]
fn bad_stream_frames_count() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    net.run(1500);
    net.nodes[1].events.clear();
    // Cut off every stream frame within an item.
    net.change = Box::new(|from, frame| {
        let keep = frame.len() - usize::from(from == 0 && is_numbered(frame));
        frame.slice(..keep)
    });
    net.say(0, 1, "root", "chat", "cut off");
    net.run(20_000);
    assert_eq!(causes(&net), [GoneReason::BadFrames]);
    assert_eq!(net.nodes[1].cluster.statistics().refused["malformed"], 10);
}

#[test]
fn peer_is_reported_once_per_outage() {
    let mut net = Net::new(3);
    net.run(2000);
    let live = |net: &Net| {
        let events = net.nodes[1].events.iter();
        let name = |event: &Event| match event {
            Event::PeerLive { name, .. } => Some(name.to_string()),
            _ => None,
        };
        let mut names: Vec<String> = events.filter_map(name).collect();
        names.sort();
        names
    };
    assert_eq!(live(&net), ["node 1", "node 3"]);
    // A restart of the stream is not reported as a return of the peer.
    net.open(0, 1);
    net.lose = Box::new(|from, _, frame| from == 0 && is_numbered(frame));
    net.run(3000);
    net.lose = Box::new(|_, _, _| false);
    net.run(2000);
    assert!(!net.nodes[1].cluster.statistics().resets.is_empty());
    assert_eq!(live(&net), ["node 1", "node 3"]);
    net.nodes[0].is_up = false;
    net.run(6000);
    net.nodes[0].is_up = true;
    net.run(3000);
    assert_eq!(live(&net), ["node 1", "node 1", "node 3"]);
}
