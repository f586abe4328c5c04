//! The chat server on smol: the same flags and the same page as on tokio.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

#[path = "../../roomer-tokio/examples/support/chat.rs"]
mod chat;

use std::error::Error;
use std::thread;

use async_signal::{Signal, Signals};
use smol::Executor;
use smol::future::pending;
use smol::net::TcpListener;
use smol::stream::StreamExt;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(chat) = chat::Chat::from_args()? else { return Ok(()) };
    let executor: &'static Executor<'static> = Box::leak(Box::new(Executor::new()));
    for _ in 1..chat.threads {
        thread::spawn(|| smol::block_on(executor.run(pending::<()>())));
    }
    smol::block_on(executor.run(async {
        let listener = TcpListener::bind(&chat.listen).await?;
        let mut signals = Signals::new([Signal::Int, Signal::Term])?;
        chat.announce(listener.local_addr()?);
        let stop = async { signals.next().await };
        roomer_smol::serve_on(executor, listener, chat.server.clone(), stop).await?;
        chat.farewell();
        Ok(())
    }))
}
