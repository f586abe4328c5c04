//! Renewing the login when the server requests a new token.

use std::sync::Arc;
use std::time::Duration;

use roomer_proto::ConnId;
use roomer_proto::client::{Client as Machine, State};

use super::builder::TokenSource;
use super::runtime::Runtime;
use super::shared::Shared;

/// The minimum time between two calls to the application's token function, however often the server
/// requests a token.
const PAUSE: Duration = Duration::from_secs(2);

/// The rate limit for a client's login renewals.
#[derive(Default)]
pub(super) struct Renewals {
    /// The earliest time of the next renewal.
    next_at: Duration,
    /// The client's id in the session of the latest renewal.
    id: Option<ConnId>,
}

impl Renewals {
    /// Obtains a new token and sends it, in a separate task.
    pub(super) fn start<R: Runtime>(
        &mut self,
        now: Duration,
        shared: &Arc<Shared>,
        token: Option<TokenSource>,
    ) {
        let Some(token) = token else { return };
        let id = shared.lock().machine.id();
        let Some(delay) = self.delay(now, id) else { return };
        let shared = shared.clone();
        R::spawn(async move {
            if !delay.is_zero() {
                R::sleep(delay).await;
            }
            // A new session has its own login, and a closed client needs none.
            if !is_asked(&shared.lock().machine, id) {
                return;
            }
            // Without a token, the server closes the connection when the login expires, and the
            // next attempt requests a token. The same applies if the connection has been lost in
            // the meantime.
            if let Ok(token) = token().await {
                shared.call(|inner, now| {
                    // The session may have ended while the token was obtained.
                    if is_asked(&inner.machine, id) {
                        let _ = inner.machine.renew(now, &token);
                    }
                });
            }
        });
    }

    /// Returns how long a renewal requested now must wait, or `None` if an earlier renewal of this
    /// session is still waiting and will serve this request too. `id` is the client's id in the
    /// session.
    fn delay(&mut self, now: Duration, id: Option<ConnId>) -> Option<Duration> {
        let mut delay = self.next_at.saturating_sub(now);
        if delay > PAUSE {
            if self.id == id {
                return None;
            }
            // The waiting renewal belongs to an earlier session, and will not obtain a token.
            delay -= PAUSE;
        }
        (self.next_at, self.id) = (now + delay + PAUSE, id);
        Some(delay)
    }
}

