//! Tests that compare a session's log with a list of frames.

use roomer_proto::websocket::{Kind, message_frame};

use super::*;

/// Returns a frame with `len` bytes of payload. The payload begins with the frame's number.
fn frame(number: usize, len: usize) -> Bytes {
    let mut payload = number.to_string().into_bytes();
    payload.resize(len.max(payload.len()), b'.');
    let mut frame = Vec::new();
    message_frame(Kind::Binary, &payload, &mut frame);
    frame.into()
}

fn push(log: &mut Replay, frame: &Bytes, max: usize) -> bool {
    log.push(&Chunk::complete(frame.clone()), max)
}

fn log_of(sizes: &[usize]) -> (Replay, Vec<Bytes>) {
    let frames: Vec<_> = sizes.iter().enumerate().map(|(n, &len)| frame(n, len)).collect();
    let mut log = Replay::default();
    frames.iter().for_each(|frame| assert!(push(&mut log, frame, usize::MAX)));
    (log, frames)
}

const SIZES: [usize; 12] = [1, 125, 126, 5000, 3, 3, 70_000, 4096, 2000, 2000, 2000, 9];

#[test]
fn unacknowledged_frames_of_any_size_are_replayed() {
    for received in 0..=SIZES.len() {
        let (mut log, frames) = log_of(&SIZES);
        let again = log.resume(received as u64).unwrap();
        assert_eq!(again, frames[received..].concat(), "{received}");
        assert_eq!(log.len(), again.len());
        // Resume again, since the client may lose this socket too.
        assert_eq!(log.resume(received as u64).unwrap(), again);
    }
}

#[test]
fn acknowledged_frames_are_dropped_in_order() {
    let (mut log, frames) = log_of(&SIZES);
    for count in 0..=SIZES.len() {
        assert_eq!(log.acknowledge(count as u64), Ok(count > 0));
        assert_eq!(log.acknowledge(count as u64), Ok(false));
        let left: usize = frames[count..].iter().map(Bytes::len).sum();
        assert_eq!(log.len(), left, "{count}");
    }
    assert!(log.log.is_none(), "an idle session holds no memory");
    assert!(push(&mut log, &frame(0, 10), usize::MAX));
    assert_eq!(log.resume(12).unwrap(), frame(0, 10));
}

#[test]
fn acknowledgement_out_of_range_is_rejected() {
    let (mut log, _) = log_of(&[10, 10]);
    assert_eq!(log.acknowledge(1), Ok(true));
    assert_eq!(log.acknowledge(0), Err(WrongCount));
    assert_eq!(log.acknowledge(3), Err(WrongCount));
    assert_eq!(log_of(&[]).0.acknowledge(1), Err(WrongCount));
    assert_eq!(log_of(&[10]).0.resume(2), Err(WrongCount));
}

#[test]
fn partial_frame_counts_once_complete() {
    let whole = frame(1, 20_000);
    let mut log = Replay::default();
    push(&mut log, &frame(0, 5), usize::MAX);
    for part in [0..100, 100..9000, 9000..9001, 9001..whole.len()] {
        assert!(log.acknowledge(1).is_ok());
        push(&mut log, &whole.slice(part), usize::MAX);
    }
    assert_eq!(log.resume(1).unwrap(), whole);
    assert_eq!(log.acknowledge(2), Ok(true));
    assert_eq!(log.len(), 0);
}

#[test]
fn overflowing_log_drops_oldest_frames() {
    let mut log = Replay::default();
    let frames: Vec<_> = (0..12).map(|number| frame(number, 98)).collect();
    assert!(frames[..10].iter().all(|frame| push(&mut log, frame, 1000)));
    assert!(!push(&mut log, &frames[10], 1000));
    assert_eq!(log.len(), 1000);
    assert_eq!(log.resume(0), Err(WrongCount), "the first frame is gone");
    assert_eq!(log.resume(1).unwrap(), frames[1..11].concat());
    // Acknowledgements have made the log complete again.
    assert_eq!(log.acknowledge(5), Ok(true));
    assert!(push(&mut log, &frames[11], 1000));
    assert_eq!(log.resume(5).unwrap(), frames[5..].concat());
}

