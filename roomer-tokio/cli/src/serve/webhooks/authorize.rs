//! The webhook that authorizes clients, before the upgrade and when their login expires.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::header::HeaderName;
use roomer_tokio::http::StatusCode;
use roomer_tokio::{AuthResult, Builder, Claims, Conn, HandshakeRequest, Rejection};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::{Answer, Call};
use crate::serve::login::claims::{LoginFields, Reader, until};

/// Query parameters that are not sent to the webhook, since they are secret or belong to the
/// protocol.
const HIDDEN: [&str; 4] = ["token", "roomer", "session", "received"];

/// The maximum length of the text in a rejection, in characters.
const MAX_MESSAGE: usize = 200;

/// The state of the authorize webhook.
pub(crate) struct Authorize {
    pub(super) call: Arc<Call>,
    headers: Vec<HeaderName>,
    reader: Reader,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum RequestBody<'a> {
    Authorize {
        address: Option<IpAddr>,
        path: &'a str,
        query: BTreeMap<String, String>,
        headers: BTreeMap<&'a str, &'a str>,
        token: Option<&'a str>,
    },
    Renew {
        id: String,
        user: Option<&'a str>,
        token: &'a str,
    },
}

/// The answer for a client that may connect. An unknown key is an error, since its purpose may be
/// to restrict the client.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    #[serde(default)]
    user: Value,
    #[serde(default)]
    info: Value,
    /// The Unix time at which the login expires.
    exp: Option<f64>,
    #[serde(default)]
    rooms: Value,
}

/// The answer for a client that may not connect.
#[derive(Default, Deserialize)]
struct ErrorBody {
    message: Option<String>,
}

impl Authorize {
    pub(super) fn new(call: Arc<Call>, headers: Vec<HeaderName>, reader: Reader) -> Authorize {
        Authorize { call, headers, reader }
    }

    /// Configures a server so that the webhook authorizes its clients, and renews their logins.
    pub(crate) fn add(self: &Arc<Self>, builder: Builder) -> Builder {
        let (connecting, renewing) = (self.clone(), self.clone());
        builder
            .authorize_async(move |request| {
                let webhook = connecting.clone();
                async move { webhook.connect(&request).await }
            })
            .renew_login_async(async move |conn, token| renewing.renew(&conn, &token).await)
    }

    async fn connect(&self, request: &HandshakeRequest) -> AuthResult {
        let query = request.head().uri().query().unwrap_or_default();
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !HIDDEN.contains(&&*name) {
                // If a parameter is repeated, its first value applies, as in the server itself.
                parameters.entry(name.into_owned()).or_insert(value.into_owned());
            }
        }
        let headers = self.headers.iter().map(HeaderName::as_str);
        let token = request.token();
        self.decide(&RequestBody::Authorize {
            address: request.peer().map(|peer| peer.ip()),
            path: request.path(),
            query: parameters,
            headers: headers.filter_map(|name| Some((name, request.header(name)?))).collect(),
            token: token.as_deref(),
        })
        .await
    }

    async fn renew(&self, conn: &Conn, token: &str) -> AuthResult {
        let id = conn.id().to_string();
        self.decide(&RequestBody::Renew { id, user: conn.user(), token }).await
    }

    /// Calls the webhook. If the call fails, whatever the reason, the client is rejected.
    async fn decide(&self, body: &RequestBody<'_>) -> AuthResult {
        let decided = match self.call.request(body, |_| ()).await {
            Ok(answer) => match answer.status {
                StatusCode::OK => self.read(&answer.body).map(Ok),
                StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::TOO_MANY_REQUESTS => Ok(Err(rejection(&answer))),
                // With any other status, the webhook has failed and has not decided.
                status => Err(format!("the answer is {status}, not 200, 401, 403 or 429")),
            },
            Err(error) => Err(error),
        };
        let counts = &self.call.counts;
        match decided {
            Ok(Ok(claims)) => {
                counts.accepted.fetch_add(1, Ordering::Relaxed);
                Ok(claims)
            }
            Ok(Err(rejection)) => {
                counts.refused.fetch_add(1, Ordering::Relaxed);
                Err(rejection)
            }
            Err(error) => {
                self.call.fail(&error);
                let unavailable = StatusCode::SERVICE_UNAVAILABLE;
                Err(Rejection::new(unavailable, "the login cannot be checked now"))
            }
        }
    }

    fn read(&self, body: &[u8]) -> Result<Claims, String> {
        let accepted: Accepted = serde_json::from_slice(body).map_err(|error| {
            // The text of the error could contain parts of the answer, so report only the position.
            let (line, column) = (error.line(), error.column());
            format!(
                "the answer is not an object of user, info, exp and rooms: line {line}, column {column}"
            )
        })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let fields = LoginFields {
            user: Some(&accepted.user),
            info: Some(&accepted.info),
            rooms: Some(&accepted.rooms),
            rest: accepted.exp.map(|second| until(second, now)).transpose()?,
        };
        self.reader.read(&fields).map_err(str::to_owned)
    }
}

fn rejection(answer: &Answer) -> Rejection {
    let body: ErrorBody = serde_json::from_slice(&answer.body).unwrap_or_default();
    let message = body.message.unwrap_or_default();
    // The text is sent in a response, and may be printed in logs and terminals, so remove control
    // characters.
    let is_shown = |c: &char| !c.is_control();
    let message: String = message.chars().filter(is_shown).take(MAX_MESSAGE).collect();
    let rejection = Rejection::new(answer.status, message);
    match answer.retry_after {
        Some(time) => rejection.retry_after(time),
        None => rejection,
    }
}
