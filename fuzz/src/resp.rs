//! Fuzzes the client's side of the Redis protocol with arbitrary bytes from the server.

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;
use redis_protocol::resp3::decode::complete::decode_bytes;
use redis_protocol::resp3::encode::complete::encode_bytes;
use redis_protocol::resp3::types::BytesFrame;
use roomer_engine::cluster::broker::{BrokerConnection, BrokerEvent};
use roomer_engine::cluster::redis::Connection;
use roomer_engine::cluster::{NodeId, Subject, Subjects};

/// This precedes the input if its second byte is odd, so that the connection is up when the input
/// begins.
const GREETING: &[u8] =
    b"%1\r\n$5\r\nproto\r\n:3\r\n>3\r\n$9\r\nsubscribe\r\n$8\r\nchat.all\r\n:1\r\n\
    >3\r\n$9\r\nsubscribe\r\n$23\r\nchat.n.0000000000000001\r\n:2\r\n";

/// The number of frames that are published as soon as the connection is up.
const PUBLISHED: usize = 3;

/// The maximum number of lists in an input for the second parser, which calls itself for each list.
const MAX_LISTS: usize = 50;

/// Reasons that concern the syntax of the input, not its meaning, contain one of these strings.
const FORM: [&str; 6] = [
    "this is not a Redis server: it sends ",
    "it expects TLS",
    "it sends a line of more",
    "bytes at once, more than",
    "it sends a list of",
    "it sends a string that does not end",
];

/// An event. The text of its reason is omitted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Up,
    Frame(Bytes),
    /// The connection has ended because of the meaning of a reply.
    Down,
    /// The connection has ended because the input is malformed.
    Malformed,
}

/// Checks, for arbitrary bytes, that a connection reports the same events as a second parser, the
/// crate `redis-protocol`, and does not panic. The result must not depend on how the bytes are
/// split into chunks.
///
/// The connection is stricter than the second parser where lines and strings end, and more lenient in
/// values that it does not use. If only the connection rejects an input, the input must therefore
/// differ from the form in which the second parser would write it.
///
/// The low four bits of the first byte are the number of chunk sizes, which follow the second byte.
/// Each size is stored minus one, and they are used in a cycle. All other bytes are the server's
/// input.
pub fn resp(data: &[u8]) {
    let [count, is_up, rest @ ..] = data else {
        return;
    };
    let (sizes, rest) = rest.split_at(rest.len().min(usize::from(count & 0x0f)));
    let sizes: Vec<usize> = sizes.iter().map(|size| usize::from(*size) + 1).collect();
    let greeting = if is_up & 1 == 1 { GREETING } else { b"" };
    let wire = [greeting, rest].concat();

    let whole = run(&wire, &[wire.len().max(1)]);
    assert_eq!(run(&wire, &[1]), whole, "byte by byte: {}", wire.escape_ascii());
    if !sizes.is_empty() {
        assert_eq!(run(&wire, &sizes), whole, "in chunks of {sizes:?}: {}", wire.escape_ascii());
    }
    if wire.iter().filter(|byte| b"*%~>|".contains(byte)).count() <= MAX_LISTS {
        compare(whole, &wire);
    }
}

/// Compares the events of a connection with those of the second parser.
fn compare(mut found: Vec<Seen>, wire: &[u8]) {
    let model = model(wire);
    let text = wire.escape_ascii();
    let certain = &model.seen[..model.certain];
    let is_malformed = found.pop_if(|last| *last == Seen::Malformed).is_some();
    assert!(found.starts_with(certain), "{found:?} is not {certain:?}: {text}");
    let is_known = model.seen.starts_with(&found);
    let may_be_more = model.is_error && found.starts_with(&model.seen);
    assert!(is_known || may_be_more, "{found:?} is not {:?}: {text}", model.seen);
    if !is_malformed {
        assert!(found.len() >= model.seen.len(), "{found:?} is not {:?}: {text}", model.seen);
    }
}

