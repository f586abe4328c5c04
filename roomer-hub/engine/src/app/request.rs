//! Requests of the server to a client.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use roomer_hub::{Command, ConnKey, Input};
use roomer_proto::extended::{ErrorCode, read_failure};
use roomer_proto::{PacketRef, ROOT};

use crate::app::conn::Conn;
use crate::app::message::{Message, OwnedMessage};
use crate::shared::Shared;
use crate::sync::{Mutex, lock};
use crate::timer::Timer;
use roomer_hub::ConnId;

/// Why a request to a client is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The client has not answered in the time that the request had. A later answer is dropped.
    #[error("the client did not answer in time")]
    TimedOut,
    /// The connection, or the session of an extended client, has ended.
    #[error("the connection has ended")]
    Gone,
    /// The client speaks the plain protocol, in which there are no requests.
    #[error("the client speaks the plain protocol, which has no requests")]
    Plain,
    /// The connection already has [`max_requests`](crate::Builder::max_requests) requests without
    /// an answer.
    #[error(
        "the connection has too many requests without answers: wait for some, or raise max_requests"
    )]
    Busy,
    /// The client's answer is an error.
    #[error("the client failed: {code}: {message}")]
    Failed {
        /// The client's code: `unknown` if it does not have a handler, usually `failed` otherwise.
        code: String,
        /// The client's text.
        message: String,
    },
}

type Outcome = Result<OwnedMessage, RequestError>;

/// The answer to a [`Conn::request`], as a future. If it is dropped, a later answer is dropped too.
#[must_use = "the request is sent, but its answer is lost unless this future is awaited"]
pub struct RequestFuture {
    shared: Arc<Shared>,
    conn: ConnKey,
    number: u64,
    slot: Arc<Slot>,
    until: Duration,
    timer: Timer,
    /// The task that the timer wakes.
    waker: Option<Waker>,
}

/// The place where an answer waits for its future.
#[derive(Debug, Default)]
struct Slot(Mutex<SlotState>);

#[derive(Debug, Default)]
struct SlotState {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

/// The server's requests without answers, under the server's lock.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    waiting: BTreeMap<u64, Arc<Slot>>,
    next: u64,
    /// Tasks to be woken once the lock is released.
    wakers: Vec<Waker>,
}

impl Requests {
    /// Ends a request with its answer.
    #[cold]
    pub(crate) fn answered(
        &mut self,
        number: u64,
        from: Option<ConnId>,
        is_error: bool,
        packet: &PacketRef<'_>,
    ) {
        let Some(from) = from else { return };
        let outcome = if is_error {
            let (code, message) = read_failure(packet.payload);
            Err(RequestError::Failed { code, message })
        } else {
            Ok(Message::new(packet, from).to_owned())
        };
        self.end(number, outcome);
    }

    /// Ends a request to which the hub no longer expects an answer.
    #[cold]
    pub(crate) fn unanswered(&mut self, number: u64, code: ErrorCode) {
        let error = match code {
            ErrorCode::Plain => RequestError::Plain,
            ErrorCode::Busy => RequestError::Busy,
            _ => RequestError::Gone,
        };
        self.end(number, Err(error));
    }

    fn end(&mut self, number: u64, outcome: Outcome) {
        let Some(slot) = self.waiting.remove(&number) else { return };
        let mut slot = lock(&slot.0);
        slot.outcome = Some(outcome);
        self.wakers.extend(slot.waker.take());
    }

    /// Takes the tasks that have to be woken once the lock is released.
    pub(crate) fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakers)
    }

    /// Checks that the hub expects an answer to each request; see
    /// [`Server::audit`](crate::Server::audit).
    #[cfg(feature = "audit")]
    pub(crate) fn audit(&self, tables: &roomer_hub::Tables) -> Result<(), String> {
        let (waiting, expected) = (self.waiting.len(), tables.server_requests());
        match waiting == expected {
            true => Ok(()),
            false => Err(format!("{waiting} requests to clients, the hub has {expected}")),
        }
    }

    /// Returns the number of requests without answers.
    #[cfg(feature = "audit")]
    pub(crate) fn count(&self) -> usize {
        self.waiting.len()
    }
}

