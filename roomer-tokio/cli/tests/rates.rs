//! Tests the rates of messages and joins in rooms that a rule matches.
//!
//! A second client shows the delay: it acts after the first client has used its burst, but before
//! the first client's remaining messages or joins are handled. Without a rate, they are handled with
//! the burst.

use std::io::Write;
use std::process::Stdio;

use roomer_proto::{JOIN_ACK, NEW_MEMBER, PacketRef};

use crate::support::socket::Socket;
use crate::support::{Running, Serving, Tail, TempFile, roomer, run, run_with, succeeds};

#[test]
fn messages_above_rate_are_delayed_in_order() {
    let rule = "[[room]]\npattern = \"slow-*\"\nrate = \"2 burst 10\"\n";
    let file = TempFile::new("rates.toml", rule);
    let serving = Serving::start(&[file.path()]);
    let lines: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    for room in ["slow-room", "slow-direct"] {
        let mut tail = Tail::start(&serving, room, &[]);
        let id = tail.id();
        let to: &[&str] = if room == "slow-direct" { &["--to", &id] } else { &[] };
        let send = [&["send", &serving.url, room, "chat"], to].concat();
        let mut sender = roomer(&send);
        sender.arg("--lines").stdin(Stdio::piped()).stdout(Stdio::null());
        let mut sender = Running(sender.spawn().unwrap());
        let mut input = sender.0.stdin.take().unwrap();
        input.write_all(format!("{}\n", lines.join("\n")).as_bytes()).unwrap();
        let mut text = || tail.message()["text"].as_str().unwrap().to_owned();
        lines[..10].iter().for_each(|line| assert_eq!(text(), *line));
        succeeds(&run(&[&send[..], &["other"]].concat()));
        let mut rest = lines[10..].iter();
        loop {
            match text() {
                other if other == "other" => break,
                line => assert_eq!(Some(&line), rest.next()),
            }
        }
        let next = rest.next().expect("a message after that of the second client");
        assert_eq!(text(), *next);
    }
}

#[test]
fn joins_above_rate_are_delayed_in_order() {
    let rule = "[[room]]\npattern = \"door-*\"\njoin_rate = \"2 burst 3\"\n";
    let file = TempFile::new("rates.toml", rule);
    let serving = Serving::start(&[file.path()]);
    let [mut first, mut second] = [(); 2].map(|()| Socket::open(&serving));
    let doors: Vec<_> = (0..100).map(|door| format!("door-{door}")).collect();
    doors.iter().for_each(|door| first.join(door));
    doors[..3].iter().for_each(|door| assert_eq!(first.answer_to_join(door), JOIN_ACK));
    second.join("door-0");
    let mut rest = doors[3..].iter();
    loop {
        let frame = first.next();
        let packet = PacketRef::decode(&frame.content).unwrap();
        match packet.event {
            NEW_MEMBER if packet.room == "door-0" => break,
            JOIN_ACK => assert_eq!(Some(packet.room), rest.next().map(|door| &**door)),
            _ => {}
        }
    }
    let next = rest.next().expect("a join after that of the second client");
    assert_eq!(first.answer_to_join(next), JOIN_ACK);
}

/// Unlike the tests above, waits for all delayed messages and joins, at a rate that makes this short.
#[test]
fn delayed_messages_and_joins_are_not_lost() {
    let rule = "[[room]]\npattern = \"*\"\nrate = \"100 burst 10\"\njoin_rate = \"100 burst 3\"\n";
    let file = TempFile::new("rates.toml", rule);
    let serving = Serving::start(&[file.path()]);
    let lines: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    let mut tail = Tail::start(&serving, "slow-room", &[]);
    tail.id();
    let send = ["send", &serving.url, "slow-room", "chat", "--lines"];
    succeeds(&run_with(&send, format!("{}\n", lines.join("\n")).as_bytes()));
    lines.iter().for_each(|line| assert_eq!(tail.message()["text"], **line));

    let mut client = Socket::open(&serving);
    let doors: Vec<_> = (0..100).map(|door| format!("door-{door}")).collect();
    doors.iter().for_each(|door| client.join(door));
    doors.iter().for_each(|door| assert_eq!(client.answer_to_join(door), JOIN_ACK));
}
