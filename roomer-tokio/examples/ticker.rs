//! A game server that sends the state of its world to all players 30 times a second.
//!
//! Run `cargo run -p roomer-tokio-examples --example ticker`, then connect to
//! `ws://127.0.0.1:8080/ws`, join `arena`, send it `move` with payloads like `[1, 0]`, and receive
//! `tick`: `{"tick": 7, "players": {"…id…": [1, 0]}}`. The game itself is in `support/game.rs`, and
//! is the same for smol.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

use std::future::Future;
use std::process::ExitCode;

use roomer_example_support::game;
use roomer_example_support::program::{self, Outcome, Program};
use roomer_tokio::{JsonError, Server, bind, serve_until, shutdown_signal};
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

#[tokio::main]
pub async fn main() -> ExitCode {
    program::finish(start().await)
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
    let clock = tokio::spawn(keep_ticking(server.clone()));
    serve_until(listener, server, stop).await?;
    clock.abort();
    Ok(())
}

async fn keep_ticking(server: Server) -> Result<(), JsonError> {
    let mut clock = interval(game::PERIOD);
    // After a pause, the game continues at its normal rate, without the ticks that it has missed.
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 0.. {
        clock.tick().await;
        game::tick(&server, tick)?;
    }
    Ok(())
}
