//! Helpers for session tests that do not depend on the broker's protocol.

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;

use super::{BrokerSession, SessionEvent};
use crate::cluster::Subject;

/// Passes the bytes in pieces, and returns all events and all bytes that the session sends.
/// Publishes `frames` frames once the session is up, since the recorded servers answer that many.
pub(in crate::cluster) fn run<'a>(
    session: &mut impl BrokerSession,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    frames: usize,
) -> (Vec<SessionEvent>, String) {
    let mut events = Vec::new();
    for piece in pieces {
        session.receive(piece, Duration::ZERO);
        while let Some(event) = session.next_event() {
            if matches!(event, SessionEvent::Up { .. }) {
                assert!((0..frames).all(|_| session.publish(Subject::All, Bytes::new())));
            }
            events.push(event);
        }
    }
    (events, sent(session))
}

/// Removes and returns all bytes that the session sends.
pub(in crate::cluster) fn sent(session: &mut impl BrokerSession) -> String {
    let mut bytes = Vec::new();
    while session.has_output() {
        let mut slices = [IoSlice::new(&[]); 3];
        let count = session.output(&mut slices);
        let size = slices[..count].iter().map(|slice| slice.len()).sum();
        bytes.extend(slices[..count].iter().flat_map(|slice| slice.iter().copied()));
        session.written(size);
    }
    String::from_utf8(bytes).unwrap()
}

/// Returns the reason why the session ends after these bytes.
pub(in crate::cluster) fn end(session: &mut impl BrokerSession, bytes: &str) -> String {
    match run(session, [bytes.as_bytes()], 0).0.pop() {
        Some(SessionEvent::Down(reason)) => reason,
        other => panic!("not down: {other:?}"),
    }
}

pub(in crate::cluster) fn frame(text: &'static str) -> SessionEvent {
    SessionEvent::Frame(Bytes::from_static(text.as_bytes()))
}

/// The name of a recorded server, and the bytes that it sent.
pub(in crate::cluster) type Transcript = (&'static str, &'static [u8]);

/// Checks that each transcript yields the same events and answers, however its bytes are split.
pub(in crate::cluster) fn check_splits<S: BrokerSession>(
    transcripts: &[Transcript],
    session: impl Fn() -> S,
    frames: usize,
    due: impl Fn(&str) -> Vec<SessionEvent>,
) {
    for &(name, bytes) in transcripts {
        let whole = run(&mut session(), [bytes], frames);
        assert_eq!(whole.0, due(name), "{name}");
        for at in 0..=bytes.len() {
            let (first, second) = bytes.split_at(at);
            let split = run(&mut session(), [first, second], frames);
            assert_eq!(split, whole, "{name}, split at {at}");
        }
        assert_eq!(run(&mut session(), bytes.chunks(1), frames), whole, "{name}");
    }
}

/// Passes variants of each transcript, in which one byte is replaced, removed or repeated.
/// `special` is a byte that has a meaning in the protocol.
pub(in crate::cluster) fn receive_garbage<S: BrokerSession>(
    transcripts: &[Transcript],
    session: impl Fn() -> S,
    frames: usize,
    special: u8,
) {
    for (_, bytes) in transcripts {
        for at in 0..bytes.len() {
            for change in [&b""[..], b" ", b"\n", b"\xff", b"0", &[special], &[bytes[at]; 2]] {
                let changed = [&bytes[..at], change, &bytes[at + 1..]].concat();
                run(&mut session(), [&changed[..]], frames);
            }
        }
    }
}
