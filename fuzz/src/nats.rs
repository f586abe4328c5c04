//! Fuzzes the client's side of the NATS protocol with arbitrary bytes from the server.

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;
use roomer_engine::cluster::broker::{BrokerConnection, BrokerEvent};
use roomer_engine::cluster::nats::Connection;
use roomer_engine::cluster::{NodeId, Subject, Subjects};
use serde_json::Value;

/// This precedes the input if its second byte is odd, so that the connection is up when the input
/// begins.
const GREETING: &[u8] = b"INFO {\"version\":\"2.15.1\",\"max_payload\":100}\r\nPONG\r\n";

/// An event. The text of its reason is omitted.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Secure,
    Up(usize),
    Frame(Vec<u8>),
    Down,
}

/// Checks, for arbitrary bytes, that a connection reports the same events as a second, simple parser,
/// answers each ping as long as it is up, and does not panic. The result must not depend on how the
/// bytes are split into chunks.
///
/// The low four bits of the first byte are the number of chunk sizes, which follow the second byte.
/// Each size is stored minus one, and they are used in a cycle. All other bytes are the server's
/// input.
pub fn nats(data: &[u8]) {
    let [count, is_up, rest @ ..] = data else {
        return;
    };
    let (sizes, rest) = rest.split_at(rest.len().min(usize::from(count & 0x0f)));
    let sizes: Vec<usize> = sizes.iter().map(|size| usize::from(*size) + 1).collect();
    let greeting = if is_up & 1 == 1 { GREETING } else { b"" };
    let wire = [greeting, rest].concat();

    let whole = run(&wire, &[wire.len().max(1)]);
    let (seen, pongs) = model(&wire);
    assert_eq!(whole.0, seen, "{}", wire.escape_ascii());
    if seen.last() != Some(&Seen::Down) {
        assert_eq!(count_of(&whole.1, b"PONG\r\n"), pongs, "{}", wire.escape_ascii());
    }
    assert_eq!(run(&wire, &[1]), whole, "byte by byte: {}", wire.escape_ascii());
    if !sizes.is_empty() {
        assert_eq!(run(&wire, &sizes), whole, "in chunks of {sizes:?}: {}", wire.escape_ascii());
    }
}

/// Returns the events, and the bytes that the connection has sent.
fn run(wire: &[u8], sizes: &[usize]) -> (Vec<Seen>, Vec<u8>) {
    let address = "nats://user:password@broker".parse().expect("an address");
    let subjects = Subjects::new("chat", NodeId(1)).expect("a prefix");
    let mut connection = Connection::new(&address, &subjects, Duration::ZERO);
    let mut seen = Vec::new();
    let mut rest = wire;
    for size in sizes.iter().cycle() {
        if rest.is_empty() || seen.last() == Some(&Seen::Secure) {
            break;
        }
        let (chunk, behind) = rest.split_at(rest.len().min(*size));
        rest = behind;
        connection.receive(chunk, Duration::ZERO);
        while let Some(event) = connection.next_event() {
            match event {
                BrokerEvent::Secure => seen.push(Seen::Secure),
                BrokerEvent::Up { max_payload } => seen.push(Seen::Up(max_payload)),
                BrokerEvent::Frame(frame) => seen.push(Seen::Frame(frame.to_vec())),
                BrokerEvent::Down(reason) => {
                    assert!(
                        reason.len() < 1500 && !reason.contains(char::is_control),
                        "{reason:?}"
                    );
                    seen.push(Seen::Down);
                }
                BrokerEvent::Notice(_) => {}
            }
        }
    }
    let mut sent = Vec::new();
    while connection.has_output() {
        let mut slices = [IoSlice::new(&[]); 2];
        let count = connection.output(&mut slices);
        let taken: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        connection.written(taken.len());
        sent.extend(taken);
    }
    // Unless it is up, a connection does not accept frames. Without input, every connection times out.
    let is_up = seen.iter().any(|event| matches!(event, Seen::Up(_)));
    let is_down = seen.last() == Some(&Seen::Down);
    // TLS rejects plain text that arrives after TLS was required. The connection rejects text that
    // arrived earlier.
    if seen.last() == Some(&Seen::Secure) && !rest.is_empty() {
        seen.pop();
        seen.push(Seen::Down);
    }
    if connection.publish(Subject::All, Bytes::new()) {
        assert!(is_up && !is_down);
    }
    for second in 0..9 {
        connection.tick(Duration::from_secs(second));
    }
    let end = connection.next_event();
    assert_eq!(matches!(end, Some(BrokerEvent::Down(_))), !is_down, "{end:?}");
    (seen, sent)
}

fn count_of(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).filter(|window| *window == part).count()
}

/// Parses all bytes in one pass. Returns the events, and the number of pings.
fn model(mut wire: &[u8]) -> (Vec<Seen>, usize) {
    let (mut seen, mut pings) = (Vec::new(), 0);
    let (mut is_greeted, mut is_up, mut max) = (false, false, 0);
    while let Some(end) = wire.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = wire.split_at(end + 1);
        wire = rest;
        let down = |mut seen: Vec<Seen>| {
            seen.push(Seen::Down);
            (seen, 0)
        };
        let Some(line) = line.strip_suffix(b"\r\n") else { return down(seen) };
        let mut words = line.splitn(2, |byte| *byte == b' ');
        let (verb, args) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match verb {
            b"INFO" => {
                let info: Option<Value> = serde_json::from_slice(args).ok();
                let number = info.as_ref().and_then(|info| info.get("max_payload")?.as_u64());
                let (Some(info), Some(number)) = (info, number) else { return down(seen) };
                max = number.min(64 << 20) as usize;
                if !is_greeted && info.get("tls_required") == Some(&Value::Bool(true)) {
                    seen.push(if wire.is_empty() { Seen::Secure } else { Seen::Down });
                    return (seen, 0);
                }
                is_greeted = true;
            }
            b"PING" if is_greeted => pings += 1,
            b"PONG" if is_greeted && !is_up => {
                is_up = true;
                seen.push(Seen::Up(max));
            }
            b"PONG" | b"+OK" if is_greeted => {}
            b"MSG" => {
                let args = String::from_utf8_lossy(args);
                let words: Vec<&str> = args.split(' ').filter(|word| !word.is_empty()).collect();
                let digits = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit());
                let number = |word: &str| Some(word).filter(digits)?.parse::<u64>().ok();
                let (sid, length) = match words[..] {
                    [_, sid, length] | [_, sid, _, length] => (number(sid), number(length)),
                    _ => (None, None),
                };
                let (Some(sid), Some(length)) = (sid, length) else { return down(seen) };
                if length > max as u64 {
                    return down(seen);
                }
                let length = length as usize;
                if wire.len() < length + 2 {
                    break;
                }
                let (payload, rest) = wire.split_at(length);
                if !rest.starts_with(b"\r\n") || !(1..=2).contains(&sid) || !is_greeted {
                    return down(seen);
                }
                wire = &rest[2..];
                if is_up {
                    seen.push(Seen::Frame(payload.to_vec()));
                }
            }
            _ => return down(seen),
        }
    }
    (seen, pings)
}
