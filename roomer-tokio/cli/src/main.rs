//! `roomer`, a command-line tool for room servers.
//!
//! | file | contents |
//! |---|---|
//! | `args` | the commands and their options |
//! | `connect` | options for connecting to a server |
//! | `output` | output as text or as lines of JSON |
//! | `input` | lines of standard input |
//! | `failure` | failures and their exit codes |
//! | `stop` | waits for the signal that ends a command |
//! | `serve` | a server: its configuration, its listeners, its log |
//! | `tail`, `send`, `request`, `members`, `talk` | one command each |
//! | `decode` | prints captured bytes as packets: `source` extracts them, `packets` decodes them |
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "output is the program's purpose")]

mod args;
mod connect;
mod decode;
mod failure;
mod input;
mod members;
mod output;
mod request;
mod send;
mod serve;
mod stop;
mod tail;
mod talk;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::generate;

use args::{Args, Command};
use connect::Connect;
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let args = Args::parse();
    let output = Output::new(args.json);
    match run(args.command, &output) {
        Ok(code) => code,
        // The program that reads the output has closed the pipe, as `head` does.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            output.failure(&failure);
            failure.exit_code()
        }
    }
}

fn run(command: Command, output: &Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Tail(args) => block_on(&args.connect, tail::run(&args, output))?,
        Command::Send(args) => block_on(&args.connect, send::run(&args, output))?,
        Command::Request(args) => block_on(&args.connect, request::run(&args, output))?,
        Command::Members(args) => block_on(&args.connect, members::run(&args, output))?,
        Command::Talk(args) => block_on(&args.connect, talk::run(&args, output))?,
        Command::Decode(args) => decode::run(&args, output)?,
        Command::Serve(args) => serve::run(&args, output)?,
        Command::Check(args) => serve::check(&args, output)?,
        Command::Bench { args } => return Ok(roomer_load::run("roomer bench", args)),
        Command::Completions { shell } => {
            // Generate the script into a buffer, since the generator panics if standard output is
            // closed.
            let mut script = Vec::new();
            generate(shell, &mut Args::command(), "roomer", &mut script);
            std::io::stdout().lock().write_all(&script)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a command, and closes its client.
fn block_on(
    connect: &Connect,
    command: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let result = command.await;
        connect.close().await;
        result
    });
    // A thread may be blocked reading standard input, so do not wait for it.
    runtime.shutdown_background();
    result
}
