//! Logins with JSON Web Tokens. Middleware checks them before all routes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use roomer_tokio::Claims;
use serde::{Deserialize, Serialize};

use roomer_example_support::hs256;
use roomer_example_support::program::Outcome;

/// The user who has logged in. Routes, and the rules and handlers of the rooms, can read it.
#[derive(Clone)]
pub struct Account {
    pub name: String,
    pub is_admin: bool,
}

/// The claims in a token.
#[derive(Serialize, Deserialize)]
struct Token {
    /// The name of the user.
    sub: String,
    admin: bool,
    /// The Unix time at which the login expires.
    exp: u64,
}

/// The key and the rules by which tokens are checked.
pub struct Logins {
    key: DecodingKey,
    rules: Validation,
}

impl Logins {
    pub fn new(secret: &[u8]) -> Self {
        hs256::install();
        let mut rules = Validation::new(Algorithm::HS256);
        // Permit no leeway, since the room server closes a connection exactly when its login
        // expires.
        rules.leeway = 0;
        Logins { key: DecodingKey::from_secret(secret), rules }
    }
}

/// Returns a new token, as a login page would.
pub fn issue(secret: &[u8], name: &str, is_admin: bool, valid_for: Duration) -> Outcome<String> {
    hs256::install();
    let exp = jsonwebtoken::get_current_timestamp() + valid_for.as_secs();
    let token = Token { sub: name.into(), admin: is_admin, exp };
    Ok(jsonwebtoken::encode(&Header::default(), &token, &EncodingKey::from_secret(secret))?)
}

/// The parameters in the query. They contain the token, since a browser cannot set headers in a
/// WebSocket handshake.
#[derive(Deserialize)]
pub struct Parameters {
    token: Option<String>,
}

pub async fn check(
    State(logins): State<Arc<Logins>>,
    Query(parameters): Query<Parameters>,
    mut request: Request,
    next: Next,
) -> Response {
    let header = request.headers().get(AUTHORIZATION).and_then(|header| header.to_str().ok());
    let bearer = header.and_then(|header| header.strip_prefix("Bearer "));
    let Some(token) = bearer.or(parameters.token.as_deref()) else {
        return (StatusCode::UNAUTHORIZED, "a token, please\n").into_response();
    };
    let token = match jsonwebtoken::decode::<Token>(token, &logins.key, &logins.rules) {
        Ok(token) => token.claims,
        Err(error) => {
            return (StatusCode::UNAUTHORIZED, format!("the token is not valid: {error}\n"))
                .into_response();
        }
    };
    let rest = token.exp.saturating_sub(jsonwebtoken::get_current_timestamp());
    let claims = Claims::new().user(&token.sub).valid_for(Duration::from_secs(rest));
    request.extensions_mut().insert(claims);
    request.extensions_mut().insert(Account { name: token.sub, is_admin: token.admin });
    next.run(request).await
}
