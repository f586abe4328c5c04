//! The webhook that permits or denies joins.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use roomer_tokio::http::StatusCode;
use roomer_tokio::{Conn, close};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::call::Call;
use crate::serve::rights::Pattern;

/// The delays before a failed request is repeated: together long enough for a service that restarts,
/// while the connection's later messages wait.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// The reason of the close after the last failure.
const UNDECIDED: &str = "a join could not be checked";

/// The state of the webhook for joins.
#[derive(Clone)]
pub(crate) struct MayJoin {
    pub(super) call: Arc<Call>,
    /// The patterns of the rooms for whose joins the webhook is called; empty for all rooms.
    rooms: Arc<[Pattern]>,
}

#[derive(Serialize)]
struct Question<'a> {
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
        MayJoin { call, rooms }
    }

    /// Calls the webhook, and again after a pause if it fails. A client takes a rejection as final, so
    /// after the last failure its connection is closed instead, with a code after which it returns
    /// and joins again.
    pub(crate) async fn permits(&self, conn: &Conn, room: &str) -> bool {
        if !self.rooms.is_empty() && !self.rooms.iter().any(|pattern| pattern.matches(room)) {
            // The webhook is not called for this room, and the rules have permitted the join.
            return true;
        }
        let id = conn.id();
        let question = Question { r#type: "may_join", id: id.as_str(), user: conn.user(), room };
        for pause in PAUSES {
            if let Some(allow) = self.ask(&question).await {
                return allow;
            }
            sleep(pause).await;
        }
        self.ask(&question).await.unwrap_or_else(|| {
            conn.close(close::OVERLOADED.frame().0, UNDECIDED);
            // A failing service must not open the rooms that it protects.
            false
        })
    }

    /// Calls the webhook once. Returns `None` if it fails for any reason.
    async fn ask(&self, question: &Question<'_>) -> Option<bool> {
        let decided = match self.call.request(question).await {
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