fn run(wire: &[u8], sizes: &[usize]) -> Vec<Seen> {
    let address = "redis://user:password@broker".parse().expect("an address");
    let subjects = Subjects::new("chat", NodeId(1)).expect("a prefix");
    let mut connection = Connection::new(&address, &subjects, Duration::ZERO);
    let mut seen = Vec::new();
    let mut rest = wire;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, behind) = rest.split_at(rest.len().min(*size));
        rest = behind;
        connection.receive(chunk, Duration::ZERO);
        while let Some(event) = connection.next_event() {
            match event {
                BrokerEvent::Up { .. } => {
                    for _ in 0..PUBLISHED {
                        assert!(connection.publish(Subject::All, Bytes::new()));
                    }
                    seen.push(Seen::Up);
                }
                BrokerEvent::Frame(frame) => seen.push(Seen::Frame(frame)),
                BrokerEvent::Down(reason) => {
                    let is_short = reason.len() < 2000 && !reason.contains(char::is_control);
                    assert!(is_short, "{reason:?}");
                    // A reason may quote text from the server, which may contain anything.
                    let is_form = FORM.iter().any(|part| reason.contains(part));
                    let is_form = is_form && !reason.starts_with("it reports: ");
                    seen.push(if is_form { Seen::Malformed } else { Seen::Down });
                }
                BrokerEvent::Secure | BrokerEvent::Notice(_) => panic!("{event:?}"),
            }
        }
    }
    while connection.has_output() {
        let mut slices = [IoSlice::new(&[]); 2];
        let count = connection.output(&mut slices);
        let size = slices[..count].iter().map(|slice| slice.len()).sum();
        connection.written(size);
    }
    // Unless it is up, a connection does not accept frames. Without input, every connection times out.
    let is_up = seen.contains(&Seen::Up);
    let is_down = matches!(seen.last(), Some(Seen::Down | Seen::Malformed));
    assert_eq!(connection.publish(Subject::All, Bytes::new()), is_up && !is_down);
    for second in 0..9 {
        connection.tick(Duration::from_secs(second));
    }
    let end = connection.next_event();
    assert_eq!(matches!(end, Some(BrokerEvent::Down(_))), !is_down, "{end:?}");
    seen
}

/// The result of the second parser.
#[derive(Debug, Default)]
struct Model {
    seen: Vec<Seen>,
    /// The number of events that precede the first value in an unusual form.
    certain: usize,
    /// True if the parser has reported an error at the end of the input.
    is_error: bool,
    is_greeted: bool,
    confirmed: [bool; 2],
    unanswered: usize,
}

fn model(wire: &[u8]) -> Model {
    let mut model = Model::default();
    let mut wire = Bytes::copy_from_slice(wire);
    let mut is_certain = true;
    loop {
        let (frame, size) = match decode_bytes(&wire) {
            Ok(Some(decoded)) => decoded,
            Ok(None) => return model,
            Err(_) => {
                model.is_error = true;
                return model;
            }
        };
        let bytes = wire.split_to(size);
        is_certain &= is_usual(&frame, &bytes);
        if let Some(event) = model.apply(&frame) {
            model.seen.push(event);
        }
        if is_certain {
            model.certain = model.seen.len();
        }
        if model.seen.last() == Some(&Seen::Down) {
            return model;
        }
    }
}

/// Returns true if the second parser would encode a frame as these bytes: without attributes,
/// chunks or line feeds on their own.
fn is_usual(frame: &BytesFrame, bytes: &[u8]) -> bool {
    let is_bare = |at: usize| bytes[at] == b'\n' && (at == 0 || bytes[at - 1] != b'\r');
    if bytes.iter().any(|byte| b"|;".contains(byte))
        || (0..bytes.len()).any(is_bare)
        || matches!(frame, BytesFrame::Hello { .. })
    {
        return false;
    }
    let mut written = vec![0; bytes.len() + 64];
    encode_bytes(&mut written, frame, false).is_ok_and(|size| written[..size] == *bytes)
}

impl Model {
    fn apply(&mut self, frame: &BytesFrame) -> Option<Seen> {
        match frame {
            BytesFrame::SimpleError { .. } | BytesFrame::BlobError { .. } => Some(Seen::Down),
            BytesFrame::Map { .. } if !self.is_greeted => {
                self.is_greeted = true;
                None
            }
            _ if !self.is_greeted => Some(Seen::Down),
            BytesFrame::Push { data, .. } => self.push(data),
            BytesFrame::Number { .. } | BytesFrame::SimpleString { .. } if self.unanswered > 0 => {
                self.unanswered -= 1;
                None
            }
            _ => Some(Seen::Down),
        }
    }

    fn push(&mut self, data: &[BytesFrame]) -> Option<Seen> {
        let [
            BytesFrame::BlobString { data: kind, .. },
            BytesFrame::BlobString { data: name, .. },
            last,
        ] = data
        else {
            return None;
        };
        let is_leaf = match last {
            BytesFrame::Array { data, .. } | BytesFrame::Push { data, .. } => data.is_empty(),
            BytesFrame::Map { data, .. } => data.is_empty(),
            BytesFrame::Set { data, .. } => data.is_empty(),
            _ => true,
        };
        if !is_leaf || !matches!(&kind[..], b"message" | b"subscribe") {
            return None;
        }
        let own: [&[u8]; 2] = [b"chat.all", b"chat.n.0000000000000001"];
        let Some(channel) = own.iter().position(|own| own == name) else {
            return Some(Seen::Down);
        };
        let was_up = self.confirmed == [true; 2];
        if &kind[..] == b"subscribe" {
            self.confirmed[channel] = true;
            let is_up = !was_up && self.confirmed == [true; 2];
            return is_up.then(|| {
                self.unanswered = PUBLISHED;
                Seen::Up
            });
        }
        match last {
            BytesFrame::BlobString { data, .. } if was_up => Some(Seen::Frame(data.clone())),
            _ => None,
        }
    }
}
