//! The webhook that permits or denies joins.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use roomer_tokio::Conn;
use roomer_tokio::http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};

use super::availability::{Attempts, Availability};
use super::call::Call;
use crate::serve::rights::Pattern;

/// The delays before a failed request is repeated. Their sum is long enough for a service to restart.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// The maximum time for which a join waits for its decision, unless a single request may take
/// longer. The client's later messages wait too, and a client that receives nothing for 20 s
/// considers its connection lost.
const DECISION_TIMEOUT: Duration = Duration::from_secs(10);

/// The reason in the close frame if the webhook does not decide.
const UNDECIDED: &str = "a join could not be checked";

/// The state of the webhook for joins.
#[derive(Clone)]
pub(crate) struct MayJoin {
    pub(super) call: Arc<Call>,
    /// The patterns of the rooms for whose joins the webhook is called; empty for all rooms.
    rooms: Arc<[Pattern]>,
    availability: Arc<Availability>,
}

#[derive(Serialize)]
struct RequestBody<'a> {
    r#type: &'static str,
    id: &'a str,
    user: Option<&'a str>,
    room: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    allow: bool,
}

impl MayJoin {
    pub(super) fn new(call: Arc<Call>, rooms: Arc<[Pattern]>) -> MayJoin {
        MayJoin { call, rooms, availability: Arc::default() }
    }

    /// Asks the webhook whether a client may join a room. A client treats a rejection as final, so if
    /// the webhook does not decide, the client's connection is closed instead, with a code after which
    /// it returns and joins again.
    pub(crate) async fn permits(&self, conn: &Conn, room: &str) -> bool {
        if !self.rooms.is_empty() && !self.rooms.iter().any(|pattern| pattern.matches(room)) {
            // The webhook is not called for this room, and the rules have permitted the join.
            return true;
        }
        let id = conn.id();
        let body = RequestBody { r#type: "may_join", id: id.as_str(), user: conn.user(), room };
        self.decide(&body).await.unwrap_or_else(|| {
            conn.close_with_retry(UNDECIDED);
            // A failing service must not open the rooms that it protects.
            false
        })
    }

    /// Calls the webhook until it decides. Returns `None` if it does not decide within the time
    /// limit, which is short if the webhook is down.
    async fn decide(&self, body: &RequestBody<'_>) -> Option<bool> {
        let (begun, name) = (Instant::now(), self.call.name);
        let pauses = match self.availability.attempts(begun) {
            Attempts::Repeated => &PAUSES[..],
            Attempts::Single => &[],
            Attempts::None if self.availability.recovers().await => &PAUSES[..],
            Attempts::None => return None,
        };
        let limit = DECISION_TIMEOUT.max(self.call.timeout);
        // Waiting for other requests to end counts too, since the client waits meanwhile.
        let decided = timeout_at(begun + limit, self.request_repeatedly(body, pauses)).await;
        let decided = decided.unwrap_or_else(|_| {
            self.call.fail(&format!("no decision within {limit:?}"));
            None
        });
        if decided.is_none() && self.availability.failed(begun, Instant::now()) {
            tracing::warn!(webhook = name, "joins do not wait for this webhook until it answers");
        }
        decided
    }

    /// Calls the webhook. If it fails, repeats the call after each pause.
    async fn request_repeatedly(
        &self,
        body: &RequestBody<'_>,
        pauses: &[Duration],
    ) -> Option<bool> {
        for pause in pauses {
            if let Some(allow) = self.request(body).await {
                return Some(allow);
            }
            sleep(*pause).await;
        }
        self.request(body).await
    }

    /// Calls the webhook once. Returns `None` if it fails for any reason.
    async fn request(&self, body: &RequestBody<'_>) -> Option<bool> {
        let arrived = |status| {
            if is_available(status) && self.availability.answered(Instant::now()) {
                tracing::info!(webhook = self.call.name, "this webhook answers again");
            }
        };
        let decided = match self.call.request(body, arrived).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                serde_json::from_slice::<Decision>(&answer.body)
                    .map_err(|_| "the answer is not {\"allow\": true} or false".to_owned())
            }
            Ok(answer) => Err(format!("the answer is {}, not 200", answer.status)),
            Err(error) => Err(error),
        };
        let counts = &self.call.counts;
        match decided {
            Ok(Decision { allow }) => {
                let count = if allow { &counts.accepted } else { &counts.refused };
                count.fetch_add(1, Ordering::Relaxed);
                Some(allow)
            }
            Err(error) => {
                self.call.fail(&error);
                None
            }
        }
    }
}

/// Returns false for the statuses with which a proxy reports that the webhook is down. Any other
/// answer, even a useless one, comes from the webhook. Otherwise a room name that it cannot handle
/// would make it count as down, for all rooms.
fn is_available(status: StatusCode) -> bool {
    !matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}
