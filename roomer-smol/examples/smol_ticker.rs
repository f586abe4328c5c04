//! A game server on smol: `cargo run -p roomer-smol-examples --example smol_ticker`.
//!
//! It is the same game as in the example `ticker`, with another timer.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

use std::future::Future;
use std::process::ExitCode;

use roomer_example_support::game;
use roomer_example_support::program::{self, Outcome, Program};
use roomer_smol::{JsonError, Server, bind, serve_until, shutdown_signal};
use smol::Timer;
use smol::net::TcpListener;
use smol::stream::StreamExt;

pub fn main() -> ExitCode {
    program::finish(smol::block_on(start()))
}

async fn start() -> Outcome {
    let about =
        "A game server that sends the state of the board to the room `arena` 30 times a second.";
    let program = Program { about, listen: "127.0.0.1:8080", files: &[] };
    let Some(args) = program.args()? else { return Ok(()) };
    let listener = bind(&args.listen).await?;
    let stop = shutdown_signal();
    println!("listening on ws://{}/ws", listener.local_addr()?);
    run(listener, stop).await
}

pub async fn run(listener: TcpListener, stop: impl Future) -> Outcome {
    let server = game::server()?;
    // At the end of the function, this handle is dropped, which cancels the task.
    let _clock = smol::spawn(keep_ticking(server.clone()));
    Ok(serve_until(listener, server, stop).await?)
}

async fn keep_ticking(server: Server) -> Result<(), JsonError> {
    let mut clock = Timer::interval(game::PERIOD);
    for tick in 0.. {
        clock.next().await;
        game::tick(&server, tick)?;
    }
    Ok(())
}
