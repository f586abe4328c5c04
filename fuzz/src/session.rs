//! WebSocket frames.

use roomer_proto::websocket::{Feed, Limits, Session};

use crate::model::{self, Expected, Seen};

/// Any stream of bytes means what the naive model says, however it is cut into chunks and however
/// lazily it is drawn; a session never panics and holds no more than what has come in.
///
/// The low four bits of the first byte say how many bytes of chunk sizes follow, each a size less
/// one, used over and over; the rest is the stream.
pub fn session(data: &[u8]) {
    let Some((count, rest)) = data.split_first() else {
        return;
    };
    let (sizes, wire) = rest.split_at(rest.len().min(usize::from(count & 0x0f)));

    let limits = small_limits();
    let expected = model::read(wire, &limits);
    check(wire, &[wire.len()], &limits, &expected);
    check(wire, &[1], &limits, &expected);
    let sizes: Vec<usize> = sizes.iter().map(|size| usize::from(*size) + 1).collect();
    if !sizes.is_empty() {
        check(wire, &sizes, &limits, &expected);
    }
}

/// Small enough for a fuzzer to reach.
fn small_limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_message = 1000;
    limits.max_fragments = 5;
    limits.mean_fragment = 200;
    limits
}

fn check(wire: &[u8], sizes: &[usize], limits: &Limits, expected: &Expected) {
    // Drawn to the end of each chunk.
    let mut session = Session::new();
    let (mut seen, mut came) = (Vec::new(), 0);
    for chunk in chunks(wire, sizes) {
        let mut chunk = chunk.to_vec();
        came += chunk.len();
        let mut feed = session.feed(limits, &mut chunk);
        seen.extend(std::iter::from_fn(|| draw(&mut feed)));
        drop(feed);
        assert!(session.held() <= allowance(came));
    }
    assert_eq!(seen, expected.seen, "in chunks of {sizes:?}");
    check_end(&session, wire, expected);

    // One event of each chunk, and the others without new bytes.
    let mut session = Session::new();
    let mut seen = Vec::new();
    for chunk in chunks(wire, sizes) {
        seen.extend(draw(&mut session.feed(limits, &mut chunk.to_vec())));
    }
    while let Some(event) = draw(&mut session.feed(limits, &mut [])) {
        seen.push(event);
    }
    assert_eq!(seen, expected.seen, "lazily in chunks of {sizes:?}");
    assert_eq!(session.is_over(), expected.over);
}

fn check_end(session: &Session, wire: &[u8], expected: &Expected) {
    assert_eq!(session.is_over(), expected.over);
    if expected.over || expected.rested == wire.len() {
        assert_eq!(session.held(), 0);
    }
    assert!(session.held() <= allowance(wire.len() - expected.rested));
}

/// What doubling may cost for `bytes` that came in.
fn allowance(bytes: usize) -> usize {
    2 * bytes + 64
}

fn draw(feed: &mut Feed<'_>) -> Option<Seen> {
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
