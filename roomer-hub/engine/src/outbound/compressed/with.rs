//! The compressed form of a batch, with the `deflate` feature.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use roomer_proto::websocket::{Kind, Violation};

use super::codec::{with_deflater, with_inflater};
use crate::outbound::chunk::{frame_len, payload};

/// The maximum length of a message to compress. Compressing a message of this length takes about 20
/// ms, during which the thread's other tasks do not run.
const LONGEST: usize = 1024 * 1024;

/// A batch and its compressed form, which is created when it is first needed.
#[derive(Clone, Debug)]
pub(crate) struct CompressedBatch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The batch's frames: plain, binary and unmasked.
    frames: Bytes,
    /// The minimum length of a frame to compress.
    threshold: usize,
    form: OnceLock<Form>,
}

/// A batch's encoded frames, each compressed if it is long enough and becomes shorter.
#[derive(Debug)]
struct Form {
    frames: Bytes,
    /// The start of each frame in the batch and in this form, followed by both total lengths.
    starts: Vec<(usize, usize)>,
}

impl CompressedBatch {
    pub(crate) fn new(frames: Bytes, threshold: usize) -> Option<Self> {
        Some(CompressedBatch(Arc::new(Inner { frames, threshold, form: OnceLock::new() })))
    }

    /// Returns true if `bytes` is a slice of the batch, and not a copy of one.
    pub(crate) fn contains(&self, bytes: &Bytes) -> bool {
        let whole = self.0.frames.as_ptr_range();
        whole.contains(&bytes.as_ptr()) && bytes.as_ptr_range().end <= whole.end
    }

    /// Returns the compressed form of a part that consists of whole frames.
    pub(crate) fn part(&self, plain: &Bytes) -> Bytes {
        // If two threads need the form at the same time, the second waits for the first, because
        // waiting is faster than compressing the same bytes again.
        let form = self.0.form.get_or_init(|| Form::of(&self.0.frames, self.0.threshold));
        let start = plain.as_ptr().addr() - self.0.frames.as_ptr().addr();
        // A part that does not consist of whole frames stays plain, since each receiver also
        // accepts plain frames.
        form.part(start..start + plain.len()).unwrap_or_else(|| plain.clone())
    }

    /// Returns the compressed form, if it has already been created.
    pub(crate) fn made(&self) -> Option<&Bytes> {
        self.0.form.get().map(|form| &form.frames)
    }
}

impl Form {
    fn of(plain: &[u8], threshold: usize) -> Self {
        let (mut frames, mut starts, mut at) = (Vec::new(), Vec::new(), 0);
        with_deflater(|deflater| {
            while at < plain.len() {
                starts.push((at, frames.len()));
                let rest = &plain[at..];
                let frame = &rest[..frame_len(rest).min(rest.len())];
                match (threshold..=LONGEST).contains(&frame.len()) {
                    true => deflater.message_frame(Kind::Binary, payload(frame), &mut frames),
                    false => frames.extend_from_slice(frame),
                }
                at += frame.len();
            }
        });
        starts.push((at, frames.len()));
        Form { frames: frames.into(), starts }
    }

    fn part(&self, plain: Range<usize>) -> Option<Bytes> {
        let find = |at: usize| {
            let index = self.starts.binary_search_by_key(&at, |(plain, _)| *plain).ok()?;
            Some(self.starts[index].1)
        };
        Some(self.frames.slice(find(plain.start)?..find(plain.end)?))
    }
}

/// Inflates a client's compressed message.
pub(crate) fn inflate(kind: Kind, data: &[u8], max_message: usize) -> Result<Vec<u8>, Violation> {
    with_inflater(|inflater| inflater.inflate(kind, data, max_message))
}

/// Appends the frame of a message for a client that has negotiated compression.
pub(crate) fn echo(kind: Kind, data: &[u8], frame: &mut Vec<u8>) {
    with_deflater(|deflater| deflater.message_frame(kind, data, frame));
}

#[cfg(test)]
mod tests {
    use roomer_proto::websocket::{Decoder, Event, Limits, message_frame};

    use super::*;

    fn plain(messages: &[&[u8]]) -> (Bytes, Vec<usize>) {
        let (mut frames, mut starts) = (Vec::new(), Vec::new());
        for message in messages {
            starts.push(frames.len());
            message_frame(Kind::Binary, message, &mut frames);
        }
        starts.push(frames.len());
        (frames.into(), starts)
    }

    /// Returns the messages in the frames, and the number of compressed ones.
    fn read(frames: &[u8]) -> (Vec<Vec<u8>>, usize) {
        let (limits, mut bytes) = (Limits::default(), frames.to_vec());
        let mut decoder = Decoder::client();
        decoder.accept_compressed();
        let (mut messages, mut compressed) = (Vec::new(), 0);
        let mut feed = decoder.feed(&limits, &mut bytes);
        while let Some(event) = feed.next() {
            match event.expect("right frames") {
                Event::Message { data, .. } => messages.push(data.to_vec()),
                Event::Compressed { kind, data } => {
                    compressed += 1;
                    let message = inflate(kind, data, limits.max_message);
                    messages.push(message.expect("right data"));
                }
                other => panic!("{other:?}"),
            }
        }
        (messages, compressed)
    }

    #[test]
    fn compressed_parts_match_plain_parts() {
        let (long, longest) = ([b'x'; 500], vec![b'z'; LONGEST]);
        let messages = [&b"short"[..], &long, b"", &[b'y'; 70_000], &longest, &long];
        let (frames, starts) = plain(&messages);
        let batch = CompressedBatch::new(frames.clone(), 100).expect("a batch");
        assert!(batch.made().is_none(), "not before it is needed");
        for first in 0..messages.len() {
            for end in first + 1..=messages.len() {
                let part = frames.slice(starts[first]..starts[end]);
                assert!(batch.contains(&part));
                let (found, compressed) = read(&batch.part(&part));
                assert_eq!(found, messages[first..end]);
                let is_long = |message: &&&[u8]| (100..LONGEST).contains(&message.len());
                assert_eq!(compressed, messages[first..end].iter().filter(is_long).count());
            }
        }
        assert!(batch.made().is_some_and(|made| made.len() < LONGEST + 1000));
    }

    #[test]
    fn copied_part_does_not_share_batch() {
        let (frames, starts) = plain(&[&[b'x'; 500], &[b'y'; 500]]);
        let batch = CompressedBatch::new(frames.clone(), 100).expect("a batch");
        assert!(!batch.contains(&Bytes::copy_from_slice(&frames[starts[1]..])));
        assert!(!batch.contains(&Bytes::new()));
    }
}
