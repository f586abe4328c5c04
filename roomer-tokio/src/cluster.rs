//! A cluster node's link to its broker, on tokio.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use roomer_engine::Server;
use roomer_engine::SystemEnvironment;
use roomer_engine::cluster::broker::{BrokerCarrier, Dial};
use roomer_engine::cluster::{BrokerAddress, Carrier, Subjects};
use tokio::net::TcpStream;

use crate::dial::dial;
use crate::transport::Futures;

/// Runs a server's link to its cluster's broker ([`Builder::cluster`](crate::Builder::cluster)).
/// Spawn the future once, next to `serve`:
///
/// ```no_run
/// use roomer_tokio::{Cluster, Server, bind, cluster, serve_until, shutdown_signal};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder().cluster(Cluster::named("chat")).build()?;
/// let listener = bind("127.0.0.1:8080").await?;
/// tokio::spawn(cluster(server.clone(), "nats://127.0.0.1:4222".parse()?));
/// serve_until(listener, server, shutdown_signal()).await?;
/// # Ok(())
/// # }
/// ```
///
/// The future completes when the server is closed. While the broker is unreachable, the server serves
/// its own clients and [warns](crate::Builder::on_warning), and the link reconnects automatically.
pub async fn cluster(server: Server, address: BrokerAddress) {
    match server.cluster_subjects() {
        Some(subjects) => {
            let carrier = broker_carrier(subjects, address);
            let spawn = |connection| drop(tokio::spawn(connection));
            server.run_cluster(carrier, tokio::time::sleep, spawn).await;
        }
        None => server.warn_without_cluster(),
    }
}

/// Creates a link to a broker, for [`Server::run_cluster`]. The link must be polled within a tokio
/// runtime.
#[doc(hidden)]
pub fn broker_carrier(subjects: Subjects, address: BrokerAddress) -> impl Carrier {
    BrokerCarrier::new(Tokio, Arc::new(SystemEnvironment::new()), subjects, address)
}

struct Tokio;

impl Dial for Tokio {
    type Stream = Futures<TcpStream>;

    fn connect(
        &self,
        host: String,
        port: u16,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static {
        dial(host, port)
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep(time)
    }
}
