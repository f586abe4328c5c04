//! NATS servers as processes, on ports of loopback.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

/// Places of servers: that of the system, and the newer one that `.ci/test` installs.
const PLACES: [&str; 3] = [
    "/usr/sbin/nats-server",
    "/usr/bin/nats-server",
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/nats/bin/nats-server"),
];

/// Returns the installed servers, at least one.
pub fn nats_servers() -> Vec<PathBuf> {
    let places = PLACES.iter().map(PathBuf::from);
    let found: Vec<PathBuf> = places.filter(|place| place.exists()).collect();
    assert!(!found.is_empty(), "nats-server is missing: apt-get install nats-server");
    found
}

/// A running broker.
pub trait Broker {
    /// Kills the process.
    fn kill(&mut self);

    /// Sends the process a signal.
    fn signal(&self, signal: Signal);

    /// Starts the server again on the same port, after [`kill`](Self::kill).
    fn restart(&mut self);

    /// Returns the address with a login, which is empty or ends in `@`.
    fn address(&self, login: &str) -> String;
}

/// A running server; dropping it kills the process.
pub struct Nats {
    program: PathBuf,
    args: Vec<String>,
    pub port: u16,
    child: Child,
}

impl Nats {
    /// Starts a server with these arguments on a free port, and waits until it is ready.
    pub fn start(program: &Path, args: &[&str]) -> Nats {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let (child, port) = run(program, &args, -1);
        Nats { program: program.to_owned(), args, port, child }
    }
}

impl Broker for Nats {
    fn kill(&mut self) {
        self.child.kill().expect("a process");
        self.child.wait().expect("its end");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child process");
    }

    fn restart(&mut self) {
        (self.child, self.port) = run(&self.program, &self.args, i32::from(self.port));
    }

    fn address(&self, login: &str) -> String {
        format!("nats://{login}127.0.0.1:{}", self.port)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Starts a process and waits for the line that it is ready; returns its port.
fn run(program: &Path, args: &[String], port: i32) -> (Child, u16) {
    let mut command = Command::new(program);
    command.args(["-a", "127.0.0.1", "-p", &port.to_string()]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut port = None;
    let mut lines = String::new();
    while !lines.contains("Server is ready") {
        let start = lines.len();
        if log.read_line(&mut lines).expect("a line") == 0 {
            panic!("{} does not start: {lines}", program.display());
        }
        let listens = "Listening for client connections on 127.0.0.1:";
        if let Some((_, number)) = lines[start..].split_once(listens) {
            port = number.trim().parse().ok();
        }
    }
    thread::spawn(|| drain(log));
    (child, port.expect("a line with the port"))
}

/// Reads the rest of the log, so that the process never waits for a full pipe.
fn drain(log: BufReader<ChildStderr>) {
    log.lines().map_while(Result::ok).for_each(drop);
}
