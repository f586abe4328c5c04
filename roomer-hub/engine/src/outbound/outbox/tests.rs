//! Tests of the queue's counts and states.

use super::*;

const MAX: usize = 100;

fn frame(payload: usize) -> Vec<u8> {
    let mut bytes = vec![0x82, payload as u8];
    bytes.resize(2 + payload, b'x');
    bytes
}

fn waiting(outbox: &Outbox) -> usize {
    outbox.chunks().map(Chunk::len).sum()
}

/// Performs a write, with a socket that accepts `accepted` bytes.
fn write(outbox: &mut Outbox, accepted: usize) {
    outbox.is_writing = true;
    let in_flight = outbox.take();
    let offered = in_flight.front.len() + in_flight.back.iter().map(Chunk::len).sum::<usize>();
    outbox.put_back(in_flight, Written::Some { accepted, offered });
    outbox.is_writing = false;
}

#[test]
fn short_write_blocks_until_writable() {
    let mut outbox = Outbox::default();
    assert!(outbox.push(Chunk::complete(frame(10)), MAX));
    assert!(outbox.is_writable());
    write(&mut outbox, 5);
    assert_eq!((outbox.queued(), outbox.written()), (7, 5));
    assert!(outbox.is_blocked() && !outbox.is_writable());
    outbox.unblock();
    write(&mut outbox, 7);
    assert_eq!((outbox.queued(), outbox.unblock_count()), (0, 1));
    assert!(!outbox.is_blocked() && !outbox.is_writable());
}

#[test]
fn bytes_queued_during_write_follow_it() {
    let mut outbox = Outbox::default();
    outbox.push(Chunk::complete(&b"first"[..]), MAX);
    outbox.push(Chunk::complete(&b"second"[..]), MAX);
    let in_flight = outbox.take();
    outbox.push(Chunk::complete(&b"third"[..]), MAX);
    outbox.put_back(in_flight, Written::Some { accepted: 7, offered: 11 });
    let left: Vec<&[u8]> = outbox.chunks().map(Chunk::left).collect();
    assert_eq!(left, [&b"cond"[..], b"third"]);
}

#[test]
fn newest_message_is_not_counted() {
    let mut outbox = Outbox::default();
    outbox.push(Chunk::complete(frame(10)), MAX);
    outbox.push(Chunk::complete(frame(50)), MAX);
    assert_eq!((outbox.queued(), outbox.newest(), outbox.counted()), (64, 52, 12));
}

#[test]
fn queue_above_maximum_is_overrun_and_keeps_bytes() {
    let mut outbox = Outbox::default();
    assert!(outbox.push(Chunk::complete(frame(MAX)), MAX));
    assert_eq!(outbox.phase(), OutboxPhase::Open);
    assert!(outbox.push(Chunk::complete(frame(1)), MAX), "this one has to be reported");
    assert_eq!((outbox.phase(), outbox.queued()), (OutboxPhase::Overrun, MAX + 2));
    assert!(!outbox.push(Chunk::complete(frame(1)), MAX));
}

#[test]
fn chunked_message_is_completed_above_maximum() {
    let mut outbox = Outbox::default();
    outbox.push(Chunk::partial(frame(MAX)), MAX);
    outbox.push(Chunk::complete(&b"end"[..]), MAX);
    assert_eq!((outbox.phase(), outbox.queued()), (OutboxPhase::Open, MAX + 5));
}

#[test]
fn dropping_unsent_frames_keeps_started_frame() {
    let mut outbox = Outbox::default();
    outbox.push(Chunk::partial(frame(10)), MAX);
    outbox.push(Chunk::complete(&b"rest"[..]), MAX);
    outbox.push(Chunk::complete(frame(20)), MAX);
    assert!(outbox.finish(Bytes::from_static(b"close"), true));
    assert_eq!((outbox.phase(), waiting(&outbox)), (OutboxPhase::Closing, 12 + 4 + 5));
    assert!(!outbox.finish(Bytes::from_static(b"again"), false));
    assert_eq!(outbox.queued(), waiting(&outbox));
}

