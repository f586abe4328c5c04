//! Valid streams of frames, with the expected events.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::wire::*;

/// A stream of frames, its expected events, and the positions of its parts.
#[derive(Clone, Default)]
pub(crate) struct Stream {
    pub(crate) wire: Vec<u8>,
    pub(crate) expected: Vec<Seen>,
    /// The position at which each frame starts.
    pub(crate) starts: Vec<usize>,
    /// The positions between messages.
    pub(crate) rests: Vec<usize>,
    frames: u32,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes: {:?}", self.wire.len(), self.expected)
    }
}

impl Stream {
    /// Appends a frame with its own masking key.
    fn frame(&mut self, first: u8, payload: &[u8]) {
        self.starts.push(self.wire.len());
        self.frames += 1;
        let key = self.frames.wrapping_mul(0x9e37_79b9).to_be_bytes();
        self.wire.extend(keyed(first, payload, key));
    }

    fn control(&mut self, ping: bool, payload: &[u8]) {
        self.frame(if ping { PING } else { PONG }, payload);
        self.expected.push(if ping {
            Seen::Ping(payload.to_vec())
        } else {
            Seen::Pong(payload.to_vec())
        });
    }

    /// Appends a message split at the given positions, with a control frame between the parts.
    fn message(&mut self, content: &Seen, cuts: &[usize], between: Option<(bool, usize)>) {
        let (mut opcode, payload) = match content {
            Seen::Text(text) => (TEXT, text.as_bytes()),
            Seen::Binary(data) => (BINARY, &data[..]),
            other => panic!("{other:?} is not a message"),
        };
        let mut from = 0;
        for cut in cuts {
            self.frame(opcode, &payload[from..*cut]);
            opcode = CONTINUE;
            from = *cut;
            if let Some((ping, length)) = between {
                self.control(ping, &filler(length));
            }
        }
        self.frame(FIN | opcode, &payload[from..]);
        self.expected.push(content.clone());
        self.rests.push(self.wire.len());
    }

    /// Appends a message of this length, first unfragmented, then fragmented.
    fn step(&mut self, length: usize) {
        self.message(&binary(&filler(length)), &[], None);
        self.control(true, &filler(length % 126));
        let cuts = [1, length / 3, length - 1];
        self.message(&binary(&filler(length)), &cuts, Some((false, 2)));
    }

    fn close(&mut self, code: u16, reason: &str) {
        let body = [&code.to_be_bytes(), reason.as_bytes()].concat();
        self.frame(CLOSE, &body);
        self.expected.push(Seen::Close(Some(code), reason.to_owned()));
        self.rests.push(self.wire.len());
    }

    /// Returns all positions from one byte before each header to one byte after the longest
    /// possible header.
    pub(crate) fn around_headers(&self) -> impl Iterator<Item = usize> {
        let end = self.wire.len();
        let around = |start: &usize| start.saturating_sub(1)..=start + 15;
        self.starts.iter().flat_map(around).filter(move |at| *at <= end)
    }
}

/// Returns a stream with every kind of frame, short enough to be split at every position.
pub(crate) fn small() -> Stream {
    let mut stream = Stream::default();
    stream.message(&binary(b""), &[], None);
    stream.message(&message("héllo €"), &[], None);
    stream.message(&message("héllo €🏠"), &[0, 2, 7, 9, 12], Some((true, 3)));
    stream.control(false, b"");
    stream.message(&binary(&filler(125)), &[], None);
    stream.message(&binary(&filler(126)), &[], None);
    stream.control(true, &filler(125));
    stream.message(&binary(&filler(300)), &[1, 1, 128], Some((false, 0)));
    stream.message(&binary(&filler(17)), &[], None);
    stream.close(1000, "bye €");
    stream
}

/// The lengths on both sides of each boundary between length encodings.
const STEPS: [usize; 8] = [124, 125, 126, 127, 65_534, 65_535, 65_536, 65_537];

/// Returns one stream for each length in `STEPS`.
pub(crate) fn steps() -> impl Iterator<Item = Stream> {
    STEPS.into_iter().map(|length| {
        let mut stream = Stream::default();
        stream.step(length);
        stream.control(true, b"end");
        stream
    })
}

/// Returns one stream with all lengths in `STEPS`.
pub(crate) fn large() -> Stream {
    let mut stream = Stream::default();
    for length in STEPS {
        stream.step(length);
    }
    stream.message(&message(&"é€🏠".repeat(9000)), &[40_000], None);
    stream.close(4000, "");
    stream
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0..20usize,
        4 => 120..132usize,
        4 => 0..3000usize,
        1 => 65_530..65_542usize,
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Control(bool, usize),
    Message(Seen, Vec<Index>, Option<(bool, usize)>),
}

fn step() -> impl Strategy<Value = Step> {
    let content = prop_oneof![
        2 => length().prop_map(|length| binary(&filler(length))),
        1 => any::<String>().prop_map(Seen::Text),
        1 => "[aé€🏠]{0,200}".prop_map(Seen::Text),
    ];
    let control = || (any::<bool>(), 0..126usize);
    let cuts = prop_oneof![2 => vec(any::<Index>(), 0..1), 1 => vec(any::<Index>(), 1..6)];
    prop_oneof![
        1 => control().prop_map(|(ping, length)| Step::Control(ping, length)),
        4 => (content, cuts, prop::option::of(control()))
            .prop_map(|(content, cuts, between)| Step::Message(content, cuts, between)),
    ]
}

/// Generates arbitrary valid streams, with or without a final close frame.
pub(crate) fn any_stream() -> impl Strategy<Value = Stream> {
    let close = prop::option::of((prop_oneof![1000..1004u16, 3000..5000u16], "\\PC{0,30}"));
    (vec(step(), 0..12), close).prop_map(|(steps, close)| {
        let mut stream = Stream::default();
        for step in steps {
            match step {
                Step::Control(ping, length) => stream.control(ping, &filler(length)),
                Step::Message(content, cuts, between) => {
                    let length = match &content {
                        Seen::Text(text) => text.len(),
                        Seen::Binary(data) => data.len(),
                        _ => 0,
                    };
                    let mut cuts: Vec<usize> =
                        cuts.iter().map(|cut| cut.index(length + 1)).collect();
                    cuts.sort_unstable();
                    stream.message(&content, &cuts, between);
                }
            }
        }
        if let Some((code, reason)) = close {
            stream.close(code, &reason);
        }
        stream
    })
}

/// Generates lists of chunk sizes, used cyclically: tiny chunks, and chunks with several frames.
pub(crate) fn chunk_sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![3 => 1..8usize, 2 => 1..200usize, 1 => 1..70_000usize], 1..20)
}

/// Splits `wire` into chunks of these sizes, used cyclically.
pub(crate) fn chunks<'a>(
    wire: &'a [u8],
    sizes: &'a [usize],
) -> impl Iterator<Item = &'a [u8]> + 'a {
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
