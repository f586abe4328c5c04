//! Signed requests to a webhook. Their time and the size of the answers are limited.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::secret::Secret;
use crate::serve::config::options::Options;
use crate::serve::fetch::{Fetcher, read};

/// The maximum size of an answer, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// The maximum `Retry-After` that is passed on, in seconds: a day. Clients obey it, so without a
/// limit, a mistake of the webhook could keep them away forever.
const MAX_RETRY_AFTER: u64 = 24 * 60 * 60;

/// The minimum time between two lines in the log about failures.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// A webhook that is configured, and the HTTP client with which it is called.
pub(super) struct Call {
    pub(super) name: &'static str,
    address: Uri,
    secret: Arc<Secret>,
    fetcher: Arc<Fetcher>,
    pub(super) timeout: Duration,
    /// Limits the number of concurrent requests. Each webhook has its own limit, so that many
    /// connecting clients do not keep others from joining.
    free: Semaphore,
    pub(super) counts: Counts,
    log: Mutex<Option<Instant>>,
}

/// The number of requests by their outcome.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// An answer to a request.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The answer's `Retry-After`, up to a day, unless that is a date.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

impl Call {
    pub(super) fn new(
        name: &'static str,
        address: Uri,
        secret: Arc<Secret>,
        fetcher: Arc<Fetcher>,
        options: &Options,
    ) -> Call {
        Call {
            name,
            address,
            secret,
            fetcher,
            timeout: options.webhooks_timeout,
            // The semaphore has a maximum. A limit above it has the same effect as none.
            free: Semaphore::new(options.webhooks_concurrency.min(Semaphore::MAX_PERMITS)),
            counts: Counts::default(),
            log: Mutex::new(None),
        }
    }

    /// Sends a request. Calls `arrived` with the status of the answer, even if its body is invalid
    /// or never arrives.
    pub(super) async fn request(
        &self,
        content: &impl Serialize,
        arrived: impl FnOnce(StatusCode),
    ) -> Result<Answer, String> {
        let body = serde_json::to_vec(content).map_err(|error| error.to_string())?;
        // Waiting for a permit does not count towards the timeout: otherwise, if many clients
        // returned at the same time, their requests would fail although the webhook answers. This
        // call fails only if the semaphore is closed, which never happens.
        let _permit = self.free.acquire().await;
        // Hold the permit until the answer has been read.
        let asked = async {
            let response = self.send(body.into()).await?;
            let status = response.status();
            arrived(status);
            let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok());
            let retry_after = after.and_then(|after| after.parse::<u64>().ok());
            let retry_after =
                retry_after.map(|seconds| Duration::from_secs(seconds.min(MAX_RETRY_AFTER)));
            Ok(Answer { status, retry_after, body: read(response, MAX_ANSWER).await? })
        };
        timeout(self.timeout, asked).await.map_err(|_| self.late())?
    }

    /// Sends events. Returns an error unless the status of the answer means success. The body is
    /// not read: even if it is too long, the receiver has the events.
    pub(super) async fn notify(&self, body: Bytes) -> Result<(), String> {
        // Only one task sends events, in one request at a time, so no permit is needed.
        let sent = timeout(self.timeout, self.send(body)).await.map_err(|_| self.late())?;
        // A redirect counts as a failure too, since only the configured URL is trusted.
        match sent?.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("the answer is {status}")),
        }
    }

    async fn send(&self, body: Bytes) -> Result<Response<Incoming>, String> {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.address.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("roomer/", env!("CARGO_PKG_VERSION")))
            .header("roomer-timestamp", second)
            .header("roomer-signature", self.secret.sign(second, &body))
            .body(Full::new(body));
        self.fetcher.send(request.map_err(|error| error.to_string())?).await
    }

    fn late(&self) -> String {
        format!("no answer within {:?}", self.timeout)
    }

    /// Counts a failure, and logs it if the last line about one was long enough ago: clients can
    /// cause failures as often as they like.
    pub(super) fn fail(&self, error: &str) {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        let mut last = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= LOG_PAUSE) {
            *last = Some(Instant::now());
            tracing::warn!(webhook = self.name, error, "a webhook failed");
        }
    }
}
