//! The webhook that permits or denies joins.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use roomer_tokio::Conn;
use roomer_tokio::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::call::Call;
use crate::serve::rights::Pattern;

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
struct Answer {
    allow: bool,
}

impl MayJoin {
    pub(super) fn new(call: Arc<Call>, rooms: Arc<[Pattern]>) -> MayJoin {
        MayJoin { call, rooms }
    }

    /// Calls the webhook. If the call fails, whatever the reason, the join is denied.
    pub(crate) async fn permits(&self, conn: &Conn, room: &str) -> bool {
        if !self.rooms.is_empty() && !self.rooms.iter().any(|pattern| pattern.matches(room)) {
            // The webhook is not called for this room, and the rules have permitted the join.
            return true;
        }
        let id = conn.id();
        let question = Question { r#type: "may_join", id: id.as_str(), user: conn.user(), room };
        let decided = match self.call.request(&question).await {
            Ok((StatusCode::OK, body)) => serde_json::from_slice::<Answer>(&body)
                .map_err(|_| "the answer is not {\"allow\": true} or false".to_owned()),
            Ok((status, _)) => Err(format!("the answer is {status}, not 200")),
            Err(error) => Err(error),
        };
        let counts = &self.call.counts;
        match decided {
            Ok(Answer { allow: true }) => {
                counts.accepted.fetch_add(1, Ordering::Relaxed);
                true
            }
            Ok(Answer { allow: false }) => {
                counts.refused.fetch_add(1, Ordering::Relaxed);
                false
            }
            Err(error) => {
                // If the service fails, the rooms that it protects must stay closed.
                self.call.fail(&error);
                false
            }
        }
    }
}
