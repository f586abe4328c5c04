//! A chat server that also serves its page.
//!
//! Run `cargo run --release -p roomer-tokio --example chat`, then open the URL that it prints in
//! two windows.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use roomer_example_support::chat::Chat;
use roomer_example_support::program::{self, Outcome};
use roomer_tokio::{bind, cluster, serve_until, shutdown_signal};
use tokio::runtime;

pub fn main() -> ExitCode {
    program::finish(start())
}

fn start() -> Outcome {
    let Some(chat) = Chat::from_args()? else { return Ok(()) };
    let runtime = match chat.threads {
        0 | 1 => runtime::Builder::new_current_thread().enable_all().build()?,
        n => runtime::Builder::new_multi_thread().worker_threads(n).enable_all().build()?,
    };
    runtime.block_on(async {
        let listener = bind(&chat.listen).await?;
        let stop = shutdown_signal();
        chat.announce(listener.local_addr()?);
        let link = chat.broker.clone().map(|broker| cluster(chat.server.clone(), broker));
        link.map(tokio::spawn);
        serve_until(listener, chat.server.clone(), stop).await?;
        chat.farewell();
        Ok(())
    })
}
