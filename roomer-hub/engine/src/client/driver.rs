//! A client's task, which connects its state machine with its socket and runs its timer.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use roomer_proto::client::{Action, State};

use super::builder::{BoxStream, Target};
use super::dialing::{Dialed, Dialing, dialing};
use super::platform_socket::PlatformSocket;
use super::renewals::Renewals;
use super::requests::{self, Handlers};
use super::runtime::{Incoming, MessageSocket, Runtime};
use super::shared::{Dispatched, Inner, Shared};
use crate::app::call::{catch_panic, poll};

/// The read buffer's size. The buffer is on the stack, so an idle client does not allocate one.
const READ_BYTES: usize = 16 * 1024;

/// The number of steps after which the task yields.
const MAX_STEPS: usize = 32;

type Timer = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Driver<R> {
    shared: Arc<Shared>,
    target: Target,
    handlers: Handlers,
    link: Link,
    /// Bytes to write. The first `written` of them have been written.
    out: Vec<u8>,
    written: usize,
    must_flush: bool,
    /// The timer. It may fire before the deadline, and is reset in that case.
    timer: Option<(Duration, Timer)>,
    /// Present once the server has requested a new token.
    renewals: Option<Box<Renewals>>,
    platform: Option<Box<Platform>>,
    runtime: PhantomData<fn() -> R>,
}

/// State that a client needs only if the platform provides WebSockets or a wake-up signal.
#[derive(Default)]
struct Platform {
    /// Abandoned WebSockets, kept open while the server may keep the session, since a close frame
    /// would end the session.
    abandoned: Vec<Box<dyn MessageSocket>>,
    _watch: Option<Box<dyn Send>>,
}

enum Link {
    None,
    Dialing(Dialing),
    Open(BoxStream),
    Platform(Box<PlatformSocket>),
}

/// Completes when the client is closed. Implemented manually, since an async function's future
/// would hold the driver twice.
impl<R: Runtime> Future for Driver<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().step(cx)
    }
}