#[test]
fn oversized_message_is_not_logged() {
    let mut log = Replay::default();
    assert!(!push(&mut log, &frame(0, 5000), 1000));
    assert_eq!((log.len(), log.first), (0, 1));
    assert_eq!(log.acknowledge(1), Ok(true));
    assert!(push(&mut log, &frame(1, 10), 1000));
    assert_eq!(log.resume(1).unwrap(), frame(1, 10));
}

#[test]
fn log_shares_batches_and_copies_small_messages() {
    let batch = Bytes::from([frame(0, 200), frame(1, 200)].concat());
    let mut log = Replay::default();
    let is_shared = |log: &Replay| log.buffers().any(|kept| kept.as_ptr() == batch.as_ptr());
    log.push(&Chunk::frames(batch.slice(..202), 1), usize::MAX);
    assert!(!is_shared(&log), "a reference would not be cheaper");
    log.push(&Chunk::frames(batch.clone(), 2), usize::MAX);
    assert!(is_shared(&log));
    let mut alone = Replay::default();
    alone.push(&Chunk::complete(batch.to_vec()), usize::MAX);
    assert_eq!((alone.buffers().count(), alone.own()), (0, batch.len()));
}

#[test]
fn shared_batch_counts_until_fully_acknowledged() {
    let batch = Bytes::from([frame(0, 700), frame(1, 100)].concat());
    let mut log = Replay::default();
    log.push(&Chunk::frames(batch.clone(), 2), usize::MAX);
    let all = batch.len() + SEGMENT;
    assert_eq!((log.len(), log.held(), log.own()), (batch.len(), all, SEGMENT));
    log.acknowledge(1).unwrap();
    assert_eq!((log.len(), log.held()), (102, all), "the rest keeps all of it");
    assert_eq!(log.resume(1).unwrap(), frame(1, 100));
    log.acknowledge(2).unwrap();
    assert_eq!((log.held(), log.own(), batch.is_unique()), (0, 0, true));
}

/// Pushes random messages in batches, with and without counts, or in parts, together with random
/// acknowledgements and resumes.
#[test]
fn log_keeps_exactly_unacknowledged_frames() {
    for seed in 0..500_u64 {
        let mut state = seed;
        let mut below = move |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed | 1);
            (state >> 33) % limit
        };
        let (mut log, mut sent, mut acknowledged) = (Replay::default(), Vec::new(), 0);
        for _ in 0..60 {
            let sizes = [2, 5, 100, 130, 900, 5000];
            let frames: Vec<_> =
                (0..1 + below(6)).map(|n| frame(n as usize, sizes[below(6) as usize])).collect();
            let batch = Bytes::from(frames.concat());
            let _others = batch.clone();
            match below(4) {
                0 => log.push(&Chunk::frames(batch, frames.len()), usize::MAX),
                1 => log.push(&Chunk::complete(batch), usize::MAX),
                2 => log.push(&Chunk::complete(batch.to_vec()), usize::MAX),
                _ => {
                    // Only the last frame may be cut, and its header must stay whole.
                    let at = batch.len() - (frames[frames.len() - 1].len() - 2) / 2;
                    log.push(&Chunk::partial(batch.slice(..at)), usize::MAX);
                    log.push(&Chunk::complete(batch.slice(at..)), usize::MAX)
                }
            };
            sent.extend(frames);
            acknowledged +=
                below((sent.len() - acknowledged) as u64 + 1) as usize * below(2) as usize;
            assert!(log.acknowledge(acknowledged as u64).is_ok(), "seed {seed}");
            let left = sent[acknowledged..].concat();
            assert_eq!(log.len(), left.len(), "seed {seed}");
            assert!(log.held() >= log.len());
            if below(5) == 0 {
                assert_eq!(log.resume(acknowledged as u64).unwrap(), left, "seed {seed}");
            }
        }
        assert!(log.acknowledge(sent.len() as u64 + 1).is_err(), "seed {seed}");
    }
}
