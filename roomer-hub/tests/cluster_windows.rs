//! Frames that wait until a peer acknowledges earlier ones, and requests for acknowledged frames.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use roomer_hub::cluster::{Config, Input};
use roomer_proto::cluster::{FrameKind, FrameRange, Head, Item, Items, StreamPosition};

use crate::support::net::{Net, Node};

/// The maximum number of unacknowledged bytes, and one frame.
const MAX_IN_FLIGHT: usize = 600 * 1024;

const ROOMS: usize = 250;

/// The time that the slow broker of a test takes to deliver a frame.
const DELAY: Duration = Duration::from_millis(300);

/// Returns the stream and number of a stream frame.
fn position(frame: &Bytes) -> Option<(u32, u64)> {
    match Head::decode(frame).expect("a frame").0.kind {
        FrameKind::Stream { stream, number, .. } => Some((stream, number)),
        FrameKind::Control => None,
    }
}

/// Returns the size of the frames in flight to a node, in bytes.
fn in_flight(net: &Net, node: usize) -> usize {
    net.wire.iter().filter(|(to, _)| *to == node).map(|(_, frame)| frame.len()).sum()
}

/// Returns a frame in which the second node requests frames of the first node's stream.
fn resend_request(net: &Net, demand: FrameRange) -> Bytes {
    let mut request = Vec::new();
    let from = net.nodes[1].cluster.node();
    let (head, _) = Head::decode(net.own_frame(1)).expect("a frame");
    Head { from, kind: FrameKind::Control, ..head }.encode(&mut request);
    Item::Resend(demand).encode(&mut request);
    request.into()
}

/// Starts a second node, which requests the member list of the first, of 4,000 bytes for each room.
fn join_large_node(rooms: usize, configure: impl Fn(&mut Config)) -> Net {
    let mut net = Net::configured(1, &configure);
    net.open(0, 1);
    for room in 0..rooms {
        net.say(0, 1, &format!("{room:04000}"), "join", "");
    }
    let now = net.now;
    net.nodes.push(Node::configured(2, now, configure));
    net.nodes[1].handle(now, Input::Up { max_payload: 1 << 20 });
    net
}

/// Delivers frames until the second node shows all members. Returns the largest number of bytes in
/// flight to that node.
fn deliver_members(net: &mut Net) -> usize {
    let (mut most, mut turns) = (0, 0);
    while net.nodes[1].hub.tables().room_count() <= ROOMS {
        // Changes during the transfer follow it.
        net.say(0, 1, "lobby", "join", "");
        net.say(0, 1, "lobby", "leave", "");
        net.publish();
        let bytes = in_flight(net, 1);
        most = most.max(bytes);
        turns += 1;
        assert!(turns < 1000, "the member list is not sent");
        net.deliver();
        net.tick(1);
    }
    most
}

#[test]
fn member_list_is_sent_a_window_at_a_time() {
    let mut net = join_large_node(ROOMS, |config| config.journal_bytes = 4 << 20);
    let most = deliver_members(&mut net);
    assert!((MAX_IN_FLIGHT / 2..MAX_IN_FLIGHT).contains(&most), "{most} bytes in flight");
    net.open(1, 2);
    net.run(1500);
    net.say(0, 1, "root", "chat", "after");
    net.run(10);
    assert!(net.received(1, 2).contains(&"chat root after".into()));
    assert!(net.nodes[1].cluster.statistics().resets.is_empty());
}

#[test]
fn member_list_larger_than_journal_survives_lost_window() {
    let mut net = join_large_node(ROOMS, |config| config.journal_bytes = 600 * 1024);
    let mut lost = 0;
    net.lose = Box::new(move |from, to, frame| {
        let is_lost = from == 0
            && to == 1
            && position(&Bytes::copy_from_slice(frame)).is_some_and(|(_, number)| number > 8)
            && lost < 4;
        lost += u64::from(is_lost);
        is_lost
    });
    deliver_members(&mut net);
    let statistics = net.nodes[1].cluster.statistics();
    assert_eq!((statistics.repaired, statistics.resets.len()), (1, 0));
}

/// A broker that delivers each frame after [`DELAY`].
#[derive(Default)]
struct SlowBroker(VecDeque<(Duration, (usize, Bytes))>);

impl SlowBroker {
    /// Runs the nodes until a condition is true.
    #[track_caller]
    fn run_until(&mut self, net: &mut Net, is_done: impl Fn(&Net) -> bool) {
        let end = net.now + DELAY * 40;
        while !is_done(net) {
            assert!(net.now < end, "the condition is not met");
            net.publish();
            let now = net.now;
            self.0.extend(net.wire.drain(..).map(|frame| (now + DELAY, frame)));
            let arrived = self.0.iter().take_while(|(at, _)| *at <= now).count();
            net.wire.extend(self.0.drain(..arrived).map(|(_, frame)| frame));
            net.deliver();
            net.tick(10);
        }
    }
}

