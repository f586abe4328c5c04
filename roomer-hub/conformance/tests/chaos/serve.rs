//! The main function of the server process, for which the test executable starts itself again.

use std::collections::HashSet;
use std::env;
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::process;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use roomer_engine::Presence;
use roomer_engine::{Builder, ReplyError, Server};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::Adapter;
use crate::Runtime;

/// The environment variable that contains the options of [`serve`], as `name=value` separated by
/// spaces.
pub(super) const OPTIONS: &str = "ROOMER_CHAOS_SERVER";

/// The beginning of the line in which [`serve`] reports its address.
pub(super) const LISTENING: &str = "listening on ";
/// The beginning of a line with statistics; see [`answer`].
pub(super) const STATS_LINE: &str = "numbers ";

/// Not a test: it runs the server for the other tests. It exits on SIGTERM, or at the end of
/// standard input.
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
        // Do not notify clients about members of `root` and of the crowd.
        "quiet" => builder.presence("root", Presence::Off).presence("crowd", Presence::Off),
        "window" => builder.resume_window(time),
        "keep" => builder.resume_buffer(number as usize),
        "detached" => builder.max_detached_sessions(number as usize),
        "requests" => with_requests(builder),
        "backlog" => builder.max_backlog(number as usize),
        "budget" => builder.memory_budget(number as usize),
        "descriptors" => {
            let limit = Rlimit { current: Some(number), maximum: Some(number) };
            setrlimit(Resource::Nofile, limit).expect("a lower limit");
            builder
        }
        // The application itself has this many files open.
        "files" => {
            let files = (0..number).map(|_| File::open("/dev/null").expect("a free descriptor"));
            Vec::leak(files.collect());
            builder
        }
        _ => panic!("unknown option {name}"),
    }
}

/// Adds handlers for clients with sessions. The handlers answer requests, each of which must be
/// handled exactly once, and accept info changes.
fn with_requests(builder: Builder) -> Builder {
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let is_new = move |payload: &[u8]| match seen.lock().unwrap().insert(payload.to_vec()) {
        true => Ok(()),
        false => Err(ReplyError::failed("the handler has run twice")),
    };
    let is_new_too = is_new.clone();
    builder
        .may_set_info(|_, _| true)
        .info_rate(1000, 1000)
        .on_request("echo", move |_, message| {
            is_new(message.payload)?;
            Ok(message.payload.to_vec())
        })
        .on_request_async("ask back", async move |conn, message| {
            is_new_too(&message.payload)?;
            let answer = conn.request("back", &message.payload, Duration::from_secs(300)).await?;
            Ok(answer.payload)
        })
}

/// For each line on standard input, prints a line of statistics.
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
        let refused = stats.sessions.refused.iter().map(|(_, count)| count as usize);
        let numbers: Vec<_> = numbers.into_iter().chain(refused).collect();
        let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
        let closes = stats.closes.iter().map(|(code, count)| format!("{code}:{count}"));
        let closes: Vec<_> = closes.collect();
        print(&format!("{STATS_LINE}{} {}", numbers.join(" "), closes.join(" ")));
    }
    // Standard input has ended, so the test that started this process has ended as well.
    process::exit(3);
}

fn print(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the test reads the output");
}
