//! The soak test and attacks on a server process, on smol. The tests are in `chaos`.
#![allow(clippy::unwrap_used, reason = "test helpers")]

#[path = "chaos/mod.rs"]
mod chaos;

use std::io;
use std::net::SocketAddr;
use std::thread;

use async_signal::{Signal, Signals};
use roomer_smol::Server;
use smol::Executor;
use smol::future::pending;
use smol::net::TcpListener;
use smol::stream::StreamExt;

pub(crate) struct Runtime;

impl chaos::Adapter for Runtime {
    fn serve(server: Server, announce: impl FnOnce(SocketAddr)) -> io::Result<()> {
        let executor: &'static Executor<'static> = Box::leak(Box::new(Executor::new()));
        thread::spawn(|| smol::block_on(executor.run(pending::<()>())));
        smol::block_on(executor.run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let mut signals = Signals::new([Signal::Term])?;
            announce(listener.local_addr()?);
            roomer_smol::serve_on(executor, listener, server, signals.next()).await
        }))
    }
}