/// Returns true if the client still has this id, in an extended session, and is not closing.
fn is_asked(machine: &Machine, id: Option<ConnId>) -> bool {
    machine.is_extended() && machine.id() == id && machine.state() != State::Closing
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::{Future, poll_fn, ready};
    use std::io;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Waker};

    use roomer_proto::client::{Options, Outgoing};
    use roomer_proto::extended::{HELLO, TOKEN};
    use roomer_proto::{PacketRef, ROOT};

    use super::super::runtime::ByteStream;
    use super::*;

    const ANN: &str = "07070707-0707-4707-8707-070707070707";
    const BEN: &str = "08080808-0808-4808-8808-080808080808";

    type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

    thread_local! {
        static TASKS: RefCell<Vec<Task>> = const { RefCell::new(Vec::new()) };
        static IS_AWAKE: Cell<bool> = const { Cell::new(false) };
    }

    /// A runtime that stores the spawned tasks, which the test polls. The test also ends their
    /// sleep.
    struct Manual;

    impl Runtime for Manual {
        async fn connect(_: String, _: u16) -> io::Result<Box<dyn ByteStream>> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn sleep(_: Duration) -> impl Future<Output = ()> + Send + 'static {
            poll_fn(|_| if IS_AWAKE.get() { Poll::Ready(()) } else { Poll::Pending })
        }

        fn spawn(task: impl Future<Output = ()> + Send + 'static) {
            TASKS.with_borrow_mut(|tasks| tasks.push(Box::pin(task)));
        }
    }

    struct Login {
        shared: Arc<Shared>,
        renewals: Renewals,
        obtained: Arc<AtomicUsize>,
    }

    impl Login {
        fn new() -> Self {
            IS_AWAKE.set(false);
            let shared = Arc::new(Shared::new(Options::default()));
            Login { shared, renewals: Renewals::default(), obtained: Arc::default() }
        }

        /// Connects, and starts a new session.
        fn open(&self, id: &str) {
            let (mut inner, now) = (self.shared.lock(), self.shared.now());
            let machine = &mut inner.machine;
            machine.disconnected(now);
            while machine.state() != State::Connecting {
                machine.poll(now, 0);
            }
            machine.upgraded();
            let payload = b"{\"session\":\"t\"}";
            let hello = PacketRef { room: ROOT, event: HELLO, src: id, payload, dst: "" };
            machine.receive_message(now, &hello.to_bytes());
            assert_eq!(machine.state(), State::Open);
        }

        /// Handles the server's request for a token.
        fn on_token_request(&mut self) {
            let obtained = self.obtained.clone();
            let token: TokenSource = Arc::new(move || {
                obtained.fetch_add(1, Ordering::Relaxed);
                Box::pin(ready(Ok("t".to_owned())))
            });
            self.renewals.start::<Manual>(self.shared.now(), &self.shared, Some(token));
            run_tasks();
        }

        /// Returns how often the token has been obtained, and how often it has been sent, since the
        /// last call.
        fn counts(&self) -> (usize, usize) {
            let (mut inner, now) = (self.shared.lock(), self.shared.now());
            inner.machine.poll(now, 0);
            let mut sent = 0;
            inner.machine.transmit_messages(now, &mut |outgoing| {
                let Outgoing::Message(bytes) = outgoing else { return };
                sent += usize::from(PacketRef::decode(bytes).is_ok_and(|it| it.event == TOKEN));
            });
            (self.obtained.swap(0, Ordering::Relaxed), sent)
        }

        fn close(&self) {
            self.shared.call(|inner, now| inner.machine.close(now));
        }
    }

    fn run_tasks() {
        let mut cx = Context::from_waker(Waker::noop());
        TASKS
            .with_borrow_mut(|tasks| tasks.retain_mut(|it| it.as_mut().poll(&mut cx).is_pending()));
    }

    fn awake() {
        IS_AWAKE.set(true);
        run_tasks();
        IS_AWAKE.set(false);
    }

    #[test]
    fn repeated_token_requests_are_delayed() {
        let mut login = Login::new();
        login.open(ANN);
        login.on_token_request();
        assert_eq!(login.counts(), (1, 1));
        login.on_token_request();
        login.on_token_request();
        assert_eq!(login.counts(), (0, 0));
        awake();
        assert_eq!(login.counts(), (1, 1));
    }

    #[test]
    fn closed_client_obtains_no_token() {
        let mut login = Login::new();
        login.open(ANN);
        login.on_token_request();
        login.counts();
        login.on_token_request();
        login.close();
        awake();
        assert_eq!(login.counts(), (0, 0));
    }

    #[test]
    fn token_is_sent_only_in_requesting_session() {
        let mut login = Login::new();
        login.open(ANN);
        login.on_token_request();
        login.counts();
        login.on_token_request();
        login.open(BEN);
        awake();
        assert_eq!(login.counts(), (0, 0));

        // The server requests a token in the next session while the previous session's task still
        // waits.
        let mut login = Login::new();
        login.open(ANN);
        login.on_token_request();
        login.counts();
        login.on_token_request();
        login.open(BEN);
        login.on_token_request();
        awake();
        assert_eq!(login.counts(), (1, 1));
    }

    #[test]
    fn token_requests_are_limited_to_one_per_two_seconds() {
        let mut renewals = Renewals::default();
        let mut started = Vec::new();
        for milliseconds in 0..5_000 {
            let now = Duration::from_millis(milliseconds);
            started.extend(renewals.delay(now, None).map(|delay| (now + delay).as_secs_f32()));
        }
        assert_eq!(started, [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(renewals.delay(Duration::from_secs(60), None), Some(Duration::ZERO));
    }
}
