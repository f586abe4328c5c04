//! The soak test and attacks on a server process, on tokio. The tests are in `chaos`.
#![allow(clippy::unwrap_used, reason = "test helpers")]

#[path = "chaos/mod.rs"]
mod chaos;

use std::io;
use std::net::SocketAddr;

use roomer_tokio::Server;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) struct Runtime;

impl chaos::Adapter for Runtime {
    fn serve(server: Server, announce: impl FnOnce(SocketAddr)) -> io::Result<()> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let mut terminate = signal(SignalKind::terminate())?;
            announce(listener.local_addr()?);
            roomer_tokio::serve_until(listener, server, terminate.recv()).await
        })
    }
}
