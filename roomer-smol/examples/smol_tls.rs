//! A server on smol that speaks TLS with a certificate from files, as PEM:
//! `cargo run -p roomer-smol --features tls --example smol_tls -- cert.pem key.pem`, then connect
//! to `wss://127.0.0.1:8443/ws`.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout)]

use std::env;
use std::error::Error;
use std::future::{Future, pending};
use std::path::Path;

use roomer_smol::rustls::ServerConfig;
use roomer_smol::rustls::pki_types::pem::PemObject;
use roomer_smol::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use roomer_smol::{Server, serve_until, tls};
use smol::net::TcpListener;

#[allow(dead_code, reason = "the tests call run")]
pub fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args_os().skip(1);
    let (Some(cert), Some(key)) = (args.next(), args.next()) else {
        return Err("which certificate? Give two files, cert.pem and key.pem".into());
    };
    smol::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:8443").await?;
        println!("listening on wss://{}/ws", listener.local_addr()?);
        run(listener, cert.as_ref(), key.as_ref(), pending::<()>()).await
    })
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