impl<R: Runtime> Driver<R> {
    pub(super) fn new(shared: Arc<Shared>, target: Target, handlers: Handlers) -> Self {
        // Use a weak reference so that a client without handles is dropped while the platform
        // still holds the callback.
        let weak = Arc::downgrade(&shared);
        let watch = R::watch(Arc::new(move || {
            if let Some(shared) = weak.upgrade() {
                shared.call(|inner, now| inner.machine.wake(now));
            }
        }));
        Driver {
            shared,
            target,
            handlers,
            link: Link::None,
            out: Vec::new(),
            written: 0,
            must_flush: false,
            timer: None,
            renewals: None,
            platform: watch
                .map(|watch| Box::new(Platform { _watch: Some(watch), ..Platform::default() })),
            runtime: PhantomData,
        }
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..MAX_STEPS {
            let deadline = self.turn(cx);
            // Keep an open link until its last bytes are written.
            if matches!(self.link, Link::None) && self.shared.lock().closed.is_some() {
                return Poll::Ready(());
            }
            let has_moved = match &self.link {
                Link::None => false,
                Link::Dialing(_) => self.dial(cx),
                // Use `|` instead of `||`: both must be polled so that both register this task's
                // waker.
                Link::Open(_) => self.write(cx) | self.read(cx),
                Link::Platform(_) => self.receive_messages(cx),
            };
            if !has_moved && self.wait(cx, deadline).is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Advances the machine to the current time and dispatches its events. Returns the machine's
    /// deadline if that is in the future.
    fn turn(&mut self, cx: &mut Context<'_>) -> Option<Duration> {
        let shared = self.shared.clone();
        let now = shared.now();
        let mut inner = shared.lock();
        if let Link::Platform(socket) = &mut self.link {
            socket.progress(&mut inner.machine, now);
        }
        loop {
            // The machine uses random bytes only for the delay before an attempt.
            let is_waiting = inner.machine.state() == State::Waiting;
            let random = if is_waiting { random_u64(&shared) } else { 0 };
            let Some(need) = inner.machine.poll(now, random) else { break };
            match need {
                Action::Connect => {
                    let full = inner.machine.next_address(self.target.address.clone());
                    self.link = Link::Dialing(dialing::<R>(self.target.clone(), full));
                }
                _ => self.hang_up(&mut inner, now, cx),
            }
        }
        match &mut self.link {
            // Take more output only after all earlier bytes are written: a packet that is still in
            // the machine can be withdrawn, or is reported as unsent.
            Link::Open(_) if self.out.is_empty() => {
                let mut keys = Keys::new(&shared);
                inner.machine.transmit(now, &mut self.out, &mut || keys.next());
            }
            Link::Platform(socket) => socket.transmit(&mut inner.machine, now),
            _ => {}
        }
        if matches!(inner.machine.state(), State::Open | State::Closed) {
            // The session has a new connection or has ended, so the old sockets may now close.
            self.platform.iter_mut().for_each(|platform| platform.abandoned.clear());
        }
        let mut due = Dispatched::default();
        inner.dispatch(&mut due);
        // Register under the same lock as the calls above so that no change by a handle is missed.
        if !inner.driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            inner.driver = Some(cx.waker().clone());
        }
        let deadline = inner.machine.deadline(now);
        drop(inner);
        due.woken.into_iter().for_each(Waker::wake);
        requests::answer::<R>(&shared, &self.handlers, due.requests);
        if due.is_expiring {
            let renewals = self.renewals.get_or_insert_default();
            renewals.start::<R>(now, &shared, self.target.token.clone());
        }
        deadline
    }

    fn dial(&mut self, cx: &mut Context<'_>) -> bool {
        let Link::Dialing(dialing) = &mut self.link else { return false };
        // Dialing calls the application's functions, and a panic there fails only this attempt.
        let Poll::Ready(result) = poll(dialing, cx) else { return false };
        let result =
            result.unwrap_or_else(|panic| Err(format!("a function panicked: {}", panic.message)));
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        match result {
            Ok(Dialed::Bytes(address, stream)) => {
                inner.machine.connected(&address, self.shared.random());
                drop(inner);
                self.link = Link::Open(stream);
            }
            Ok(Dialed::Platform(socket)) => {
                inner.machine.upgraded();
                drop(inner);
                self.link = Link::Platform(Box::new(PlatformSocket::new(socket)));
            }
            Err(reason) => {
                inner.machine.failed(now, reason);
                drop(inner);
                self.unlink();
            }
        }
        true
    }

    /// Writes as many bytes as the socket accepts. Returns true if any were written, or if the
    /// connection is lost.
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        let Link::Open(stream) = &mut self.link else { return false };
        let mut has_moved = false;
        while self.written < self.out.len() {
            match Pin::new(&mut *stream).poll_write(cx, &self.out[self.written..]) {
                Poll::Ready(Ok(size)) if size > 0 => {
                    (self.written, has_moved) = (self.written + size, true);
                }
                // A write of zero bytes means that the stream is closed.
                Poll::Ready(_) => return self.lost(),
                Poll::Pending => break,
            }
        }
        self.must_flush |= has_moved;
        if has_moved {
            let now = self.shared.now();
            self.shared.lock().machine.progressed(now);
            if self.written == self.out.len() {
                // Free the buffer, which an idle client does not need.
                (self.out, self.written) = (Vec::new(), 0);
            }
        }
        if self.must_flush {
            match Pin::new(stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.must_flush = false,
                Poll::Ready(Err(_)) => return self.lost(),
                Poll::Pending => {}
            }
        }
        has_moved
    }

    /// Reads the bytes that have arrived. Returns true if there were any, or if the connection is lost.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        let Link::Open(stream) = &mut self.link else { return false };
        let mut bytes = [0; READ_BYTES];
        match Pin::new(stream).poll_read(cx, &mut bytes) {
            Poll::Ready(Ok(size)) if size > 0 => {
                let now = self.shared.now();
                self.shared.lock().machine.receive(now, &mut bytes[..size]);
                true
            }
            Poll::Ready(_) => self.lost(),
            Poll::Pending => false,
        }
    }

    /// Processes messages received by the platform WebSocket. Returns true if there were any.
    fn receive_messages(&mut self, cx: &mut Context<'_>) -> bool {
        let Link::Platform(socket) = &mut self.link else { return false };
        let Poll::Ready(incoming) = socket.poll_next(cx) else { return false };
        let now = self.shared.now();
        let machine = &mut self.shared.lock().machine;
        match incoming {
            Incoming::Message(data) => machine.receive_message(now, &data),
            Incoming::Closed { code, reason } => {
                machine.closed(now, code, &reason);
                self.link = Link::None;
            }
            Incoming::Lost => {
                machine.disconnected(now);
                self.link = Link::None;
            }
        }
        true
    }

    fn lost(&mut self) -> bool {
        let now = self.shared.now();
        self.shared.lock().machine.disconnected(now);
        self.unlink();
        true
    }

    /// Waits until the deadline. Returns `Poll::Ready` if it has passed.
    fn wait(&mut self, cx: &mut Context<'_>, deadline: Option<Duration>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        // A timer that fires early costs one poll. Resetting it would cost one timer operation per
        // message.
        if self.timer.as_ref().is_none_or(|(at, _)| *at > deadline) {
            let now = self.shared.now();
            let sleep = R::sleep(deadline.saturating_sub(now));
            self.timer = Some((deadline, Box::pin(sleep)));
        }
        let Some((_, sleep)) = &mut self.timer else { return Poll::Pending };
        let result = sleep.as_mut().poll(cx);
        if result.is_ready() {
            self.timer = None;
        }
        result
    }
}

