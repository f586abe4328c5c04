//! Tests the order of messages when many clients send at the same time.

use std::io::Write;
use std::thread;

use super::members::Member;
use super::test_server::{TestServer, expect_nothing};
use roomer_conformance::client::Client;
use roomer_conformance::wire;

/// Encodes numbered messages in one buffer: broadcasts and direct messages, alternately.
fn mixed(room: &str, dst: &str, count: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..count {
        bytes.extend(wire::to_room(room, "all", &n.to_be_bytes()));
        bytes.extend(wire::to_client(dst, room, "one", &n.to_be_bytes()));
    }
    bytes
}

#[test]
fn broadcasts_and_direct_messages_keep_sender_order() {
    let test = TestServer::start();
    let [mut a, mut b, mut c] = test.clients_in("lobby");
    let id = b.id.clone();
    let bytes = mixed("lobby", &id, 500);
    thread::scope(|scope| {
        scope.spawn(|| a.send(&bytes));
        // The order between broadcasts and direct messages is not specified.
        let (mut all, mut one) = (0u32, 0u32);
        for _ in 0..1000 {
            let packet = b.expect_packet();
            let next = if packet.event == "all" { &mut all } else { &mut one };
            assert_eq!(packet.payload, next.to_be_bytes(), "{}", packet.event);
            *next += 1;
        }
        assert_eq!((all, one), (500, 500));
        for n in 0..500u32 {
            assert_eq!(c.expect_packet().payload, n.to_be_bytes());
        }
    });
    expect_nothing([&mut a, &mut b, &mut c]);
}

#[test]
fn direct_message_does_not_overtake_earlier_room_messages() {
    // The protocol does not specify this order. The engine guarantees it, and `expect_nothing`
    // relies on it.
    let test = TestServer::start();
    let mut members: [Client; 20] = test.clients_in("lobby");
    let [a, others @ ..] = &mut members;
    for n in 0..50u8 {
        let mut bytes = wire::to_room("lobby", "all", &[n]);
        bytes.extend(wire::to_client(&others[0].id, "lobby", "one", &[n]));
        a.send(&bytes);
        for other in &mut *others {
            other.expect("lobby", "all", "", &a.id, &[n]);
        }
        let id = others[0].id.clone();
        others[0].expect("lobby", "one", &id, &a.id, &[n]);
    }
}

/// A backlog that these tests cannot fill, since slow readers are not under test.
const PLENTY: usize = 64 << 20;

/// Makes half of the members send at the same time; every tenth message is large. All members must
/// receive the same messages in the same order.
fn all_members_receive_same_messages<const N: usize>(count: u32, large: usize) {
    let test = TestServer::with(|builder| builder.max_backlog(PLENTY));
    let mut members: [Client; N] = test.clients_in("lobby");
    let ids = members.each_ref().map(|member| member.id.clone());
    let speakers = N / 2;
    let filler = wire::filler(large);
    let payload = |n: u32| {
        let size = if n % 10 == 9 { large } else { 10 };
        [&n.to_be_bytes(), &filler[..size]].concat()
    };
    let mut streams = Vec::new();
    for member in &members[..speakers] {
        streams.push(member.stream.try_clone().unwrap());
    }
    let received: Vec<Vec<(String, u32)>> = thread::scope(|scope| {
        for mut stream in streams {
            scope.spawn(move || {
                for n in 0..count {
                    let message = wire::to_room("lobby", "hello", &payload(n));
                    stream.write_all(&message).unwrap();
                }
            });
        }
        let listeners = members.iter_mut().enumerate().map(|(index, member)| {
            let expected = (speakers - usize::from(index < speakers)) * count as usize;
            scope.spawn(move || {
                let next_packet = |_| {
                    let packet = member.expect_packet();
                    assert_eq!((&*packet.event, &*packet.dst), ("hello", ""));
                    let n = u32::from_be_bytes(*packet.payload.first_chunk().unwrap());
                    assert!(packet.payload == payload(n), "message {n} came back changed");
                    (packet.src, n)
                };
                let received = (0..expected).map(next_packet).collect();
                member.expect_nothing();
                received
            })
        });
        let listeners: Vec<_> = listeners.collect();
        listeners.into_iter().map(|listener| listener.join().unwrap()).collect()
    });
    // The last member does not send, and therefore receives every message.
    let all = &received[N - 1];
    for (index, received) in received.iter().enumerate() {
        let others: Vec<_> = all.iter().filter(|(src, _)| *src != ids[index]).collect();
        assert!(received.iter().eq(others), "member {index} received another order");
    }
    for id in &ids[..speakers] {
        let own = all.iter().filter(|(src, _)| src == id).map(|(_, n)| *n);
        assert!(own.eq(0..count), "a speaker's messages were lost or out of order");
    }
}

