//! The link to a broker, on smol.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use roomer_engine::SystemEnvironment;
use roomer_engine::cluster::nats::{Dial, NatsCarrier};
use roomer_engine::cluster::{BrokerAddress, Carrier, Subjects};
use roomer_engine::socket;
use smol::Timer;
use smol::net::TcpStream;

/// Creates a link to NATS.
#[doc(hidden)]
pub fn nats_carrier(subjects: Subjects, address: BrokerAddress) -> impl Carrier {
    NatsCarrier::new(Smol, Arc::new(SystemEnvironment::new()), subjects, address)
}

struct Smol;

impl Dial for Smol {
    type Stream = TcpStream;

    fn connect(
        &self,
        host: String,
        port: u16,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static {
        connect(host, port)
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static {
        sleep(time)
    }
}

async fn connect(host: String, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    socket::prepare(&stream);
    Ok(stream)
}

async fn sleep(time: Duration) {
    Timer::after(time).await;
}
