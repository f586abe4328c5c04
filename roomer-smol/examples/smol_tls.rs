//! A server on smol that uses TLS with a certificate from PEM files.
//!
//! Run `cargo run -p roomer-smol-examples --example smol_tls -- cert.pem key.pem`, then connect to
//! `wss://127.0.0.1:8443/ws`.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

use std::future::Future;
use std::path::Path;
use std::process::ExitCode;

use roomer_example_support::program::{self, Outcome, Program};
use roomer_smol::rustls::ServerConfig;
use roomer_smol::{Server, bind, serve_until, shutdown_signal, tls, tls_config};
use smol::net::TcpListener;

pub fn main() -> ExitCode {
    program::finish(smol::block_on(start()))
}

async fn start() -> Outcome {
    let about = "A server that uses TLS with a certificate and its key from PEM files.";
    let program = Program { about, listen: "127.0.0.1:8443", files: &["cert.pem", "key.pem"] };
    let Some(args) = program.args()? else { return Ok(()) };
    let config = tls_config(&args.files[0], &args.files[1])?;
    let listener = bind(&args.listen).await?;
    let stop = shutdown_signal();
    println!("listening on wss://{}/ws", listener.local_addr()?);
    serve(listener, config, stop).await
}

async fn serve(listener: TcpListener, config: ServerConfig, stop: impl Future) -> Outcome {
    let server = Server::builder().build()?;
    Ok(serve_until(tls(listener, config), server, stop).await?)
}

pub async fn run(listener: TcpListener, cert: &Path, key: &Path, stop: impl Future) -> Outcome {
    serve(listener, tls_config(cert, key)?, stop).await
}
