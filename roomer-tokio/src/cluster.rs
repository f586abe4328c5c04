//! The link to a broker, on tokio.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use roomer_engine::SystemEnvironment;
use roomer_engine::cluster::nats::{Dial, NatsCarrier};
use roomer_engine::cluster::{BrokerAddress, Carrier, Subjects};
use roomer_engine::socket;
use tokio::net::TcpStream;

use crate::transport::Futures;

/// Creates a link to NATS. Poll it on tokio.
#[doc(hidden)]
pub fn nats_carrier(subjects: Subjects, address: BrokerAddress) -> impl Carrier {
    NatsCarrier::new(Tokio, Arc::new(SystemEnvironment::new()), subjects, address)
}

struct Tokio;

impl Dial for Tokio {
    type Stream = Futures<TcpStream>;

    fn connect(
        &self,
        host: String,
        port: u16,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static {
        connect(host, port)
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep(time)
    }
}

async fn connect(host: String, port: u16) -> io::Result<Futures<TcpStream>> {
    let stream = TcpStream::connect((host, port)).await?;
    socket::prepare(&stream);
    Ok(Futures(stream))
}
