//! A server that speaks TLS with a certificate from files, as PEM:
//! `cargo run -p roomer-tokio --features tls --example tls -- cert.pem key.pem`, then connect to
//! `wss://127.0.0.1:8443/ws`.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::future::Future;
use std::path::Path;

use roomer_tokio::rustls::ServerConfig;
use roomer_tokio::rustls::pki_types::pem::PemObject;
use roomer_tokio::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use roomer_tokio::{Server, serve_until, tls};
use tokio::net::TcpListener;

#[allow(dead_code, reason = "the tests call run")]
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args_os().skip(1);
    let (Some(cert), Some(key)) = (args.next(), args.next()) else {
        return Err("which certificate? Give two files, cert.pem and key.pem".into());
    };
    let listener = TcpListener::bind("127.0.0.1:8443").await?;
    println!("listening on wss://{}/ws", listener.local_addr()?);
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    run(listener, cert.as_ref(), key.as_ref(), stop).await
}

pub async fn run(
    listener: TcpListener,
    cert: &Path,
    key: &Path,
    stop: impl Future,
) -> Result<(), Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<_, _>>()?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    let server = Server::builder().build()?;
    Ok(serve_until(tls(listener, config), server, stop).await?)
}
