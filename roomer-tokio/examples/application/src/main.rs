//! A complete application as an example, built on axum.
//!
//! It has JSON Web Tokens, permissions in SQLite, routes for administrators, metrics for
//! Prometheus, a log, TLS, and a graceful shutdown.
//!
//! `JWT_SECRET=$(openssl rand -hex 32) cargo run -p roomer-application -- cert.pem key.pem` prints a
//! token for an administrator, `root`. Then, with `-k` if the certificate is self-signed:
//! - `curl -H "Authorization: Bearer $TOKEN" -X PUT https://127.0.0.1:8443/rooms/staff/allow/ann`
//!   permits ann to join the room `staff`, permanently;
//! - `curl -H … -X POST https://127.0.0.1:8443/rooms/staff/kick/ann` removes her from the room, and
//!   denies further joins;
//! - clients connect to `wss://127.0.0.1:8443/ws`, with the token in the same header, or with
//!   `?token=…`;
//! - Prometheus scrapes `https://127.0.0.1:8443/metrics`.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use roomer_application::{Permissions, TlsListener, issue, run};
use roomer_example_support::program::{self, Outcome, Program};
use roomer_tokio::{bind, shutdown_signal, tls_config};

/// The database file, which is in the current folder.
const DATABASE: &str = "permissions.sqlite";

#[tokio::main]
pub async fn main() -> ExitCode {
    program::finish(start().await)
}

async fn start() -> Outcome {
    let about = "Rooms in an application on axum; the logins' secret is in JWT_SECRET.";
    let program = Program { about, listen: "127.0.0.1:8443", files: &["cert.pem", "key.pem"] };
    let Some(args) = program.args()? else { return Ok(()) };
    let secret = program::signing_secret("JWT_SECRET")?;
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = tls_config(&args.files[0], &args.files[1])?;
    let listener = bind(&args.listen).await?;
    // Do everything that may fail before printing the line that says that the program listens.
    let permissions = Permissions::open(Path::new(DATABASE))
        .map_err(|error| format!("the database {DATABASE}: {error}"))?;
    let stop = shutdown_signal();
    println!("listening on https://{}", listener.local_addr()?);
    println!("TOKEN={}", issue(secret.as_bytes(), "root", true, Duration::from_secs(3600))?);
    run(TlsListener::new(listener, config), secret.as_bytes(), permissions, stop).await
}