impl Conn {
    /// Sends a request from the server to this connection, as a packet of the room `root`, and returns
    /// its answer as a future. The request is sent now, in the order of other messages to the
    /// connection, and not when the future is first polled.
    ///
    /// Only clients of the extended protocol answer requests. A session that loses its socket keeps
    /// the request: the answer may arrive on the next socket, if that is in time.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use std::time::Duration;
    /// use roomer_tokio::Server; // or roomer_smol
    /// let server = Server::builder()
    ///     .on_request_async("delete", async |conn, message| {
    ///         let limit = Duration::from_secs(30);
    ///         let answer = conn.request("confirm", &message.payload, limit).await?;
    ///         Ok(if answer.text()? == "yes" { "deleted" } else { "kept" })
    ///     })
    ///     .build()?;
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    ///
    /// In a handler of [`on_async`](crate::Builder::on_async) do not await the answer of the
    /// connection that it runs for: that connection's messages, the answer among them, wait for the
    /// handler. Handlers of requests may.
    pub fn request(
        &self,
        event: impl AsRef<str>,
        payload: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> RequestFuture {
        let (shared, conn) = (self.server.0.clone(), self.info.key);
        let (event, payload) = (event.as_ref(), payload.as_ref());
        let now = shared.now();
        let mut core = shared.core();
        let number = core.requests.next;
        core.requests.next += 1;
        let slot = Arc::new(Slot::default());
        // Before the command, which ends the request at once if the connection is gone.
        core.requests.waiting.insert(number, slot.clone());
        let command = Command::Request { conn, number, room: ROOT, event, payload };
        core.apply(now, Input::Command(command), None);
        drop(core);
        shared.flush_unless_in_callback();
        let (until, timer) = (now.saturating_add(timeout), Timer::default());
        RequestFuture { shared, conn, number, slot, until, timer, waker: None }
    }

    /// Like [`request`](Self::request), with a value as JSON. The answer's
    /// [`json`](crate::Message::json) reads it.
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be represented as JSON. Nothing is sent then.
    #[cfg(feature = "json")]
    pub fn request_json<T: serde::Serialize + ?Sized>(
        &self,
        event: impl AsRef<str>,
        value: &T,
        timeout: Duration,
    ) -> Result<RequestFuture, crate::JsonError> {
        Ok(self.request(event, crate::json(value)?, timeout))
    }
}

impl Future for RequestFuture {
    type Output = Result<OwnedMessage, RequestError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let this = self.get_mut();
        let now = this.shared.now();
        let mut slot = lock(&this.slot.0);
        // Before the clock: an answer that is there counts, however late this is polled.
        if let Some(outcome) = slot.outcome.take() {
            return Poll::Ready(outcome);
        }
        if now >= this.until {
            // `withdraw` takes the server's lock, under which an answer takes this one.
            drop(slot);
            this.withdraw();
            return Poll::Ready(Err(RequestError::TimedOut));
        }
        let is_same = this.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if !is_same {
            slot.waker = Some(cx.waker().clone());
        }
        drop(slot);
        let timers = &this.shared.timers;
        if !is_same {
            // A timer wakes the task that has set it.
            this.timer.cancel(timers);
            this.waker = Some(cx.waker().clone());
        }
        this.timer.expire(now);
        this.timer.set(timers, this.until, cx.waker());
        Poll::Pending
    }
}

impl RequestFuture {
    fn withdraw(&mut self) {
        self.timer.cancel(&self.shared.timers);
        let mut core = self.shared.core();
        let slot = core.requests.waiting.remove(&self.number);
        if slot.is_some() {
            let withdraw = Command::Withdraw { conn: self.conn, number: self.number };
            core.apply(self.shared.now(), Input::Command(withdraw), None);
        }
    }
}

impl Drop for RequestFuture {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl fmt::Debug for RequestFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestFuture").field("number", &self.number).finish_non_exhaustive()
    }
}
