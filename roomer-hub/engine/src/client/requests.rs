//! Requests sent by a client, and its handlers for requests from the server and other clients.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use roomer_proto::client::{Request, RequestError, RequestId, SendError};
use roomer_proto::extended::ErrorCode;

use super::builder::Builder;
use super::room::Room;
use super::runtime::Runtime;
use super::shared::{Inner, Shared};
use crate::app::call::{BoxFuture, poll};
use crate::app::reply::{IntoReply, ReplyError, ReplyResult, code_of};

pub(super) type Handlers = BTreeMap<String, RequestHandler>;
type RequestHandler = Arc<dyn Fn(Request) -> BoxFuture<ReplyResult> + Send + Sync>;

type Answer = Result<Bytes, RequestError>;

/// The pending requests by number, each with its future's waker or answer.
#[derive(Default)]
pub(super) struct Answers(BTreeMap<RequestId, Slot>);

#[derive(Default)]
struct Slot {
    answer: Option<Answer>,
    waker: Option<Waker>,
}

/// The answer to a request, as a future. Dropping the future cancels the request: a queued request
/// is not sent, and a later answer is dropped.
#[must_use = "the request is sent, but its answer is lost unless this future is awaited"]
pub struct RequestFuture {
    shared: Arc<Shared>,
    request: Result<RequestId, SendError>,
}

impl Answers {
    /// Stores an answer, which the request's future returns.
    pub(super) fn put(&mut self, request: RequestId, answer: Answer, woken: &mut Vec<Waker>) {
        if let Some(slot) = self.0.get_mut(&request) {
            slot.answer = Some(answer);
            woken.extend(slot.waker.take());
        }
    }
}

