//! NATS servers as child processes on loopback ports, and a trait for brokers of all kinds.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::{env, fs, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::port::own_port;
use crate::programs::until;

/// Paths of NATS servers: the system's, and the newer version that `.ci/test` installs.
const PLACES: [&str; 3] = [
    "/usr/sbin/nats-server",
    "/usr/bin/nats-server",
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/nats/bin/nats-server"),
];

/// Returns the paths of the installed servers. Panics if there are none.
pub fn nats_servers() -> Vec<PathBuf> {
    let places = PLACES.iter().map(PathBuf::from);
    let found: Vec<PathBuf> = places.filter(|place| place.exists()).collect();
    assert!(!found.is_empty(), "nats-server is missing: apt-get install nats-server");
    found
}

/// A running broker.
pub trait Broker {
    fn kill(&mut self);

    /// Sends the process a signal.
    fn signal(&self, signal: Signal);

    /// Starts the server again on its previous port, after [`kill`](Self::kill).
    fn restart(&mut self);

    /// Returns the broker's address, with a login that is empty or ends with `@`.
    fn address(&self, login: &str) -> String;

    fn port(&self) -> u16;

    fn log(&self) -> &Log;
}

/// The output lines of a process that have been read so far.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<String>>);

impl Log {
    /// Reads the process's output to its end, so that the process never blocks on a full pipe.
    pub fn read(&self, output: impl BufRead + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| {
                let mut lines = log.0.lock().unwrap();
                lines.push_str(&line);
                lines.push('\n');
            });
        });
    }

    pub fn contains(&self, text: &str) -> bool {
        self.0.lock().unwrap().contains(text)
    }

    /// Waits until the log contains a text. Returns the rest of that line.
    pub fn after(&self, text: &str) -> String {
        until("a line of the log is missing", || {
            let lines = self.0.lock().unwrap();
            // Consider only complete lines.
            let (line, _) = lines.split_once(text)?.1.split_once('\n')?;
            Some(line.to_owned())
        })
    }
}

/// A running NATS server. Dropping it kills the process.
pub struct Nats {
    program: PathBuf,
    args: Vec<String>,
    pub port: u16,
    child: Child,
    log: Log,
    /// The configuration file, which is removed together with the server.
    file: Option<PathBuf>,
}

impl Nats {
    /// Starts a server with these arguments on a free port, and waits until it accepts connections.
    pub fn start(program: &Path, args: &[&str]) -> Nats {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let log = Log::default();
        let (child, port) = run(program, &args, own_port(), &log);
        Nats { program: program.to_owned(), args, port, child, log, file: None }
    }

    /// Like [`start`](Self::start), but with this configuration, which is written to a file that no
    /// other process uses.
    pub fn configured(program: &Path, config: &str) -> Nats {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("roomer-nats-{}-{number}.conf", process::id());
        let file = env::temp_dir().join(name);
        fs::write(&file, config).expect("a folder for temporary files");
        let own = ["-c", file.to_str().expect("a name in UTF-8")];
        let mut server = Nats::start(program, &own);
        server.file = Some(file);
        server
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
        (self.child, self.port) = run(&self.program, &self.args, self.port, &self.log);
    }

    fn address(&self, login: &str) -> String {
        format!("nats://{login}127.0.0.1:{}", self.port)
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn log(&self) -> &Log {
        &self.log
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        _ = self.file.as_ref().map(fs::remove_file);
    }
}

/// Starts a process, and waits for the line that says that it is ready. Returns its port.
fn run(program: &Path, args: &[String], port: u16, all: &Log) -> (Child, u16) {
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
    // The server's tasks write concurrently, so this line may follow a line for which a test waits.
    // Keep the lines before it.
    all.0.lock().unwrap().push_str(&lines);
    all.read(log);
    (child, port.expect("a line with the port"))
}
