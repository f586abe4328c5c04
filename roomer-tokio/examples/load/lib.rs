//! A load generator for servers that implement roomer's protocol.
//!
//! It has one thread with a poll loop.
//!
//! `cargo run --release -p roomer-load -- --url ws://127.0.0.1:8080/ws --pid PID
//! fanout --members 100 --window 16`
//!
//! It measures the server's process from outside (the CPU time of all threads, and the memory), and
//! checks what it receives: no message is lost or duplicated, each sender's messages are in order,
//! and member lists are correct. Each run prints a line of JSON to stdout and, if stderr is a
//! terminal, its progress there. Exit code 1 means that the server has violated a guarantee, and 2
//! that the run was not possible.
//!
//! | file | contents |
//! |---|---|
//! | `options` | the command line |
//! | `wire` | the encoding of a client's frames and of the stamp in a payload |
//! | `net`, `listener`, `opening`, `alarm` | connections, how they are opened, and precise timers |
//! | `process` | the CPU time and the memory of a process |
//! | `faults`, `report` | violations; the line of JSON, latencies, progress |
//! | `talk`, `ledger` | the scenarios in which members of rooms send: `fanout`, `rooms`, `slow` |
//! | `direct`, `churn`, `crowd`, `resume` | the other scenarios |
//! | `members`, `net/session` | the extended protocol: notices about members; sessions |
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

/// Runs the generator under the name `name`, with these arguments. Returns its exit code.
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
            // The measurement is valid even if the output was closed, so ignore an error.
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

/// Raises the limit on descriptors to one per connection, plus a reserve.
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
