//! Tests of a connection's queue and session log with messages in two encodings.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use roomer_proto::websocket::{Kind, message_frame};

use super::CompressedBatch;
use crate::outbound::budget::MemoryBudget;
use crate::outbound::chunk::Chunk;
use crate::outbound::outbox::WaterMarks;
use crate::outbound::socket_writer::SocketWriter;
use crate::transport::Transport;

/// A socket with limited space, and the bytes that it has accepted.
#[derive(Clone)]
struct Socket(Arc<Mutex<(usize, Vec<u8>)>>);

impl Transport for Socket {
    fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let (space, taken) = &mut *self.0.lock().unwrap();
        let count = bytes.len().min(*space);
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        *space -= count;
        taken.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn try_write_vectored(&self, chunks: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write(&chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect::<Vec<_>>())
    }

    fn poll_writable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn shutdown(&self) {}
}

impl Socket {
    fn with_space(space: usize) -> (Socket, Arc<SocketWriter>) {
        let socket = Socket(Arc::new(Mutex::new((space, Vec::new()))));
        let marks = WaterMarks { kept: 1 << 20, high: 1 << 20, max: 1 << 24 };
        let budget = Arc::new(MemoryBudget::new(1 << 30, marks));
        let writer = SocketWriter::new(socket.clone(), budget);
        writer.accept_compressed();
        (socket, writer)
    }

    fn taken(&self) -> Vec<u8> {
        self.0.lock().unwrap().1.clone()
    }
}

/// Unblocks a writer after adding `space` bytes of free space to its socket.
fn resume(socket: &Socket, writer: &SocketWriter, space: usize) {
    socket.0.lock().unwrap().0 += space;
    assert!(writer.poll_unblock(&mut Context::from_waker(std::task::Waker::noop())).is_ready());
    writer.flush();
}

/// Returns a batch of one message that compresses well.
fn batch(letter: u8) -> (Bytes, CompressedBatch, usize) {
    let mut frames = Vec::new();
    message_frame(Kind::Binary, &[letter; 1000], &mut frames);
    let frames = Bytes::from(frames);
    let compressed = CompressedBatch::new(frames.clone(), 100).unwrap();
    let again = CompressedBatch::new(frames.clone(), 100).unwrap();
    let len = again.part(&frames).len();
    assert!(len < 50);
    (frames, compressed, len)
}

fn push(writer: &SocketWriter, (frames, compressed, _): &(Bytes, CompressedBatch, usize)) {
    writer.push(Chunk::frames(frames.clone(), 1).compressible(Some(compressed)));
}

#[test]
fn fully_excluded_receiver_triggers_no_compression() {
    let (socket, writer) = Socket::with_space(0);
    let (first, second) = (batch(b'a'), batch(b'b'));
    push(&writer, &first);
    assert_eq!(writer.backlog().0, 1004, "plain until it is written");
    writer.flush();
    assert_eq!(writer.backlog().0, first.2, "the attempt has compressed it");
    push(&writer, &second);
    writer.flush();
    assert!(second.1.made().is_none(), "the socket is known to be full");
    assert_eq!(writer.backlog().0, first.2 + 1004);
    resume(&socket, &writer, 5);
    assert_eq!(writer.backlog().0, first.2 + second.2 - 5);
    resume(&socket, &writer, 1000);
    assert_eq!(writer.backlog(), (0, (first.2 + second.2) as u64));
    let all = [first.1.part(&first.0), second.1.part(&second.0)].concat();
    assert_eq!(socket.taken(), all);
}

#[test]
fn partially_sent_message_counts_remaining_bytes() {
    let (socket, writer) = Socket::with_space(0);
    let (first, second) = (batch(b'a'), batch(b'b'));
    let status = || writer.poll_status(&Context::from_waker(std::task::Waker::noop()));
    push(&writer, &first);
    push(&writer, &second);
    assert_eq!((status().queued, status().newest), (2 * 1004, 1004));
    writer.flush();
    assert_eq!((status().queued, status().newest), (first.2 + second.2, second.2));
    // A message queued while a write is in progress is the newest, and is not compressed yet.
    push(&writer, &batch(b'c'));
    assert_eq!(status().newest, 1004);
    resume(&socket, &writer, 1);
    assert_eq!(status().newest, second.2);
}

#[test]
fn replay_log_keeps_uncompressed_bytes() {
    let (socket, writer) = Socket::with_space(1 << 20);
    writer.begin_session();
    let (first, second) = (batch(b'a'), batch(b'b'));
    push(&writer, &first);
    writer.flush();
    assert_eq!(socket.taken(), first.1.part(&first.0));
    let detached = writer.detach();
    push(&detached, &second);
    assert!(second.1.made().is_none());
    // The client has received only the first message.
    let (again, _) = detached.take_replay(1).unwrap();
    assert_eq!(again, second.0);
    let (_, other) = Socket::with_space(1 << 20);
    other.begin_session();
    push(&other, &first);
    assert_eq!(other.detach().take_replay(0).unwrap().0, first.0);
}

#[test]
fn queued_batch_counts_both_encodings() {
    let (_, fast) = Socket::with_space(1 << 20);
    let (_, slow) = Socket::with_space(0);
    slow.push(Chunk::complete(&b"x"[..]));
    slow.flush();
    let batch = batch(b'a');
    push(&slow, &batch);
    let bytes = || slow.usage().buffers.iter().map(|(_, len)| len).sum::<usize>();
    assert_eq!(bytes(), 1 + 1004);
    push(&fast, &batch);
    fast.flush();
    assert_eq!(bytes(), 1 + 1004 + batch.2);
}
