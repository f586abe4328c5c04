//! Fuzzes WebSocket decoders, which are compared with a simple model.

use roomer_proto::websocket::deflate::{Agreement, Deflater, Inflater};
use roomer_proto::websocket::{Decoder, Feed, Kind, Limits};

use crate::model::{self, Expected, Seen};

/// Checks, for arbitrary bytes, that a decoder returns the same events as the model, with and
/// without compression, however the stream is split into chunks, and however late the events are
/// read. A decoder must not panic, and may buffer at most about twice the bytes that it has
/// received.
///
/// The low four bits of the first byte are the number of chunk sizes that follow. Each size is
/// stored minus one, and they are used in a cycle. All other bytes are the stream.
pub fn websocket(data: &[u8]) {
    let Some((count, rest)) = data.split_first() else {
        return;
    };
    let (sizes, wire) = rest.split_at(rest.len().min(usize::from(count & 0x0f)));

    let limits = small_limits();
    let sizes: Vec<usize> = sizes.iter().map(|size| usize::from(*size) + 1).collect();
    for deflate in [false, true] {
        let new = || {
            let mut decoder = Decoder::new();
            if deflate {
                decoder.accept_compressed();
            }
            decoder
        };
        let expected = model::read(wire, &limits, deflate);
        check(wire, &[wire.len()], &limits, &expected, new);
        check(wire, &[1], &limits, &expected, new);
        if !sizes.is_empty() {
            check(wire, &sizes, &limits, &expected, new);
        }
    }
    compressed(wire);
}

/// Uses arbitrary bytes as an offer of compression, as compressed data, and as a message to
/// compress.
fn compressed(bytes: &[u8]) {
    const MAX: usize = 1000;
    if let Some(agreement) = Agreement::accept([bytes]) {
        let answer = agreement.to_string();
        assert_eq!(Agreement::confirm([answer.as_bytes()]), Ok(Some(agreement)));
    }
    let mut inflater = Inflater::new();
    match inflater.inflate(Kind::Binary, bytes, MAX) {
        Ok(message) => assert!(message.len() <= MAX),
        Err(violation) => assert!(matches!(violation.code, 1007 | 1009)),
    }
    if let Some(data) = Deflater::new().deflate(bytes) {
        let message = inflater.inflate(Kind::Binary, data, bytes.len());
        assert_eq!(message.as_deref(), Ok(bytes));
    }
}

/// Returns limits so small that a fuzzer can reach them.
fn small_limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_message = 1000;
    limits.max_fragments = 5;
    limits.mean_fragment = 200;
    limits
}

fn check(
    wire: &[u8],
    sizes: &[usize],
    limits: &Limits,
    expected: &Expected,
    new: impl Fn() -> Decoder,
) {
    // Read all events after each chunk.
    let mut decoder = new();
    let (mut seen, mut received) = (Vec::new(), 0);
    for chunk in chunks(wire, sizes) {
        let mut chunk = chunk.to_vec();
        received += chunk.len();
        let mut feed = decoder.feed(limits, &mut chunk);
        seen.extend(std::iter::from_fn(|| next_event(&mut feed)));
        drop(feed);
        assert!(decoder.held() <= allowance(received));
    }
    assert_eq!(seen, expected.seen, "in chunks of {sizes:?}");
    check_end(&decoder, wire, expected);

    // Read only one event after each chunk, and all others at the end, without further bytes.
    let mut decoder = new();
    let mut seen = Vec::new();
    for chunk in chunks(wire, sizes) {
        seen.extend(next_event(&mut decoder.feed(limits, &mut chunk.to_vec())));
    }
    while let Some(event) = next_event(&mut decoder.feed(limits, &mut [])) {
        seen.push(event);
    }
    assert_eq!(seen, expected.seen, "lazily in chunks of {sizes:?}");
    assert_eq!(decoder.is_over(), expected.over);
}

fn check_end(decoder: &Decoder, wire: &[u8], expected: &Expected) {
    assert_eq!(decoder.is_over(), expected.over);
    if expected.over || expected.last_boundary == wire.len() {
        assert_eq!(decoder.held(), 0);
    }
    assert!(decoder.held() <= allowance(wire.len() - expected.last_boundary));
}

/// Returns the maximum memory that a decoder may use for this number of bytes: buffers grow by
/// doubling.
fn allowance(bytes: usize) -> usize {
    2 * bytes + 64
}

fn next_event(feed: &mut Feed<'_>) -> Option<Seen> {
    feed.next().map(Seen::from)
}

fn chunks<'a>(wire: &'a [u8], sizes: &[usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = wire;
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (chunk, behind) = rest.split_at(rest.len().min(*sizes.next()?));
        rest = behind;
        Some(chunk)
    })
}
