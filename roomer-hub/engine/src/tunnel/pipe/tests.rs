//! Tests of a tunnel's window, and of how a tunnel ends.

use super::*;
use roomer_proto::cluster::NodeId;

fn end() -> (TunnelEnd, Arc<Pipe>) {
    let key = TunnelKey { peer: NodeId(7), number: 1, is_opener: true };
    let pipe = Pipe::new();
    (TunnelEnd::new(key, pipe.clone(), Arc::default()), pipe)
}

fn read(end: &TunnelEnd, most: usize) -> Poll<io::Result<usize>> {
    end.poll_read(&mut Context::from_waker(Waker::noop()), &mut vec![0; most])
}

/// Returns the lengths of the data items that an end sends, and true if it then ends the tunnel.
fn sent(pipe: &Pipe, room: usize) -> (Vec<usize>, bool) {
    let mut lengths = Vec::new();
    loop {
        match pipe.next(room) {
            Ok(Some(Next::Data(bytes))) => lengths.push(bytes.len()),
            Ok(Some(Next::End)) => return (lengths, true),
            Ok(Some(Next::Credit(bytes))) => panic!("a credit of {bytes}"),
            Ok(None) | Err(Full) => return (lengths, false),
        }
    }
}

#[test]
fn pipe_accepts_one_window_until_credit() {
    let (end, pipe) = end();
    let bytes = vec![7; 2 * TUNNEL_WINDOW];
    assert_eq!(end.try_write(&bytes).unwrap(), TUNNEL_WINDOW);
    assert_eq!(end.try_write(&bytes).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(end.poll_writable(&mut Context::from_waker(Waker::noop())).is_pending());
    // The sum of the credit and the unsent bytes is limited to the window.
    pipe.grant(u32::MAX);
    assert_eq!(end.try_write(&bytes).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(sent(&pipe, 0), (vec![], false));
    assert_eq!(sent(&pipe, usize::MAX), (vec![TUNNEL_DATA; 4], false));
    pipe.grant(100);
    let parts = [IoSlice::new(&bytes[..60]), IoSlice::new(&bytes[..60])];
    assert_eq!(end.try_write_vectored(&parts).unwrap(), 100);
    assert_eq!(sent(&pipe, 64), (vec![64, 36], false));
}

#[test]
fn read_bytes_return_credit() {
    let (end, pipe) = end();
    assert!(read(&end, 10).is_pending());
    pipe.receive(&[7; TUNNEL_DATA]);
    assert!(
        matches!(read(&end, TUNNEL_DATA - 1), Poll::Ready(Ok(size)) if size == TUNNEL_DATA - 1)
    );
    assert!(matches!(pipe.next(0), Ok(None)), "too few for an item");
    assert!(matches!(read(&end, 10), Poll::Ready(Ok(1))));
    assert!(matches!(pipe.next(0), Ok(Some(Next::Credit(size))) if size as usize == TUNNEL_DATA));
    assert!(matches!(pipe.next(0), Ok(None)));
}

#[test]
fn exceeding_credit_ends_tunnel() {
    let (end, pipe) = end();
    for _ in 0..TUNNEL_WINDOW / TUNNEL_DATA {
        pipe.receive(&[7; TUNNEL_DATA]);
    }
    assert!(end.try_write(b"x").is_ok());
    pipe.receive(&[7]);
    assert_eq!(end.try_write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    while let Poll::Ready(Ok(size)) = read(&end, 100_000) {
        assert!(size > 0);
    }
    assert!(matches!(read(&end, 1), Poll::Ready(Err(_))), "an error, and not the end");
}

#[test]
fn dropped_end_flushes_before_close() {
    let (end, pipe) = end();
    end.try_write(b"last").unwrap();
    drop(end);
    assert_eq!(sent(&pipe, usize::MAX), (vec![4], true));
    assert_eq!(sent(&pipe, usize::MAX), (vec![], false), "once");
    assert!(pipe.is_dropped());
}

#[test]
fn eof_follows_peers_bytes() {
    let (end, pipe) = end();
    pipe.receive(b"last");
    pipe.end();
    assert!(matches!(read(&end, 10), Poll::Ready(Ok(4))));
    assert!(matches!(read(&end, 10), Poll::Ready(Ok(0))));
    assert!(end.has_ended(&Context::from_waker(Waker::noop())));
}

#[test]
fn unanswered_open_is_refused_when_tunnel_is_lost() {
    let cx = Context::from_waker(Waker::noop());
    let (waiting, pipe) = end();
    assert!(waiting.poll_answer(&cx).is_pending());
    pipe.lose();
    assert!(matches!(waiting.poll_answer(&cx), Poll::Ready(Some(Answer::Refused))));
    let (left, pipe) = end();
    pipe.end();
    assert!(matches!(left.poll_answer(&cx), Poll::Ready(None)), "the client is elsewhere");
}

#[test]
fn small_items_are_coalesced() {
    let (end, pipe) = end();
    for _ in 0..TUNNEL_WINDOW {
        pipe.receive(&[7]);
    }
    assert!(lock(&pipe.0).inbound.capacity() <= 2 * TUNNEL_WINDOW);
    assert!(matches!(read(&end, 100), Poll::Ready(Ok(100))));
    assert!(
        matches!(read(&end, TUNNEL_WINDOW), Poll::Ready(Ok(size)) if size == TUNNEL_WINDOW - 100)
    );
    assert_eq!(lock(&pipe.0).inbound.capacity(), 0, "an idle tunnel has no buffer");
}

#[test]
fn abort_wakes_waiting_task() {
    let (end, pipe) = end();
    assert!(!end.is_cut(&Context::from_waker(Waker::noop())));
    let mut wakers = Vec::new();
    assert!(pipe.cut(&mut wakers));
    assert_eq!(wakers.len(), 1);
    assert!(end.is_cut(&Context::from_waker(Waker::noop())));
}
