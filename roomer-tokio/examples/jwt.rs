//! A server that accepts only clients with a valid JSON Web Token.
//!
//! Run `JWT_SECRET=$(openssl rand -hex 32) cargo run -p roomer-tokio-examples --example jwt`. It
//! prints a URL with a token that is valid for an hour. Programs send a token as `Authorization:
//! Bearer …`. Browsers cannot set headers; they send it as a subprotocol or as `?token=…`.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use roomer_example_support::hs256;
use roomer_example_support::program::{self, Outcome, Program};
use roomer_tokio::{Claims, Rejection, Server, bind, serve_until, shutdown_signal};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

#[tokio::main]
pub async fn main() -> ExitCode {
    program::finish(start().await)
}

async fn start() -> Outcome {
    let about =
        "Accepts clients with a JSON Web Token that is signed with the secret in JWT_SECRET.";
    let program = Program { about, listen: "127.0.0.1:8080", files: &[] };
    let Some(args) = program.args()? else { return Ok(()) };
    let secret = program::signing_secret("JWT_SECRET")?;
    let listener = bind(&args.listen).await?;
    let stop = shutdown_signal();
    let hour = jsonwebtoken::get_current_timestamp() + 3600;
    let token = issue(secret.as_bytes(), "ann", hour)?;
    println!("connect to ws://{}/ws?token={token}", listener.local_addr()?);
    run(listener, secret.as_bytes(), stop).await
}

/// The claims in a token.
#[derive(Serialize, Deserialize)]
struct Token {
    /// The name of the user.
    sub: String,
    /// The Unix time at which the token expires.
    exp: u64,
}

/// Returns a new token, as a login page would.
pub fn issue(secret: &[u8], name: &str, until: u64) -> Outcome<String> {
    hs256::install();
    let token = Token { sub: name.into(), exp: until };
    Ok(jsonwebtoken::encode(&Header::default(), &token, &EncodingKey::from_secret(secret))?)
}

pub async fn run(listener: TcpListener, secret: &[u8], stop: impl Future) -> Outcome {
    hs256::install();
    let key = DecodingKey::from_secret(secret);
    // These rules require `exp`, and permit clocks to differ by a minute. They accept no other
    // algorithm, and in particular not `none`.
    let rules = Validation::new(Algorithm::HS256);
    let server = Server::builder()
        .authorize(move |request| {
            let token =
                request.token().ok_or_else(|| Rejection::unauthorized("a token, please"))?;
            match jsonwebtoken::decode::<Token>(&*token, &key, &rules) {
                Ok(token) => {
                    // The server closes the connection when the token expires.
                    let rest = token.claims.exp + rules.leeway;
                    let rest = rest.saturating_sub(jsonwebtoken::get_current_timestamp());
                    Ok(Claims::new().user(token.claims.sub).valid_for(Duration::from_secs(rest)))
                }
                Err(error) => {
                    Err(Rejection::unauthorized(format!("the token is not valid: {error}")))
                }
            }
        })
        .on("whoami", |conn, message| {
            conn.send_to_client(message.src, "you", conn.user().ok_or("no name")?);
            Ok(())
        })
        .build()?;
    Ok(serve_until(listener, server, stop).await?)
}
