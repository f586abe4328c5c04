//! The server's side of the process: this test executable, started once more.

use std::env;
use std::io::{self, BufRead, Write};
use std::process;
use std::thread;
use std::time::Duration;

use roomer_engine::Presence;
use roomer_engine::{Builder, Server};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::Adapter;
use crate::Runtime;

/// The environment's variable that makes [`serve`] serve: options as `name=value`, by spaces.
pub(super) const OPTIONS: &str = "ROOMER_CHAOS_SERVER";

/// What [`serve`] writes to its standard output.
pub(super) const LISTENING: &str = "listening on ";
pub(super) const NUMBERS: &str = "numbers ";

/// No test: the server of the others. It ends by SIGTERM, or with its standard input.
#[test]
#[ignore = "the other tests start it as their server"]
fn serve() {
    let Ok(options) = env::var(OPTIONS) else { return };
    let mut builder = Server::builder();
    for option in options.split_whitespace() {
        let (name, value) = option.split_once('=').expect("name=value");
        builder = choose(builder, name, value);
    }
    let server = builder.build().expect("a sound choice of options");
    let answers = server.clone();
    thread::spawn(move || answer(&answers));
    Runtime::serve(server, |addr| say(&format!("{LISTENING}{addr}"))).expect("it serves");
}

fn choose(builder: Builder, name: &str, value: &str) -> Builder {
    let number: u64 = value.parse().expect("a number");
    let time = Duration::from_millis(number);
    match name {
        "handshake" => builder.handshake_timeout(time),
        "ping" => builder.ping_interval(time),
        "pong" => builder.pong_timeout(time),
        "write" => builder.write_timeout(time),
        "close" => builder.close_timeout(time),
        "message" => builder.max_message(number as usize),
        // Nobody hears of others who come and go in root, and where there is a crowd.
        "quiet" => builder.presence("root", Presence::Off).presence("crowd", Presence::Off),
        "backlog" => builder.max_backlog(number as usize),
        "budget" => builder.memory_budget(number as usize),
        "descriptors" => {
            let limit = Rlimit { current: Some(number), maximum: Some(number) };
            setrlimit(Resource::Nofile, limit).expect("a lower limit");
            builder
        }
        _ => panic!("no option {name}"),
    }
}

/// Answers each line of the standard input with how much there is of everything.
fn answer(server: &Server) {
    for line in io::stdin().lock().lines() {
        if line.is_err() {
            break;
        }
        let stats = server.stats();
        let numbers = [
            stats.connections,
            stats.rooms,
            stats.memberships,
            stats.sockets,
            stats.queued_bytes,
            stats.bytes_in as usize,
            stats.lost as usize,
        ];
        let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
        let closes = stats.closes.iter().map(|(code, count)| format!("{code}:{count}"));
        let closes: Vec<_> = closes.collect();
        say(&format!("{NUMBERS}{} {}", numbers.join(" "), closes.join(" ")));
    }
    // Whoever started this has gone.
    process::exit(3);
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("somebody listens");
}