#[test]
fn outbox_killed_during_write_stays_empty() {
    let mut outbox = Outbox::default();
    outbox.push(Chunk::complete(frame(10)), MAX);
    let in_flight = outbox.take();
    outbox.kill();
    outbox.put_back(in_flight, Written::Some { accepted: 3, offered: 12 });
    assert_eq!((outbox.queued(), waiting(&outbox), outbox.written()), (0, 0, 0));
    assert!(!outbox.push(Chunk::complete(frame(1)), MAX));
}

#[test]
fn failed_write_kills_outbox_and_interrupted_write_does_not() {
    let mut outbox = Outbox::default();
    outbox.push(Chunk::complete(frame(10)), MAX);
    let in_flight = outbox.take();
    outbox.put_back(in_flight, Written::Interrupted);
    assert!(outbox.is_writable());
    let in_flight = outbox.take();
    outbox.put_back(in_flight, Written::Full);
    assert_eq!((outbox.is_blocked(), outbox.queued()), (true, 12));
    let in_flight = outbox.take();
    outbox.put_back(in_flight, Written::Failed);
    assert_eq!((outbox.phase(), outbox.queued()), (OutboxPhase::Dead, 0));
}

fn texts(outbox: &Outbox) -> Vec<&[u8]> {
    outbox.chunks().map(Chunk::left).collect()
}

#[test]
fn shared_batch_is_written_by_each_outbox() {
    let batch = Queue::of_batch(Bytes::from_static(b"batch"));
    let [mut fast, mut slow, mut behind]: [Outbox; 3] = Default::default();
    behind.push(Chunk::complete(&b"older"[..]), MAX);
    for outbox in [&mut fast, &mut slow, &mut behind] {
        assert!(outbox.push_batch(&batch, MAX));
    }
    assert_eq!((fast.queued(), fast.counted(), slow.queued()), (5, 0, 5));
    write(&mut fast, 5);
    write(&mut slow, 2);
    assert_eq!((fast.queued(), fast.written(), texts(&fast).len()), (0, 5, 0));
    assert_eq!((slow.queued(), slow.written(), slow.is_blocked()), (3, 2, true));
    assert_eq!(texts(&slow), [b"tch"]);
    assert_eq!(texts(&behind), [b"older", b"batch"]);
}

#[test]
fn bytes_queued_during_write_of_shared_batch_follow_it() {
    let batch = Queue::of_batch(Bytes::from_static(b"batch"));
    for (accepted, left) in [(5, vec![&b"newer"[..]]), (2, vec![b"tch", b"newer"])] {
        let mut outbox = Outbox::default();
        outbox.push_batch(&batch, MAX);
        outbox.is_writing = true;
        let in_flight = outbox.take();
        assert_eq!((outbox.queued(), texts(&outbox).len()), (5, 0), "being written");
        outbox.push(Chunk::complete(&b"newer"[..]), MAX);
        assert_eq!((outbox.queued(), texts(&outbox)), (10, vec![&b"newer"[..]]));
        outbox.put_back(in_flight, Written::Some { accepted, offered: 5 });
        outbox.is_writing = false;
        assert_eq!((outbox.queued(), texts(&outbox)), (10 - accepted, left));
    }
    let mut killed = Outbox::default();
    killed.push_batch(&batch, MAX);
    killed.is_writing = true;
    let in_flight = killed.take();
    killed.kill();
    killed.put_back(in_flight, Written::Some { accepted: 5, offered: 5 });
    assert_eq!((killed.queued(), killed.written()), (0, 0));
}

#[test]
fn idle_outbox_has_no_queue() {
    let mut outbox = Outbox::default();
    outbox.push(Chunk::complete(frame(10)), MAX);
    write(&mut outbox, 5);
    outbox.settle();
    assert!(outbox.queue.is_some(), "seven bytes are left");
    outbox.unblock();
    write(&mut outbox, 7);
    outbox.settle();
    assert!(outbox.queue.is_none());
    outbox.push_batch(&Queue::of_batch(Bytes::from_static(b"batch")), MAX);
    write(&mut outbox, 5);
    assert!(outbox.queue.is_none());
}

#[test]
fn written_bytes_are_counted_beyond_32_bits() {
    let mut outbox = Outbox { written: u32::MAX - 2, ..Outbox::default() };
    for total in [3, 6] {
        outbox.push(Chunk::complete(&b"abc"[..]), MAX);
        write(&mut outbox, 3);
        outbox.settle();
        assert_eq!(outbox.written(), u64::from(u32::MAX - 2) + total);
    }
}
