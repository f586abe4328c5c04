//! Tests of received streams with missing frames.

use super::*;

const WAIT: Duration = Duration::from_millis(500);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Returns a live stream in which one frame, which the peer has reported, is missing.
fn with_gap() -> Incoming {
    let mut incoming = Incoming::default();
    incoming.request_stream(ms(0), 1);
    let frame = Bytes::from_static(b"frame");
    assert_eq!(incoming.receive(ms(0), (1, 1), &frame, 1000), Received::Next);
    incoming.advance(ms(0), frame.len());
    incoming.become_live();
    assert_eq!(incoming.reported(1, 2), Some(false));
    assert_eq!(incoming.due(ms(0), WAIT), NextRequest::Nothing);
    incoming
}

fn demand() -> NextRequest {
    NextRequest::Resend(FrameRange { stream: 1, first: 2, last: 2 })
}

#[test]
fn missing_frame_is_lost_after_three_requests() {
    let mut incoming = with_gap();
    for at in [100, 200, 300] {
        assert_eq!(incoming.due_at(WAIT), Some(ms(at)));
        assert_eq!(incoming.due(ms(at), WAIT), demand());
    }
    assert_eq!(incoming.due_at(WAIT), Some(WAIT));
    assert_eq!(incoming.due(ms(499), WAIT), NextRequest::Nothing);
    assert_eq!(incoming.due(WAIT, WAIT), NextRequest::GiveUp);
}

#[test]
fn suspended_node_requests_missing_frame_before_giving_up() {
    let mut incoming = with_gap();
    for at in [9000, 9100, 9200] {
        assert_eq!(incoming.due(ms(at), WAIT), demand());
        assert_eq!(incoming.due(ms(at), WAIT), NextRequest::Nothing);
        assert_eq!(incoming.due_at(WAIT), Some(ms(at + 100)));
    }
    assert_eq!(incoming.due(ms(9300), WAIT), NextRequest::GiveUp);
}

#[test]
fn frames_above_limit_are_requested_again() {
    let mut incoming = with_gap();
    let frame = Bytes::from_static(b"frame");
    // There is space for two frames: those that follow the missing one first.
    for number in [5, 3, 6, 4] {
        assert_eq!(incoming.receive(ms(0), (1, number), &frame, 10), Received::Early);
        assert!(incoming.held_bytes() <= 10);
    }
    assert_eq!(incoming.due(ms(1), WAIT), demand());
    assert_eq!(incoming.receive(ms(2), (1, 2), &frame, 10), Received::Next);
    for _ in 3..=4 {
        assert_eq!(incoming.advance(ms(2), 5), Some(frame.clone()));
    }
    assert_eq!(incoming.advance(ms(2), 5), None);
    assert_eq!(incoming.close_gap(ms(2)), None, "two frames were dropped");
    let range = FrameRange { stream: 1, first: 5, last: 6 };
    assert_eq!(incoming.due(ms(2), WAIT), NextRequest::Resend(range));
}

#[test]
fn wait_without_requests_is_not_extended() {
    let mut incoming = with_gap();
    assert_eq!(incoming.due_at(ms(50)), Some(ms(50)));
    assert_eq!(incoming.due(ms(50), ms(50)), NextRequest::GiveUp);
}