#[test]
fn small_room_members_receive_same_order() {
    all_members_receive_same_messages::<6>(300, 1000);
}

#[test]
fn large_room_members_receive_same_order() {
    all_members_receive_same_messages::<24>(100, 1000);
}

#[test]
fn large_messages_are_received_in_same_order() {
    all_members_receive_same_messages::<12>(40, 200_000);
}

#[test]
fn notices_and_broadcasts_have_same_order_for_all() {
    let test = TestServer::start();
    let [a, b, mut end] = test.clients_in("square");
    let members = [&a.id, &b.id, &end.id].map(String::clone);
    thread::scope(|scope| {
        let listeners = [a, b].map(|client| {
            let members = members.clone().into_iter().collect();
            scope.spawn(move || {
                let mut member = Member { client, room: "square", members };
                let mut received = Vec::new();
                loop {
                    let before = member.members.len();
                    match member.next_packet() {
                        Some(packet) if packet.event == "end" => return (received, member.members),
                        Some(packet) => {
                            received.push(format!("{} {:?}", packet.src, packet.payload))
                        }
                        None => received.push(format!("{before} to {:?}", member.members)),
                    }
                }
            })
        });
        let visitors = [0, 1, 2, 3].map(|_| {
            let mut visitor = test.roomless_client();
            scope.spawn(move || {
                for n in 0..50 {
                    let visit = [
                        wire::to_room("square", "join", b""),
                        wire::to_room("square", "hello", &[n]),
                        wire::to_room("square", "leave", b""),
                    ];
                    visitor.send(&visit.concat());
                    while visitor.expect_packet().event != "leave_ack" {}
                }
            })
        });
        visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
        end.send_to_room("square", "end", b"");
        let [(one, left), (other, right)] = listeners.map(|listener| listener.join().unwrap());
        // By the time the last message was sent, the visitors had left.
        assert_eq!((left, right), (members.clone().into(), members.into()));
        assert_eq!(one.len(), 4 * 50 * 3);
        assert_eq!(one, other);
    });
}

#[test]
fn member_is_announced_before_and_removed_after_its_messages() {
    // `Member::next_packet` checks that the sender of each message is a member. Here, the three
    // packets arrive together.
    let test = TestServer::start();
    let [client, mut visitor] = test.roomless_clients();
    let mut member = Member::join(client, "square");
    for n in 0..200u8 {
        let visit = [
            wire::to_room("square", "join", b""),
            wire::to_room("square", "hello", &[n]),
            wire::to_room("square", "leave", b""),
        ];
        visitor.send(&visit.concat());
        member.settle(2);
        assert_eq!(member.next_packet().expect("a broadcast").payload, [n]);
        member.settle(1);
        assert_eq!(visitor.expect_packet().event, "join_ack");
        visitor.expect_left("square");
    }
}

/// Sends to the room constantly, but stays only a few messages ahead of those that it has received.
fn make_noise(mut client: Client) {
    let id = client.id.clone();
    let mut noise = wire::to_room("square", "noise", b"x").repeat(10);
    noise.extend(wire::to_client(&id, "", "heard", b""));
    loop {
        client.send(&noise);
        loop {
            match &*client.expect_packet().event {
                "heard" => break,
                "quiet" => return,
                _ => {}
            }
        }
    }
}

#[test]
fn room_traffic_arrives_between_join_ack_and_leave_ack() {
    let test = TestServer::start();
    let noisy: [Client; 3] = test.clients_in("square");
    let mut guest = Member { client: test.roomless_client(), room: "square", members: [].into() };
    thread::scope(|scope| {
        let noisy = noisy.map(|client| scope.spawn(|| make_noise(client)));
        for _ in 0..200 {
            // `rejoin` checks that the next packet is a `join_ack`, and that no packet follows
            // `leave_ack`.
            guest.rejoin();
            assert!(guest.next_packet().is_some_and(|packet| packet.event == "noise"));
            guest.leave();
        }
        guest.rejoin();
        guest.client.send_to_room("square", "quiet", b"");
        noisy.into_iter().for_each(|noisy| noisy.join().unwrap());
    });
}
