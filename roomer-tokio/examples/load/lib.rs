//! A load generator for servers that implement roomer's protocol: one thread with one poll loop.
//!
//! `cargo run --release -p roomer-load -- --url ws://127.0.0.1:8080/ws --pid PID
//! fanout --members 100 --window 16`
//!
//! It measures the server from outside (CPU of all threads and memory, by its process id) and
//! checks what it receives: no loss, no duplicate, each sender's messages in order, correct member
//! lists. Each run prints one line of JSON on stdout, and its progress if stderr is a terminal.
//! Exit code 1 means that the server has violated a guarantee, 2 that the run could not be
//! performed.
//!
//! | file | contents |
//! |---|---|
//! | `options` | the command line |
//! | `wire` | encoding a client's frames, and the stamp in a payload |
//! | `net`, `listener`, `opening`, `alarm` | connections: reading, sending, opening, and precise wake-ups |
//! | `process` | a process's CPU time and memory |
//! | `faults`, `report` | violations; the line of JSON, latencies, progress |
//! | `talk`, `ledger` | scenarios where room members send: `fanout`, `rooms`, `slow` |
//! | `direct`, `churn`, `crowd`, `resume` | the other scenarios |
//! | `members`, `net/session` | the extended protocol: member notices; acknowledgements and resumption |
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

mod alarm;
mod churn;
mod crowd;
mod direct;
mod faults;
mod ledger;
mod listener;
mod members;
mod net;
mod opening;
mod options;
mod process;
mod report;
mod resume;
mod talk;
mod wire;

use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use faults::Faults;
use options::{Options, Scenario};
use report::Report;

type Outcome = Result<(Report, Faults), Box<dyn Error>>;

/// Runs the program `name` with these arguments, and returns its exit code.
pub fn run(name: &str, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = match Options::from_args(name, args) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => return unable(name, &*error),
    };
    if let Err(error) = raise_descriptor_limit(options.connections()) {
        return unable(name, &*error);
    }
    let outcome = match options.scenario {
        Scenario::Fanout | Scenario::Rooms | Scenario::Slow => talk::run(&options),
        Scenario::Direct => direct::run(&options),
        Scenario::Churn => churn::run(&options),
        Scenario::Idle => crowd::idle(&options),
        Scenario::Joinstorm => crowd::joinstorm(&options),
        Scenario::Resume => resume::run(&options),
    };
    match outcome {
        Ok((mut report, faults)) => {
            report.put("extended", options.extended);
            report.put("violations", faults.count());
            if let Some(first) = faults.first() {
                report.put("violation", first);
            }
            // A closed output does not invalidate the measurement.
            let _ = writeln!(std::io::stdout(), "{}", report.line());
            match faults.first() {
                None => ExitCode::SUCCESS,
                Some(first) => {
                    eprintln!("{} violations, the first: {first}", faults.count());
                    ExitCode::from(1)
                }
            }
        }
        Err(error) => unable(name, &*error),
    }
}

fn unable(name: &str, error: &dyn Error) -> ExitCode {
    eprintln!("{name}: {error}");
    ExitCode::from(2)
}

/// Raises the descriptor limit to one per connection plus a reserve.
fn raise_descriptor_limit(connections: usize) -> Result<(), Box<dyn Error>> {
    let wanted = connections as u64 + 64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|soft| soft >= wanted) {
        return Ok(());
    }
    if let Some(hard) = limit.maximum.filter(|hard| *hard < wanted) {
        return Err(format!(
            "{connections} connections need {wanted} file descriptors, and the hard limit is \
             {hard}: take fewer, or raise it (`ulimit -Hn {wanted}` as root)"
        )
        .into());
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit })?)
}
