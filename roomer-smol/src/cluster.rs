//! A cluster node's link to its broker, on smol.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use roomer_engine::Server;
use roomer_engine::SystemEnvironment;
use roomer_engine::cluster::broker::{BrokerCarrier, Dial};
use roomer_engine::cluster::{BrokerAddress, Carrier, Subjects};
use smol::Timer;
use smol::net::TcpStream;

use crate::dial::dial;

/// Runs a server's link to its cluster's broker ([`Builder::cluster`](crate::Builder::cluster)).
/// Spawn the future once, next to `serve`:
///
/// ```no_run
/// use roomer_smol::{Cluster, Server, bind, cluster, serve_until, shutdown_signal};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> { smol::block_on(async {
/// let server = Server::builder().cluster(Cluster::named("chat")).build()?;
/// let listener = bind("127.0.0.1:8080").await?;
/// smol::spawn(cluster(server.clone(), "nats://127.0.0.1:4222".parse()?)).detach();
/// serve_until(listener, server, shutdown_signal()).await?;
/// # Ok(()) }) }
/// ```
///
/// The future completes when the server is closed. While the broker is unreachable, the server serves
/// its own clients and [warns](crate::Builder::on_warning), and the link reconnects automatically.
pub async fn cluster(server: Server, address: BrokerAddress) {
    match server.cluster_subjects() {
        Some(subjects) => {
            let carrier = broker_carrier(subjects, address);
            server.run_cluster(carrier, sleep, |connection| smol::spawn(connection).detach()).await;
        }
        None => server.warn_without_cluster(),
    }
}

/// Creates a link to a broker, for [`Server::run_cluster`].
#[doc(hidden)]
pub fn broker_carrier(subjects: Subjects, address: BrokerAddress) -> impl Carrier {
    BrokerCarrier::new(Smol, Arc::new(SystemEnvironment::new()), subjects, address)
}

struct Smol;

impl Dial for Smol {
    type Stream = TcpStream;

    fn connect(
        &self,
        host: String,
        port: u16,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static {
        dial(host, port)
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static {
        sleep(time)
    }
}

async fn sleep(time: Duration) {
    Timer::after(time).await;
}
