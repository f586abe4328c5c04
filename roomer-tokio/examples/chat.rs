//! A chat server with its page, everything embedded: `cargo run --release -p roomer-tokio
//! --example chat`, then open the address it prints in two windows.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

#[path = "support/chat.rs"]
mod chat;

use std::error::Error;

use tokio::net::TcpListener;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> Result<(), Box<dyn Error>> {
    let Some(chat) = chat::Chat::from_args()? else { return Ok(()) };
    let runtime = match chat.threads {
        0 | 1 => runtime::Builder::new_current_thread().enable_all().build()?,
        n => runtime::Builder::new_multi_thread().worker_threads(n).enable_all().build()?,
    };
    runtime.block_on(async {
        let listener = TcpListener::bind(&chat.listen).await?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        chat.announce(listener.local_addr()?);
        roomer_tokio::serve_until(listener, chat.server.clone(), async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
        .await?;
        chat.farewell();
        Ok(())
    })
}
