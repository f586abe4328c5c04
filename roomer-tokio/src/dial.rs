//! Opens TCP connections for clients and for links to brokers.

use std::io;

use roomer_engine::{connect_first, socket};
use tokio::net::{TcpStream, lookup_host};

use crate::transport::Futures;

/// Resolves a host, given as a name or an IP address, and connects to the first of its addresses that
/// answers.
pub(crate) async fn dial(host: String, port: u16) -> io::Result<Futures<TcpStream>> {
    let addresses = lookup_host((host, port)).await?;
    let stream = connect_first(addresses, TcpStream::connect, tokio::time::sleep).await?;
    socket::prepare(&stream);
    Ok(Futures(stream))
}
