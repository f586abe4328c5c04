//! Redis servers as child processes on loopback ports.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::{Broker, Log};
use crate::port::own_port;

/// A running Redis server. Dropping it kills the process.
pub struct Redis {
    args: Vec<String>,
    is_tls: bool,
    pub port: u16,
    child: Child,
    log: Log,
}

impl Redis {
    /// Starts a server with these arguments on a free port, and waits until it accepts connections.
    pub fn start(args: &[&str]) -> Redis {
        Redis::start_with(args, false)
    }

    /// Starts a server that accepts only TLS connections.
    pub fn start_tls(args: &[&str]) -> Redis {
        Redis::start_with(args, true)
    }

    fn start_with(args: &[&str], is_tls: bool) -> Redis {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let (log, port) = (Log::default(), own_port());
        let child = run(&args, is_tls, port, &log);
        Redis { args, is_tls, port, child, log }
    }
}

impl Broker for Redis {
    fn kill(&mut self) {
        self.child.kill().expect("a process");
        self.child.wait().expect("its end");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child process");
    }

    fn restart(&mut self) {
        self.child = run(&self.args, self.is_tls, self.port, &self.log);
    }

    fn address(&self, login: &str) -> String {
        let scheme = if self.is_tls { "rediss" } else { "redis" };
        format!("{scheme}://{login}127.0.0.1:{}", self.port)
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn log(&self) -> &Log {
        &self.log
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Starts a process, and waits for the line that says that it is ready.
fn run(args: &[String], is_tls: bool, port: u16, rest: &Log) -> Child {
    let mut command = Command::new("redis-server");
    let port = port.to_string();
    match is_tls {
        true => command.args(["--port", "0", "--tls-port", &port]),
        false => command.args(["--port", &port]),
    };
    // Disable persistence, so that the server writes no files.
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("redis-server is installed");
    let mut log = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut lines = String::new();
    while !lines.contains("Ready to accept connections") {
        if log.read_line(&mut lines).expect("a line") == 0 {
            panic!("redis-server does not start: {lines}");
        }
    }
    rest.read(log);
    child
}
