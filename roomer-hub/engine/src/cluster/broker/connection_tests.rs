//! Helpers for connection tests that do not depend on the broker's protocol.

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;

use super::{BrokerConnection, BrokerEvent};
use crate::cluster::Subject;

/// Passes the bytes in pieces, and returns all events and all bytes that the connection sends.
/// Publishes `frames` frames once the connection is up, since each recorded server answers that
/// number of frames.
pub(in crate::cluster) fn run<'a>(
    connection: &mut impl BrokerConnection,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    frames: usize,
) -> (Vec<BrokerEvent>, String) {
    let mut events = Vec::new();
    for piece in pieces {
        connection.receive(piece, Duration::ZERO);
        while let Some(event) = connection.next_event() {
            if matches!(event, BrokerEvent::Up { .. }) {
                assert!((0..frames).all(|_| connection.publish(Subject::All, Bytes::new())));
            }
            events.push(event);
        }
    }
    (events, sent(connection))
}

/// Removes and returns all bytes that the connection sends.
pub(in crate::cluster) fn sent(connection: &mut impl BrokerConnection) -> String {
    let mut bytes = Vec::new();
    while connection.has_output() {
        let mut slices = [IoSlice::new(&[]); 3];
        let count = connection.output(&mut slices);
        let size = slices[..count].iter().map(|slice| slice.len()).sum();
        bytes.extend(slices[..count].iter().flat_map(|slice| slice.iter().copied()));
        connection.written(size);
    }
    String::from_utf8(bytes).unwrap()
}

/// Returns the reason why the connection ends after these bytes.
pub(in crate::cluster) fn end(connection: &mut impl BrokerConnection, bytes: &str) -> String {
    match run(connection, [bytes.as_bytes()], 0).0.pop() {
        Some(BrokerEvent::Down(reason)) => reason,
        other => panic!("not down: {other:?}"),
    }
}

pub(in crate::cluster) fn frame(text: &'static str) -> BrokerEvent {
    BrokerEvent::Frame(Bytes::from_static(text.as_bytes()))
}

/// The name of a recorded server, and the bytes that it sent.
pub(in crate::cluster) type Transcript = (&'static str, &'static [u8]);

/// Checks that each transcript yields the same events and answers, however its bytes are split.
pub(in crate::cluster) fn check_splits<S: BrokerConnection>(
    transcripts: &[Transcript],
    connection: impl Fn() -> S,
    frames: usize,
    due: impl Fn(&str) -> Vec<BrokerEvent>,
) {
    for &(name, bytes) in transcripts {
        let whole = run(&mut connection(), [bytes], frames);
        assert_eq!(whole.0, due(name), "{name}");
        for at in 0..=bytes.len() {
            let (first, second) = bytes.split_at(at);
            let split = run(&mut connection(), [first, second], frames);
            assert_eq!(split, whole, "{name}, split at {at}");
        }
        assert_eq!(run(&mut connection(), bytes.chunks(1), frames), whole, "{name}");
    }
}

/// Checks that a connection does not panic on variants of each transcript, in which one byte is
/// replaced, removed or repeated. `special` is a byte with a special meaning in the protocol.
pub(in crate::cluster) fn receive_garbage<S: BrokerConnection>(
    transcripts: &[Transcript],
    connection: impl Fn() -> S,
    frames: usize,
    special: u8,
) {
    for (_, bytes) in transcripts {
        for at in 0..bytes.len() {
            for change in [&b""[..], b" ", b"\n", b"\xff", b"0", &[special], &[bytes[at]; 2]] {
                let changed = [&bytes[..at], change, &bytes[at + 1..]].concat();
                run(&mut connection(), [&changed[..]], frames);
            }
        }
    }
}