#[test]
fn slow_broker_does_not_restart_member_list() {
    let mut net = join_large_node(2 * ROOMS, |_| {});
    SlowBroker::default()
        .run_until(&mut net, |net| net.nodes[1].hub.tables().room_count() > 2 * ROOMS);
    let statistics = net.nodes[1].cluster.statistics();
    let (demands, repaired) = (statistics.demands, statistics.repaired);
    assert_eq!((demands, repaired, statistics.resets.len()), (0, 0, 0));
}

#[test]
fn request_for_unpublished_frames_of_member_list_acknowledges_earlier_ones() {
    let mut net = join_large_node(ROOMS, |_| {});
    net.lose = Box::new(|from, _, frame| {
        let (_, body) = Head::decode(frame).expect("a frame");
        from == 1 && Items::new(body).any(|item| matches!(item, Ok(Item::Applied(_))))
    });
    let mut last = None;
    for _ in 0..10 {
        net.publish();
        let sent = net.wire.iter().filter(|(to, _)| *to == 1).filter_map(|(_, f)| position(f));
        last = sent.max().or(last);
        net.deliver();
    }
    assert_eq!(in_flight(&net, 1), 0);
    let (stream, last) = last.expect("a stream");
    let request = resend_request(&net, FrameRange { stream, first: last + 1, last: last + 2 });
    let now = net.now;
    net.nodes[0].handle(now, Input::Frame(request));
    net.publish();
    let sent: Vec<_> = net.wire.iter().filter_map(|(_, frame)| position(frame)).collect();
    assert_eq!(sent.first(), Some(&(stream, last + 1)));
    assert!(in_flight(&net, 1) > MAX_IN_FLIGHT / 2, "{} bytes in flight", in_flight(&net, 1));
}

#[test]
fn frame_that_waited_for_member_list_can_be_repaired() {
    let mut net = join_large_node(2 * ROOMS, |config| {
        config.journal_time = Duration::from_secs(2);
        config.repair_timeout = Duration::from_secs(2);
    });
    net.open(1, 2);
    let mut broker = SlowBroker::default();
    broker.run_until(&mut net, |net| net.view(0, "root").len() == 2);
    // The messages fill frames, which wait until the list is sent. The last two are then lost, which
    // only a heartbeat reveals.
    let mut messages = 0;
    net.lose = Box::new(move |from, _, frame| {
        messages += u32::from(from == 0 && frame.ends_with(&[b'x'; 100]));
        (4..=5).contains(&messages) && frame.ends_with(&[b'x'; 100])
    });
    for _ in 0..5 {
        net.say(0, 1, "root", "chat", &"x".repeat(60_000));
    }
    broker.run_until(&mut net, |net| net.nodes[1].received.len() >= 5);
    let statistics = net.nodes[1].cluster.statistics();
    assert_eq!((statistics.repaired, statistics.resets.len()), (1, 0));
}

#[test]
fn acknowledged_frames_are_not_sent_again() {
    let mut net = Net::new(2);
    net.open(0, 1);
    net.open(1, 2);
    net.run(1500);
    // The node acknowledges 256 KiB, and some frames are sent after that.
    let text = "x".repeat(40_000);
    let (mut sent, mut applied) = (Vec::new(), StreamPosition::default());
    for _ in 0..10 {
        net.say(0, 1, "root", "chat", &text);
        net.publish();
        sent.extend(net.wire.iter().filter(|(to, _)| *to == 1).filter_map(|(_, f)| position(f)));
        net.deliver();
        net.publish();
        for (_, frame) in &net.wire {
            for item in Items::new(Head::decode(frame).expect("a frame").1) {
                if let Ok(Item::Applied(position)) = item {
                    applied = position;
                }
            }
        }
        net.deliver();
    }
    let [(stream, first), .., (_, last)] = sent[..] else { panic!("{sent:?}") };
    assert!(applied.number > first && applied.number < last, "{applied:?} of {sent:?}");
    // A request that was sent when all these frames were missing arrives late, twice.
    let request = resend_request(&net, FrameRange { stream, first, last });
    for _ in 0..2 {
        let now = net.now;
        net.nodes[0].handle(now, Input::Frame(request.clone()));
        net.publish();
        let again: Vec<u64> =
            net.wire.iter().filter_map(|(_, f)| position(f)).map(|(_, number)| number).collect();
        assert_eq!(again, (applied.number + 1..=last).collect::<Vec<_>>());
        net.wire.clear();
    }
    // Once everything is acknowledged, nothing is sent.
    net.run(1500);
    let now = net.now;
    net.nodes[0].handle(now, Input::Frame(request));
    net.publish();
    assert_eq!(in_flight(&net, 1), 0);
}
