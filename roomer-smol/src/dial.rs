//! Opens TCP connections for clients and for links to brokers.

use std::io;

use roomer_engine::{connect_first, socket};
use smol::net::{TcpStream, resolve};
use smol::{Async, Timer};

/// Resolves a host, given as a name or an IP address, and connects to the first of its addresses that
/// answers.
pub(crate) async fn dial(host: String, port: u16) -> io::Result<TcpStream> {
    let addresses = resolve((host, port)).await?;
    let stream =
        connect_first(addresses, Async::<std::net::TcpStream>::connect, Timer::after).await?;
    // Register the socket again, since the wait for the connection leaves a list of wakers in its
    // registration.
    let stream = TcpStream::from(Async::new_nonblocking(stream.into_inner()?)?);
    socket::prepare(&stream);
    Ok(stream)
}
