//! Connecting to a host that has several addresses.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// The time after which the next address is tried as well (RFC 8305 section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first of a host's addresses that answers. Tries them in the given order, each as
/// soon as the previous one has failed, or has not answered for 250 ms: with a broken IPv6 network,
/// for example, packets to the first address are lost without an error (RFC 8305).
///
/// `connect` and `sleep` are the runtime's functions.
///
/// # Errors
///
/// Returns the error of the last attempt that failed, if all of them have.
pub async fn connect_first<S, C, T>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> C,
    sleep: impl Fn(Duration) -> T,
) -> io::Result<S>
where
    C: Future<Output = io::Result<S>>,
    T: Future,
{
    let mut addresses = addresses.into_iter();
    let mut attempts = Vec::new();
    let mut delay = None;
    let mut error = io::Error::new(ErrorKind::NotFound, "the host has no address");
    poll_fn(|cx| {
        loop {
            if delay.is_none()
                && let Some(address) = addresses.next()
            {
                attempts.push(Box::pin(connect(address)));
                delay = Some(Box::pin(sleep(ATTEMPT_DELAY)));
            }
            let before = attempts.len();
            let mut connected = None;
            attempts.retain_mut(|attempt| match attempt.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(result) => {
                    match result {
                        Ok(stream) => connected = Some(stream),
                        Err(failure) => error = failure,
                    }
                    false
                }
            });
            if let Some(stream) = connected {
                return Poll::Ready(Ok(stream));
            }
            let has_failed = attempts.len() < before;
            let is_due = |delay: &mut Pin<Box<T>>| delay.as_mut().poll(cx).is_ready();
            if has_failed || delay.as_mut().is_some_and(is_due) {
                delay = None;
            } else if attempts.is_empty() {
                return Poll::Ready(Err(mem::replace(&mut error, ErrorKind::Other.into())));
            } else {
                return Poll::Pending;
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    /// The outcome of an attempt to connect to an address.
    #[derive(Clone, Copy)]
    enum Peer {
        Silent,
        Refusing,
        /// Answers once this many attempts have been made.
        After(usize),
    }

    /// Connects to these peers. The delay between attempts ends immediately if `is_due` is true,
    /// and never otherwise. Returns the number of the peer that has answered, and how many attempts
    /// were made.
    fn dial(peers: &[Peer], is_due: bool) -> (Poll<Result<usize, ErrorKind>>, usize) {
        let addresses: Vec<SocketAddr> =
            (0..peers.len()).map(|n| ([127, 0, 0, 1], u16::try_from(n).unwrap()).into()).collect();
        let attempts = Cell::new(0);
        let connect = |address: SocketAddr| {
            attempts.set(attempts.get() + 1);
            let number = usize::from(address.port());
            let (attempts, peer) = (&attempts, peers[number]);
            poll_fn(move |_| match peer {
                Peer::Refusing => Poll::Ready(Err(ErrorKind::ConnectionRefused.into())),
                Peer::After(count) if attempts.get() >= count => Poll::Ready(Ok(number)),
                _ => Poll::Pending,
            })
        };
        let delays = RefCell::new(Vec::new());
        let sleep = |time| {
            delays.borrow_mut().push(time);
            poll_fn(move |_| if is_due { Poll::Ready(()) } else { Poll::Pending })
        };
        let dial = pin!(connect_first(addresses, connect, sleep));
        let result = dial.poll(&mut Context::from_waker(Waker::noop()));
        assert!(delays.borrow().iter().all(|time| *time == ATTEMPT_DELAY));
        (result.map_err(|error| error.kind()), attempts.get())
    }

    #[test]
    fn next_address_is_tried_when_earlier_ones_are_silent_or_fail() {
        use Peer::{After, Refusing, Silent};

        assert_eq!(dial(&[After(1), Silent], true), (Poll::Ready(Ok(0)), 1));
        assert_eq!(dial(&[Silent, After(1)], false), (Poll::Pending, 1));
        assert_eq!(dial(&[Silent, After(1), Silent], true), (Poll::Ready(Ok(1)), 2));
        assert_eq!(dial(&[Refusing, After(1)], false), (Poll::Ready(Ok(1)), 2));
        assert_eq!(dial(&[Silent, Refusing, After(1)], true), (Poll::Ready(Ok(2)), 3));
        // An earlier attempt continues while later ones are made.
        assert_eq!(dial(&[After(2), Silent], true), (Poll::Ready(Ok(0)), 2));
        assert_eq!(dial(&[Silent, Silent], true), (Poll::Pending, 2));
        let refused = Poll::Ready(Err(ErrorKind::ConnectionRefused));
        assert_eq!(dial(&[Refusing, Refusing], false), (refused, 2));
        assert_eq!(dial(&[], true), (Poll::Ready(Err(ErrorKind::NotFound)), 0));
    }
}