impl<R> Driver<R> {
    /// Drops the connection, after writing as many of its last bytes as the socket accepts.
    fn hang_up(&mut self, inner: &mut Inner, now: Duration, cx: &mut Context<'_>) {
        if let Link::Platform(socket) = &mut self.link {
            socket.transmit(&mut inner.machine, now);
            if let Link::Platform(socket) = std::mem::replace(&mut self.link, Link::None) {
                let platform = self.platform.get_or_insert_default();
                platform.abandoned.extend(socket.abandon());
            }
            return;
        }
        let mut keys = Keys::new(&self.shared);
        // Append to the bytes not yet written: the server could not parse a close frame after half
        // a frame.
        inner.machine.transmit(now, &mut self.out, &mut || keys.next());
        if let Link::Open(stream) = &mut self.link {
            let mut stream = Pin::new(stream);
            // Ignore the result, since the connection is dropped either way.
            let _ = stream.as_mut().poll_write(cx, &self.out[self.written..]);
            let _ = stream.as_mut().poll_flush(cx);
            let _ = stream.as_mut().poll_close(cx);
        }
        self.unlink();
    }

    fn unlink(&mut self) {
        (self.link, self.out, self.written, self.must_flush) = (Link::None, Vec::new(), 0, false);
    }
}

/// Closes the client if its task ends early, because the runtime was shut down or the task panicked.
/// Otherwise the handles would wait forever.
impl<R> Drop for Driver<R> {
    fn drop(&mut self) {
        let shared = self.shared.clone();
        let now = shared.now();
        let mut inner = shared.lock();
        if inner.closed.is_some() {
            return;
        }
        if matches!(inner.machine.state(), State::Open | State::Closing) {
            inner.machine.close(now);
            // Try to write the last messages and a close frame, without which the server would keep
            // the session. Catch a panic of the application's stream, which may be the reason why
            // the task ends.
            let cx = &mut Context::from_waker(Waker::noop());
            let _ = catch_panic(|| self.hang_up(&mut inner, now, cx));
        }
        inner.machine.abort(now);
        let mut due = Dispatched::default();
        inner.dispatch(&mut due);
        drop(inner);
        due.woken.into_iter().for_each(Waker::wake);
    }
}

fn random_u64(shared: &Shared) -> u64 {
    // Skip the bytes that contain the UUID's version and variant, since they are not random.
    let random = shared.random();
    u64::from_be_bytes([
        random[0], random[1], random[2], random[3], random[4], random[5], random[10], random[11],
    ])
}

/// Generates masking keys, two from each call for random bytes.
struct Keys<'a> {
    shared: &'a Shared,
    random: [u8; 16],
    used: usize,
}

/// The offsets of two keys in a version 4 UUID that avoid the bytes with its version and variant.
const KEYS: [usize; 2] = [0, 12];

impl<'a> Keys<'a> {
    fn new(shared: &'a Shared) -> Self {
        Keys { shared, random: [0; 16], used: KEYS.len() }
    }

    fn next(&mut self) -> [u8; 4] {
        if self.used == KEYS.len() {
            (self.random, self.used) = (self.shared.random(), 0);
        }
        let at = KEYS[self.used];
        self.used += 1;
        [self.random[at], self.random[at + 1], self.random[at + 2], self.random[at + 3]]
    }
}
