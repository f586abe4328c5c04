//! The chat server on smol. It has the same flags and the same page as on tokio.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::thread;

use roomer_example_support::chat::Chat;
use roomer_example_support::program::{self, Outcome};
use roomer_smol::{bind, cluster, serve_on, shutdown_signal};
use smol::Executor;
use smol::future::pending;

pub fn main() -> ExitCode {
    program::finish(start())
}

fn start() -> Outcome {
    let Some(chat) = Chat::from_args()? else { return Ok(()) };
    let executor: &'static Executor<'static> = Box::leak(Box::new(Executor::new()));
    for _ in 1..chat.threads {
        thread::spawn(|| smol::block_on(executor.run(pending::<()>())));
    }
    smol::block_on(executor.run(async {
        let listener = bind(&chat.listen).await?;
        let stop = shutdown_signal();
        chat.announce(listener.local_addr()?);
        if let Some(broker) = chat.broker.clone() {
            executor.spawn(cluster(chat.server.clone(), broker)).detach();
        }
        serve_on(executor, listener, chat.server.clone(), stop).await?;
        chat.farewell();
        Ok(())
    }))
}