impl Room {
    /// Sends a request to the server's handler for this event
    /// ([`on_request`](crate::Builder::on_request)). Like a message, it is queued until the client
    /// is connected and has joined the room. Within `timeout`, the future completes with the
    /// answer's payload or with an error.
    ///
    /// # Errors
    ///
    /// The future returns [`RequestError`] if the request is not accepted, not answered in time, or
    /// answered with an error.
    pub fn request(
        &self,
        event: &str,
        payload: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> RequestFuture {
        self.request_packet(event, None, payload.as_ref(), timeout)
    }

    /// Sends a request to the client with this id.
    ///
    /// # Errors
    ///
    /// The same as for [`request`](Self::request).
    pub fn request_to(
        &self,
        id: impl AsRef<str>,
        event: &str,
        payload: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> RequestFuture {
        self.request_packet(event, Some(id.as_ref()), payload.as_ref(), timeout)
    }

    fn request_packet(
        &self,
        event: &str,
        to: Option<&str>,
        payload: &[u8],
        timeout: Duration,
    ) -> RequestFuture {
        let (shared, name) = (self.shared().clone(), self.name());
        let request = shared.call(|inner, now| {
            let request = inner.machine.request(now, name, event, to, payload, timeout)?;
            // Insert the slot under the same lock so that no answer can arrive before the slot
            // exists.
            inner.answers.0.insert(request, Slot::default());
            Ok(request)
        });
        RequestFuture { shared, request }
    }
}

#[cfg(feature = "json")]
impl Room {
    /// Sends a request to the server with a value serialized as JSON, and deserializes the answer
    /// (feature `json`).
    ///
    /// # Errors
    ///
    /// Returns [`RequestError::NotJson`] if the answer does not deserialize to `A`, and otherwise
    /// the same errors as [`request`](Self::request).
    pub async fn request_json<T, A>(
        &self,
        event: &str,
        value: &T,
        timeout: Duration,
    ) -> Result<A, RequestError>
    where
        T: serde::Serialize + ?Sized,
        A: serde::de::DeserializeOwned,
    {
        let payload = roomer_proto::json(value).map_err(|_| SendError::NotJson)?;
        let answer = self.request(event, payload, timeout).await?;
        let packet = roomer_proto::PacketRef { payload: &answer, ..Default::default() };
        packet.json().map_err(|error| RequestError::NotJson(error.to_string()))
    }
}

impl Future for RequestFuture {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let request = match self.request {
            Ok(request) => request,
            Err(error) => return Poll::Ready(Err(RequestError::NotSent(error))),
        };
        let mut inner = self.shared.lock();
        // If there is no slot, the future has already returned the answer, and a completed future
        // must not be polled again.
        let Some(slot) = inner.answers.0.get_mut(&request) else { return Poll::Pending };
        match slot.answer.take() {
            Some(answer) => {
                inner.answers.0.remove(&request);
                Poll::Ready(answer)
            }
            None => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for RequestFuture {
    fn drop(&mut self) {
        if let Ok(request) = self.request {
            let mut inner = self.shared.lock();
            // An answered request has no slot, and there is nothing to cancel.
            if inner.answers.0.remove(&request).is_some() {
                inner.machine.cancel(request);
            }
        }
    }
}

impl fmt::Debug for RequestFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestFuture").field("request", &self.request).finish_non_exhaustive()
    }
}

impl<R: Runtime, E> Builder<R, E> {
    /// Registers a function that answers requests with this event from the server and from other
    /// clients. The function returns the same payloads and errors as a server's request handler; see
    /// [`IntoReply`]. Each call runs in a separate task. Requests without a handler are answered with
    /// the code `unknown`.
    ///
    /// The requester receives a [`ReplyError`]'s code and text. For any other error, and for a
    /// panic, it receives only the code `failed`, or `invalid` if reading the payload as text or JSON
    /// fails. An error that was converted to `anyhow::Error` is always `failed`, because its type is
    /// no longer known.
    pub fn on_request<F, A>(mut self, event: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future + Send + 'static,
        A::Output: IntoReply<E>,
    {
        let handler = Arc::new(handler);
        let handler = move |request| {
            let handler = handler.clone();
            // Call the function within the task, since the call itself may panic too.
            Box::pin(async move { handler(request).await.into_reply() }) as _
        };
        self.handlers.insert(event.into(), Arc::new(handler));
        self
    }
}

/// Runs request handlers, each in a separate task, and sends their answers.
pub(super) fn answer<R: Runtime>(
    shared: &Arc<Shared>,
    handlers: &Handlers,
    requests: Vec<Request>,
) {
    for request in requests {
        match handlers.get(&*request.event) {
            Some(handler) => {
                let (shared, handler) = (shared.clone(), handler.clone());
                R::spawn(async move {
                    let result = run(&handler, request.clone()).await;
                    shared.call(|inner, now| send(inner, now, &request, result));
                });
            }
            None => {
                let unknown = ReplyError::new(ErrorCode::Unknown, "the event has no handler");
                shared.call(|inner, now| send(inner, now, &request, Err(unknown)));
            }
        }
    }
}

async fn run(handler: &RequestHandler, request: Request) -> Result<Bytes, ReplyError> {
    let mut answer = handler(request);
    let result = poll_fn(|cx| poll(&mut answer, cx)).await;
    // The text of any other error is not intended for the requester.
    let hidden = |code| ReplyError::new(code, "the handler has failed");
    match result {
        Ok(Ok(payload)) => Ok(payload),
        Ok(Err(error)) => Err(match error.downcast_ref::<ReplyError>() {
            Some(error) => error.clone(),
            None => hidden(code_of(&error)),
        }),
        Err(_) => Err(hidden(ErrorCode::Failed)),
    }
}

fn send(inner: &mut Inner, now: Duration, request: &Request, result: Result<Bytes, ReplyError>) {
    let machine = &mut inner.machine;
    let sent = match &result {
        Ok(payload) => machine.reply(now, request, payload),
        Err(error) => machine.fail(now, request, error.code.as_str(), &error.message),
    };
    if sent == Err(SendError::TooLarge) {
        let code = ErrorCode::Failed.as_str();
        // `fail` returns an error only if the session has ended, in which case the requester has
        // been notified.
        let _ = machine.fail(now, request, code, "the answer is too large");
    }
}
