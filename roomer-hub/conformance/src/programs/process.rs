//! Starts an example as a process, and waits for its output or exit.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{PROGRAM, folder};
use crate::client::TIMEOUT;

/// Returns the command that runs an example. It contains the secrets that some examples need, and
/// runs in a folder in which some examples create files.
pub fn command(example: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().expect("the path of this executable"));
    command.env(PROGRAM, example).args(args);
    command.env("ADMIN_TOKEN", "secret").env("JWT_SECRET", "a secret of at least 32 bytes ---");
    command.current_dir(folder()).stdin(Stdio::null());
    command
}

/// Runs a command until it exits.
pub fn output(mut command: Command) -> Output {
    command.output().expect("it runs")
}

/// A running example. Dropping it kills the process.
pub struct Process {
    pub addr: SocketAddr,
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a process, and waits for the line that contains its address.
    pub fn start(mut command: Command) -> Process {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        let Some((_, rest)) = line.split_once("://") else {
            let output = child.wait_with_output().expect("its end");
            panic!("{line:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
        let addr = rest[..end.unwrap_or(rest.len())].parse().expect("an address");
        Process { addr, child, output }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child process");
    }

    /// Waits until the process exits. Returns its status, and its standard error.
    pub fn ended(&mut self) -> (ExitStatus, String) {
        let status = until("it does not end", || self.child.try_wait().expect("a child process"));
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("text");
        let mut errors = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            stderr.read_to_string(&mut errors).expect("text");
        }
        (status, errors)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Repeats a check until it returns a value. Polling is necessary because another process cannot
/// notify the test.
#[track_caller]
pub fn until<T>(otherwise: &str, ask: impl FnMut() -> Option<T>) -> T {
    until_within(TIMEOUT, otherwise, ask)
}

/// Like [`until`], but with the given timeout.
#[track_caller]
pub fn until_within<T>(wait: Duration, otherwise: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + wait;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{otherwise}");
        sleep(Duration::from_millis(5));
    }
}
