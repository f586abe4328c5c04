//! The server process: this test executable, started again.

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

/// The environment variable with the options of [`serve`], as `name=value` separated by spaces.
pub(super) const OPTIONS: &str = "ROOMER_CHAOS_SERVER";

/// Prefixes of the lines that [`serve`] writes to its standard output.
pub(super) const LISTENING: &str = "listening on ";
pub(super) const STATS_LINE: &str = "numbers ";

/// Not a test: the server of the other tests. It ends on SIGTERM, or when its standard input ends.
#[test]
#[ignore = "the other tests start it as their server"]
fn serve() {
    let Ok(options) = env::var(OPTIONS) else { return };
    let mut builder = Server::builder();
    for option in options.split_whitespace() {
        let (name, value) = option.split_once('=').expect("name=value");
        builder = choose(builder, name, value);
    }
    let server = builder.build().expect("valid options");
    let answers = server.clone();
    thread::spawn(move || answer(&answers));
    Runtime::serve(server, |addr| print(&format!("{LISTENING}{addr}"))).expect("it serves");
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
        // No notices about members of root and of the crowd.
        "quiet" => builder.presence("root", Presence::Off).presence("crowd", Presence::Off),
        "backlog" => builder.max_backlog(number as usize),
        "budget" => builder.memory_budget(number as usize),
        "descriptors" => {
            let limit = Rlimit { current: Some(number), maximum: Some(number) };
            setrlimit(Resource::Nofile, limit).expect("a lower limit");
            builder
        }
        _ => panic!("unknown option {name}"),
    }
}

/// Answers each line of the standard input with a line of statistics.
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
        print(&format!("{STATS_LINE}{} {}", numbers.join(" "), closes.join(" ")));
    }
    // The test that started this process has ended.
    process::exit(3);
}

fn print(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the test reads the output");
}
