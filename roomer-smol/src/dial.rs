//! Opens TCP connections for clients and for links to brokers.

use std::io;

use roomer_engine::{connect_first, socket};
use smol::Timer;
use smol::net::{TcpStream, resolve};

/// Resolves a host, given as a name or an IP address, and connects to the first of its addresses that
/// answers.
pub(crate) async fn dial(host: String, port: u16) -> io::Result<TcpStream> {
    let addresses = resolve((host, port)).await?;
    let stream = connect_first(addresses, TcpStream::connect, Timer::after).await?;
    socket::prepare(&stream);
    Ok(stream)
}
