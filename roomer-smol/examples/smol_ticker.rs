//! A game's server on smol: `cargo run -p roomer-smol --features json --example smol_ticker`. The
//! game is that of the example `ticker`, to the letter; what differs is how time is kept.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout)]

#[path = "../../roomer-tokio/examples/support/game.rs"]
mod game;

use std::error::Error;
use std::future::{Future, pending};

use roomer_smol::{BuildError, ConnId, JsonError, Membership, Server, json, serve_until};
use smol::Timer;
use smol::net::TcpListener;
use smol::stream::StreamExt;

#[allow(dead_code, reason = "the tests call run")]
pub fn main() -> Result<(), Box<dyn Error>> {
    smol::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:8080").await?;
        println!("listening on ws://{}/ws", listener.local_addr()?);
        run(listener, pending::<()>()).await
    })
}

pub async fn run(listener: TcpListener, stop: impl Future) -> Result<(), Box<dyn Error>> {
    let server = game::server()?;
    // Dropped, and so ended, with this function.
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
