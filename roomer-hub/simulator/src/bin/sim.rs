//! Runs the simulator on all cores.
//!
//! ```text
//! cargo run --release -p roomer-simulator --bin sim -- --seeds N [--start S] [--threads T] \
//!     [--full | --guests | --requests | --members | --cluster | --sessions | --client | --scripted]
//! ```
//!
//! By default, plans drive the hub alone. With `--guests`, the hub also has peers, with members on
//! other nodes; with `--requests`, extended connections send requests; with `--members`, extended
//! members have info. With `--full`, plans drive the whole server (sessions, outboxes and handlers)
//! byte by byte; with `--cluster`, several nodes connected by a model of a broker; with
//! `--sessions`, a server whose clients lose their sockets and reconnect; with `--client`, the
//! client of `roomer-proto` against that server; with `--scripted`, the client against a script
//! that may violate the protocol.
//!
//! The last line is `N seeds, M steps, R steps/s, F failures`, where R is the rate per thread. The
//! exit status is 0 only if F is 0. Failing plans are shrunk and printed as tests. In runs of
//! 10,000 seeds or more, a mark that no seed has reached also counts as a failure.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command-line program
#![allow(clippy::disallowed_methods)] // only here, for the reported speed

use std::io::{IsTerminal, Write};
use std::process::{ExitCode, exit};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::time::{ClockId, clock_gettime};

use roomer_simulator::client::ClientPlans;
use roomer_simulator::cluster::ClusterPlans;
use roomer_simulator::hub::guests::report::GuestPlans;
use roomer_simulator::hub::report::HubPlans;
use roomer_simulator::members::report::MemberPlans;
use roomer_simulator::requests::RequestPlans;
use roomer_simulator::runner;
use roomer_simulator::scripted::ScriptedPlans;
use roomer_simulator::server::ServerPlans;
use roomer_simulator::sessions::SessionPlans;
use roomer_simulator::simulation::Simulation;

const USAGE: &str = "usage: sim --seeds N [--start S] [--threads T] \
    [--full | --guests | --requests | --members | --cluster | --sessions | --client | --scripted]";

/// The maximum number of failures that are shrunk and printed.
const EXPLAINED: usize = 2;

/// A run with at least this many seeds must reach all marks.
const LARGE: u64 = 10_000;

/// A seed takes milliseconds, so a run that completes none in this CPU time per thread must be in an
/// endless loop. On a busy machine, any duration may pass meanwhile.
const STALL_LIMIT: Duration = Duration::from_secs(20);

/// The number of completed seeds, and the number of failures already explained.
static DONE: AtomicU64 = AtomicU64::new(0);

struct Options {
    seeds: u64,
    start: u64,
    threads: usize,
    mode: Mode,
}

/// The system under test, chosen on the command line.
enum Mode {
    Hub,
    Guests,
    Requests,
    Members,
    Server,
    Cluster,
    Sessions,
    Client,
    Scripted,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("error: {what}; --help lists the options");
            return ExitCode::from(2);
        }
    };
    // Silence the output of panics, which the runner catches and reports as faults.
    std::panic::set_hook(Box::new(|_| {}));
    match options.mode {
        Mode::Hub => run::<HubPlans>(&options),
        Mode::Guests => run::<GuestPlans>(&options),
        Mode::Requests => run::<RequestPlans>(&options),
        Mode::Members => run::<MemberPlans>(&options),
        Mode::Server => run::<ServerPlans>(&options),
        Mode::Cluster => run::<ClusterPlans>(&options),
        Mode::Client => run::<ClientPlans>(&options),
        Mode::Scripted => run::<ScriptedPlans>(&options),
        Mode::Sessions => run::<SessionPlans>(&options),
    }
}

/// Parses the command line. Returns `None` for help or the version.
fn options() -> Result<Option<Options>, String> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut options = Options { seeds: 0, start: 0, threads, mode: Mode::Hub };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let number = words.next().and_then(|number| number.parse::<u64>().ok());
            number.ok_or_else(|| format!("{word} needs a number"))
        };
        match &*word {
            "--seeds" => options.seeds = number()?,
            "--start" => options.start = number()?,
            "--threads" => options.threads = number()?.max(1) as usize,
            "--full" => options.mode = Mode::Server,
            "--guests" => options.mode = Mode::Guests,
            "--requests" => options.mode = Mode::Requests,
            "--members" => options.mode = Mode::Members,
            "--client" => options.mode = Mode::Client,
            "--scripted" => options.mode = Mode::Scripted,
            "--cluster" => options.mode = Mode::Cluster,
            "--sessions" => options.mode = Mode::Sessions,
            "-h" | "--help" => {
                println!("{USAGE}");
                return Ok(None);
            }
            "-V" | "--version" => {
                println!("sim {}", env!("CARGO_PKG_VERSION"));
                return Ok(None);
            }
            _ => return Err(format!("unknown option {word:?}")),
        }
    }
    if options.seeds == 0 { Err("--seeds N is required".into()) } else { Ok(Some(options)) }
}

fn run<S: Simulation>(options: &Options) -> ExitCode {
    let Options { seeds, start, threads, .. } = *options;
    let is_terminal = std::io::stderr().is_terminal();
    let begin = Instant::now();
    #[cfg(unix)]
    thread::spawn(move || end_if_stuck(seeds, STALL_LIMIT * threads as u32));
    let progress = |done: u64, failures: u64| {
        DONE.store(done, Ordering::Relaxed);
        if is_terminal && (done % 1024 < 64 || done == seeds) {
            let mut out = std::io::stderr().lock();
            let _ = write!(out, "\r{done} of {seeds} seeds, {failures} failures ");
        }
    };
    let sum = runner::run_seeds::<S>(start, seeds, threads, &progress);
    let seconds = begin.elapsed().as_secs_f64();
    if is_terminal {
        eprintln!();
    }
    for (at, (seed, fault)) in sum.examples.iter().enumerate() {
        println!("seed {seed}: {fault}");
        if at < EXPLAINED {
            println!("{}", S::explain(*seed));
            DONE.fetch_add(1, Ordering::Relaxed);
        }
    }
    let mut failures = sum.failures;
    if seeds >= LARGE && failures == 0 {
        for mark in sum.missing::<S>() {
            println!("never reached: {mark}");
            failures += 1;
        }
    }
    println!("hash of all: {:016x}", sum.hash);
    let speed = (sum.steps as f64 / seconds / threads as f64) as u64;
    println!("{seeds} seeds, {} steps, {speed} steps/s, {failures} failures", sum.steps);
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Exits with a failure if no seed completes while the process uses this CPU time.
#[cfg(unix)]
fn end_if_stuck(seeds: u64, limit: Duration) {
    let cpu_time =
        || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default();
    let mut before = (0, cpu_time());
    loop {
        thread::sleep(Duration::from_secs(1));
        let now = (DONE.load(Ordering::Relaxed), cpu_time());
        if now.0 != before.0 {
            before = now;
        } else if now.1 > before.1 + limit {
            println!("no progress after {} seeds: a seed or its shrinking does not end", now.0);
            println!("{seeds} seeds, 0 steps, 0 steps/s, 1 failures");
            exit(1);
        }
    }
}
