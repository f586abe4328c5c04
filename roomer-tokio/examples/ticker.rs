//! A game's server: `cargo run -p roomer-tokio --features json --example ticker`, then connect to
//! `ws://127.0.0.1:8080/ws`, join `arena`, send it `move` with `[1, 0]` and the like, and hear
//! `tick` 30 times a second: `{"tick": 7, "players": {"…id…": [1, 0]}}`. The game itself is in
//! `support/game.rs`, the same on smol.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout)]

#[path = "support/game.rs"]
mod game;

use std::error::Error;
use std::future::Future;

use roomer_tokio::{BuildError, ConnId, JsonError, Membership, Server, json, serve_until};
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

#[allow(dead_code, reason = "the tests call run")]
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on ws://{}/ws", listener.local_addr()?);
    run(listener, async { drop(tokio::signal::ctrl_c().await) }).await
}

pub async fn run(listener: TcpListener, stop: impl Future) -> Result<(), Box<dyn Error>> {
    let server = game::server()?;
    let clock = tokio::spawn(keep_ticking(server.clone()));
    serve_until(listener, server, stop).await?;
    clock.abort();
    Ok(())
}

async fn keep_ticking(server: Server) -> Result<(), JsonError> {
    let mut clock = interval(game::PERIOD);
    // After a pause the game goes on; it does not catch up.
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 0.. {
        clock.tick().await;
        game::tick(&server, tick)?;
    }
    Ok(())
}
