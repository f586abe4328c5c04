//! Servers that send arbitrary data.
//!
//! The client must not panic, and its memory must be bounded by the received bytes.

use std::time::Duration;

use proptest::prelude::*;
use roomer_proto::client::{Client, Options, State};
use roomer_proto::{PacketRef, ROOT, websocket};

use super::support::*;

/// Event names with a meaning for clients, and one without.
const EVENTS: [&str; 13] = [
    "join_ack",
    "leave_ack",
    "new_member",
    "member_left",
    "roomer:hello",
    "roomer:ack",
    "roomer:members",
    "roomer:expiring",
    "roomer:error",
    "join",
    "open",
    "chat",
    "",
];
const ROOMS: [&str; 4] = ["root", "lobby", "\0probe", ""];
const OTHER: &str = "09090909-0909-4909-8909-090909090909";

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let hello = |received: u64, is_resumed: bool| {
        format!(
            "{{\"session\":\"t\",\"resumed\":{is_resumed},\"received\":{received},\"heartbeat\":0}}"
        )
    };
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        (0..5u64).prop_map(|count| count.to_string().into_bytes()),
        (0..5u64, any::<bool>()).prop_map(move |(n, resumed)| hello(n, resumed).into_bytes()),
        Just(format!("[\"{ID}\",\"{OTHER}\"]").into_bytes()),
        Just(format!("{{\"members\":[[\"{ID}\",{{}}]],\"left\":[\"{OTHER}\"]}}").into_bytes()),
        Just(format!("{{\"joined\":[[\"{OTHER}\",1]],\"count\":-3,\"in\":1e99}}").into_bytes()),
        Just(OTHER.as_bytes().to_vec()),
        Just(b"[[[[[[[[[[[[".repeat(20)),
    ]
}

/// A step of a test: something that the client's driver or application does.
#[derive(Clone, Debug)]
enum Step {
    Packet { room: usize, event: usize, dst: bool, src: usize, payload: Vec<u8> },
    Bytes(Vec<u8>),
    Close(u16, String),
    Call(u8),
    Pass(u64),
    End,
}

fn step() -> impl Strategy<Value = Step> {
    let names = (0..ROOMS.len(), 0..EVENTS.len(), any::<bool>(), 0..3usize);
    prop_oneof![
        8 => (names, payload()).prop_map(|((room, event, dst, src), payload)| {
            Step::Packet { room, event, dst, src, payload }
        }),
        1 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Step::Bytes),
        1 => (prop_oneof![Just(1008u16), 1000..1016u16, Just(4000)], "rate|retry=[0-9]{1,22}|.{0,9}")
            .prop_map(|(code, reason)| Step::Close(code, reason)),
        6 => any::<u8>().prop_map(Step::Call),
        3 => (0..40_000u64).prop_map(Step::Pass),
        1 => Just(Step::End),
    ]
}

/// Acts as the driver, and answers the handshake of a new connection.
fn drive(client: &mut Client, now: Duration) {
    for _ in 0..20 {
        match client.poll(now, now.as_nanos() as u64) {
            None => break,
            Some(roomer_proto::client::Action::Connect) => {
                client.connected(&"ws://h/ws".parse().unwrap(), KEY);
                client.transmit(now, &mut Vec::new(), &mut || [9; 4]);
                client.receive(now, &mut RESPONSE.as_bytes().to_vec());
            }
            Some(_) => {}
        }
    }
    while client.transmit(now, &mut Vec::new(), &mut || [9; 4]) {}
}

fn call(client: &mut Client, now: Duration, number: u8) {
    let room = ["lobby", ROOT, "other"][usize::from(number / 8 % 3)];
    match number % 8 {
        0 | 1 => _ = client.join(now, room),
        2 => client.leave(now, room),
        3 => client.wake(now),
        4 => _ = client.renew(now, "token"),
        5 => client.progressed(now),
        _ => _ = client.send(now, room, "chat", (number > 200).then_some(OTHER), &[number; 9]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_server_bytes_do_not_panic(steps in proptest::collection::vec(step(), 1..60)) {
        let mut client = Client::new(Options::default());
        let mut now = NOW;
        for step in steps {
            drive(&mut client, now);
            match step {
                Step::Packet { room, event, dst, src, payload } => {
                    let dst = if dst { OTHER } else { "" };
                    let src = ["", ID, OTHER][src];
                    let (room, event) = (ROOMS[room], EVENTS[event]);
                    let packet = PacketRef { room, event, dst, src, payload: &payload };
                    let mut frame = Vec::new();
                    websocket::packet_frame(&packet, &mut frame).unwrap();
                    client.receive(now, &mut frame);
                }
                Step::Bytes(mut bytes) => client.receive(now, &mut bytes),
                Step::Close(code, reason) => {
                    let mut frame = Vec::new();
                    websocket::close_frame(Some(code), &reason, &mut frame);
                    client.receive(now, &mut frame);
                }
                Step::Call(number) => call(&mut client, now, number),
                Step::Pass(millis) => now += Duration::from_millis(millis),
                Step::End => client.disconnected(now),
            }
            let mut count = 0;
            while client.next_event().is_some() {
                count += 1;
            }
            prop_assert!(count < 400);
        }
        // Whatever the server sent, the client is now closed, or reconnects within the longest
        // delay.
        client.disconnected(now);
        drive(&mut client, now);
        if client.state() != State::Closed {
            let due = client.deadline(now).unwrap();
            prop_assert!(due <= now + Duration::from_secs(3600), "{due:?}");
        }
    }

    #[test]
    fn announced_length_allocates_nothing(length in 126..u64::MAX >> 1) {
        let mut client = upgraded();
        let mut frame = vec![0x82, 127];
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&[0; 100]);
        client.receive(NOW, &mut frame);
        prop_assert!(client.held() < 1000, "{}", client.held());
    }
}
