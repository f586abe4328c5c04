//! Finds a bug that most schedules hide: two clients increment a counter, and one update is lost.
//!
//! ```text
//! cargo run -p roomer-testkit --example lost_update
//! ```
//!
//! The documentation of `roomer_testkit` explains the same example step by step.
#![allow(clippy::print_stdout)] // a command-line program

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use roomer_engine::{Builder, Server};
use roomer_testkit::{World, find, run};

/// Builds a server whose clients read the counter with one message and write it with a later one,
/// without checking whether it has changed in between.
fn careless(count: &Arc<AtomicU64>) -> Builder {
    let (get, set) = (count.clone(), count.clone());
    Server::builder()
        .on("get", move |conn, _| {
            let count = get.load(Relaxed).to_string();
            conn.send_to_client(conn.id().as_str(), "count", count.as_bytes());
            Ok(())
        })
        .on("set", move |_, message| {
            set.store(std::str::from_utf8(message.payload)?.parse()?, Relaxed);
            Ok(())
        })
}

/// Adds `swap`, a compare-and-swap. A client whose value is stale receives the current one and
/// retries.
fn careful(count: &Arc<AtomicU64>) -> Builder {
    let set = count.clone();
    careless(count).on("swap", move |conn, message| {
        let (seen, wanted) = std::str::from_utf8(message.payload)?.split_once(' ').ok_or("two")?;
        if let Err(count) = set.compare_exchange(seen.parse()?, wanted.parse()?, Relaxed, Relaxed) {
            let count = count.to_string();
            conn.send_to_client(conn.id().as_str(), "count", count.as_bytes());
        }
        Ok(())
    })
}

/// Runs two clients that increment the counter at the same time.
fn both_count(
    seed: u64,
    server: fn(&Arc<AtomicU64>) -> Builder,
    reply: fn(u64) -> (&'static str, String),
) {
    let count = Arc::new(AtomicU64::new(0));
    let mut world = World::new(seed, server(&count));
    for client in [world.connect(), world.connect()] {
        client.on("count", move |client, packet| {
            let text = String::from_utf8_lossy(&packet.payload);
            let (event, payload) = reply(text.parse().unwrap_or_default());
            client.send("root", event, payload);
        });
        client.send("root", "get", "");
    }
    world.settle();
    assert_eq!(count.load(Relaxed), 2, "an update is lost");
}

fn main() {
    let careless = |seed| both_count(seed, careless, |n| ("set", (n + 1).to_string()));
    std::panic::set_hook(Box::new(|_| {})); // failures are printed below
    match find(0..1000, careless) {
        Some(failure) => println!("seed {}: {}", failure.seed, failure.message),
        None => println!("no seed fails"),
    }
    let seeds = 0..1000;
    let fine = seeds.clone().filter(|&seed| find(seed..seed + 1, careless).is_none()).count();
    println!("{fine} of {} seeds do not show the bug", seeds.end);

    run(seeds, |seed| both_count(seed, careful, |n| ("swap", format!("{n} {}", n + 1))));
    println!("the handlers with compare-and-swap lose no update");
}
