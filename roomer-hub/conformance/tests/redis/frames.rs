//! Tests the exchange of frames between nodes over Redis.

use roomer_engine::cluster::CarrierEvent;
use rustix::process::Signal;

use super::*;

#[test]
fn frames_of_every_length_arrive_in_order() {
    Runtime::run(async {
        let server = Redis::start(&[]);
        let address = server.address("");
        let (mut a, mut b) = (Node::new(1, &address), Node::up(2, &address).await);
        let max = a.expect_up().await;
        assert_eq!(max, 1_048_576);
        let lengths = [0, 1, 2, 100, 4095, 4096, 4097, 65_535, 65_536, 300_000, max - 1, max];
        let to = Subject::Node(b.id);
        let send = async {
            for length in lengths {
                a.publish(to, pattern(length)).await;
            }
            a.flush().await;
        };
        let receive = async {
            for length in lengths {
                assert!(b.frame().await == pattern(length), "{length} bytes");
            }
        };
        join(send, receive).await;
        assert!(!a.carrier.publish(to, pattern(max + 1).into()));
        a.publish(Subject::All, "after").await;
        a.flush().await;
        assert_eq!(b.frame().await, "after");
        // The node receives the frame that it has published itself, after the replies to everything
        // that it sent before.
        assert_eq!(a.frame().await, "after");
    });
}

#[test]
fn many_small_frames_arrive_in_order() {
    const COUNT: u32 = 20_000;
    Runtime::run(async {
        let server = Redis::start(&[]);
        let address = server.address("");
        let (mut a, mut b) = (Node::up(1, &address).await, Node::up(2, &address).await);
        let to = Subject::Node(b.id);
        let send = async {
            for number in 0..COUNT {
                a.publish(to, number.to_be_bytes().to_vec()).await;
            }
            a.publish(Subject::Node(a.id), "all are answered").await;
            a.flush().await;
            assert_eq!(a.frame().await, "all are answered");
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
    Runtime::run(async {
        let server = Redis::start(&[]);
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
        // A node of another cluster must not receive any of the frames.
        let mut friend = Node::of("chat2", 9, &address);
        friend.expect_up().await;
        friend.publish(Subject::All, "hello").await;
        friend.flush().await;
        assert_eq!(stranger.frame().await, "hello");
    });
}

#[test]
fn oversized_frame_is_rejected_and_others_arrive() {
    Runtime::run(async {
        let server = Redis::start(&[]);
        let address = server.address("");
        let (mut a, mut b) = (Node::up(1, &address).await, Node::up(2, &address).await);
        let to = Subject::Node(b.id);
        server.signal(Signal::STOP);
        // The sockets fill up first, and then the carrier.
        let (mut taken, mut rejected) = (0, 0);
        while rejected < 2 {
            if a.carrier.publish(to, pattern(10_000 + taken).into()) {
                (taken, rejected) = (taken + 1, 0);
                continue;
            }
            rejected += 1;
            _ = poll_fn(|cx| Poll::Ready(a.carrier.poll_flush(cx))).await;
        }
        server.signal(Signal::CONT);
        let receive = async {
            for number in 0..taken {
                assert!(b.frame().await == pattern(10_000 + number), "frame {number} of {taken}");
            }
        };
        join(a.flush(), receive).await;
    });
}

#[test]
fn slow_node_is_disconnected_and_reconnects() {
    Runtime::run(async {
        let server = Redis::start(&["--client-output-buffer-limit", "pubsub", "100kb", "0", "0"]);
        let address = server.address("");
        let (mut a, mut b) = (Node::up(1, &address).await, Node::up(2, &address).await);
        // Publish more than the buffers of the sockets can hold while `b` does not read.
        for _ in 0..60 {
            a.publish(Subject::Node(b.id), pattern(1_000_000)).await;
        }
        a.publish(Subject::Node(a.id), "all are read").await;
        a.flush().await;
        assert_eq!(a.frame().await, "all are read");
        let reason = loop {
            match b.event().await {
                CarrierEvent::Frame(frame) => {
                    assert!(frame == pattern(1_000_000));
                }
                CarrierEvent::Down(reason) => break reason,
                other => panic!("{other:?}"),
            }
        };
        assert!(reason.contains("the connection"), "{reason}");
        b.expect_up().await;
        a.publish(Subject::Node(b.id), "after").await;
        a.flush().await;
        assert_eq!(b.frame().await, "after");
    });
}
