//! Frames between nodes.

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
        // Larger than the server accepts: rejected here, since the server would end the link for it.
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
fn a_frame_reaches_its_receivers_and_no_other() {
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
        // The sender's own frame does not come back, and another cluster does not receive any.
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

#[test]
fn above_the_bound_a_frame_is_rejected_and_all_others_arrive() {
    each_server(async |program| {
        let server = Nats::start(program, &[]);
        let (mut a, mut b) =
            (Node::up(1, &server.address("")).await, Node::up(2, &server.address("")).await);
        // A stopped server does not read: the sockets are full first, then the carrier.
        server.signal(Signal::STOP);
        let mut taken: u32 = 0;
        let frame = |number: u32| {
            let mut frame = vec![b'x'; 10_000];
            frame[..4].copy_from_slice(&number.to_be_bytes());
            Bytes::from(frame)
        };
        let mut rejected = 0;
        while rejected < 2 {
            if a.carrier.publish(Subject::Node(b.id), frame(taken)) {
                (taken, rejected) = (taken + 1, 0);
                continue;
            }
            rejected += 1;
            // Writes what the sockets hold.
            _ = poll_fn(|cx| Poll::Ready(a.carrier.poll_flush(cx))).await;
        }
        server.signal(Signal::CONT);
        let receive = async {
            for number in 0..taken {
                assert!(b.frame().await == frame(number), "frame {number} of {taken}");
            }
        };
        join(a.flush(), receive).await;
        a.publish(Subject::Node(b.id), frame(taken)).await;
        a.flush().await;
        assert!(b.frame().await == frame(taken));
    });
}

#[test]
fn an_old_server_is_noticed() {
    each_server(async |program| {
        let server = Nats::start(program, &[]);
        let (mut a, mut b) =
            (Node::up(1, &server.address("")).await, Node::up(2, &server.address("")).await);
        b.publish(Subject::All, "").await;
        b.flush().await;
        assert_eq!(a.frame().await, "");
        let version = std::process::Command::new(program).arg("--version").output().unwrap();
        let version = String::from_utf8(version.stdout).unwrap();
        // "nats-server: v2.9.10"
        let minor: u32 = version.split('.').nth(1).unwrap().parse().unwrap();
        assert_eq!(a.notices.len(), usize::from(minor < 11), "{version}: {:?}", a.notices);
    });
}
