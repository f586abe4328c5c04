//! Requests from the server to a client.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use roomer_hub::{Command, ConnKey, Input};
use roomer_proto::ROOT;

use crate::app::message::OwnedMessage;
use crate::app::request_error::RequestError;
use crate::core::requests::{Outcome, Slot};
use crate::server::conn::Conn;
use crate::shared::Shared;
use crate::sync::lock;
use crate::timer::Timer;

/// The answer to a [`Conn::request`], as a future. If the future is dropped, a later answer is
/// dropped too.
#[must_use = "the request is sent, but its answer is lost unless this future is awaited"]
pub struct RequestFuture {
    shared: Arc<Shared>,
    conn: ConnKey,
    number: u64,
    slot: Arc<Slot>,
    until: Duration,
    timer: Timer,
    /// The waker of the task that the timer wakes.
    waker: Option<Waker>,
}

impl Conn {
    /// Sends a request from the server to this connection, as a packet in the room `root`, and
    /// returns its answer as a future. The request is sent immediately, in order with other
    /// messages to the connection, and not when the future is first polled.
    ///
    /// Only extended clients answer requests. A session that loses its socket keeps the request:
    /// the answer may arrive on the next socket, if it does so within the timeout.
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
    /// An [`on_async`](crate::Builder::on_async) handler must not await an answer from its own
    /// connection: later messages from the connection, including the answer, wait for the handler.
    /// Request handlers may await it.
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
        // Register the request before the command: if the connection has ended, the command ends
        // the request immediately.
        let (number, slot) = core.requests.begin();
        let command = Command::Request { conn, number, room: ROOT, event, payload };
        core.apply(now, Input::Command(command), None);
        drop(core);
        shared.flush_unless_in_callback();
        let (until, timer) = (now.saturating_add(timeout), Timer::default());
        RequestFuture { shared, conn, number, slot, until, timer, waker: None }
    }

    /// Like [`request`](Self::request), with a value serialized as JSON. Read the answer with
    /// [`json`](crate::Message::json).
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be serialized as JSON. Nothing is sent in that case.
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
        // Check the outcome before the timeout: an answer that has arrived counts, however late
        // this future is polled.
        if let Some(outcome) = slot.outcome.take() {
            return Poll::Ready(outcome);
        }
        if now >= this.until {
            // Release this lock first: `withdraw` takes the server's lock, and the delivery of an
            // answer takes this lock while it holds the server's.
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
            // A timer wakes the task that has set it, so a different task must set it again.
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
        if core.requests.withdraw(self.number) {
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
