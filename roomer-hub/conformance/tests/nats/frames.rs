//! Tests frames between nodes over NATS.

use std::task::Poll;

use futures_util::future::join;
use rustix::process::Signal;

use super::*;

#[test]
fn frames_of_every_length_arrive_in_order() {
    each_server(async |program| {
        let server = Nats::start(program, &[]);
        let (mut a, mut b) =
            (Node::new(1, &server.address("")), Node::up(2, &server.address("")).await);
        let max = a.expect_up().await;
        assert_eq!(max, 1_048_576);
        let lengths = [0, 1, 2, 100, 4095, 4096, 4097, 65_535, 65_536, 300_000, max - 1, max];
        let send = async {
            for length in lengths {
                a.publish(Subject::Node(b.id), pattern(length)).await;
            }
            a.flush().await;
        };
        let receiver = &mut b.carrier;
        let receive = async {
            for length in lengths {
                let event = loop {
                    match poll_fn(|cx| receiver.poll_event(cx)).await {
                        CarrierEvent::Notice(_) => {}
                        event => break event,
                    }
                };
                assert!(event == CarrierEvent::Frame(pattern(length).into()), "{length} bytes");
            }
        };
        join(send, receive).await;
        // If the carrier did not reject a frame above the limit, the server would close the link.
        assert!(!a.carrier.publish(Subject::Node(b.id), pattern(max + 1).into()));
        a.publish(Subject::All, "after").await;
        a.flush().await;
        assert_eq!(b.frame().await, "after");
    });
}

#[test]
fn many_small_frames_arrive_in_order() {
    const COUNT: u32 = 20_000;
    each_server(async |program| {
        let server = Nats::start(program, &[]);
        let (mut a, mut b) =
            (Node::up(1, &server.address("")).await, Node::up(2, &server.address("")).await);
        let to = Subject::Node(b.id);
        let send = async {
            for number in 0..COUNT {
                a.publish(to, number.to_be_bytes().to_vec()).await;
            }
            a.flush().await;
        };
        let receive = async {
            for number in 0..COUNT {
                assert_eq!(b.frame().await, &number.to_be_bytes()[..]);
            }
        };
        join(send, receive).await;
    });
}

#[test]
fn frame_reaches_only_its_receivers() {
    each_server(async |program| {
        let server = Nats::start(program, &[]);
        let address = server.address("");
        let (mut a, mut b) = (Node::up(1, &address).await, Node::up(2, &address).await);
        let mut c = Node::up(3, &address).await;
        let mut stranger = Node::of("chat2", 2, &address);
        stranger.expect_up().await;
        a.publish(Subject::Node(b.id), "to b").await;
        a.publish(Subject::All, "to all").await;
        a.publish(Subject::Node(c.id), "to c").await;
        a.flush().await;
        for due in ["to b", "to all"] {
            assert_eq!(b.frame().await, due);
        }
        for due in ["to all", "to c"] {
            assert_eq!(c.frame().await, due);
        }
        // A node does not receive the frame that it has published itself, and a node of another
        // cluster does not receive any.
        b.publish(Subject::All, "answer").await;
        b.flush().await;
        assert_eq!(a.frame().await, "answer");
        let mut friend = Node::of("chat2", 9, &address);
        friend.expect_up().await;
        friend.publish(Subject::All, "hello").await;
        friend.flush().await;
        assert_eq!(stranger.frame().await, "hello");
    });
}

/// Returns a frame that contains its number.
fn numbered(number: u32) -> Bytes {
    let mut frame = vec![b'x'; 10_000];
    frame[..4].copy_from_slice(&number.to_be_bytes());
    frame.into()
}

/// Publishes frames to a server that is suspended, until the carrier accepts no more: first the
/// sockets fill up, and then the carrier. Returns the number of frames that were accepted.
async fn fill(node: &mut Node, to: Subject) -> u32 {
    let (mut taken, mut rejected) = (0, 0);
    while rejected < 2 {
        if node.carrier.publish(to, numbered(taken)) {
            (taken, rejected) = (taken + 1, 0);
            continue;
        }
        rejected += 1;
        // Write as much as the sockets still accept.
        _ = poll_fn(|cx| Poll::Ready(node.carrier.poll_flush(cx))).await;
    }
    taken
}

async fn expect_numbered(node: &mut Node, count: u32) {
    for number in 0..count {
        assert!(node.frame().await == numbered(number), "frame {number} of {count}");
    }
}

#[test]
fn oversized_frame_is_rejected_and_others_arrive() {
    each_server(async |program| {
        let server = Nats::start(program, &[]);
        let (mut a, mut b) =
            (Node::up(1, &server.address("")).await, Node::up(2, &server.address("")).await);
        let to = Subject::Node(b.id);
        server.signal(Signal::STOP);
        let taken = fill(&mut a, to).await;
        server.signal(Signal::CONT);
        join(a.flush(), expect_numbered(&mut b, taken)).await;
        a.publish(to, "after").await;
        a.flush().await;
        assert_eq!(b.frame().await, "after");
    });
}

#[test]
fn last_frames_arrive_from_node_that_does_not_read() {
    each_server(async |program| {
        let server = Nats::start(program, &[]);
        let address = server.address("");
        let (mut a, mut b) = (Node::up(1, &address).await, Node::up(2, &address).await);
        let mut c = Node::up(3, &address).await;
        // When `b` has received the next frame, this one must be in the socket of `a`, which has
        // not read it.
        c.publish(Subject::Node(a.id), pattern(500_000)).await;
        c.publish(Subject::Node(b.id), "ready").await;
        join(c.flush(), async { assert_eq!(b.frame().await, "ready") }).await;
        let to = Subject::Node(b.id);
        server.signal(Signal::STOP);
        let taken = fill(&mut a, to).await;
        server.signal(Signal::CONT);
        let end = async {
            poll_fn(|cx| a.carrier.poll_close(cx)).await;
            drop(a);
        };
        join(end, expect_numbered(&mut b, taken)).await;
    });
}

#[test]
fn unsupported_server_version_is_detected() {
    each_server(async |program| {
        let server = Nats::start(program, &[]);
        let (mut a, mut b) =
            (Node::up(1, &server.address("")).await, Node::up(2, &server.address("")).await);
        b.publish(Subject::All, "").await;
        b.flush().await;
        assert_eq!(a.frame().await, "");
        let version = std::process::Command::new(program).arg("--version").output().unwrap();
        let version = String::from_utf8(version.stdout).unwrap();
        // The version has the form "nats-server: v2.9.10".
        let minor: u32 = version.split('.').nth(1).unwrap().parse().unwrap();
        assert_eq!(a.notices.len(), usize::from(minor < 11), "{version}: {:?}", a.notices);
    });
}
