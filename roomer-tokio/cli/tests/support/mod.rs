//! Helpers for tests: they run `roomer serve` as a program, and send plain HTTP requests.

pub mod hook;
pub mod socket;
pub mod tokens;

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// Returns a command. Environment variables that would change its behaviour are removed.
pub fn roomer(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomer"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROOMER_") {
            command.env_remove(name);
        }
    }
    command
}

pub fn run(args: &[&str]) -> Output {
    roomer(args).output().unwrap()
}

/// Runs a command with this text as its standard input.
pub fn run_with(args: &[&str], input: &[u8]) -> Output {
    let mut command = roomer(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
pub fn succeeds(done: &Output) -> String {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout.clone()).unwrap()
}

/// A temporary file. It is removed when this is dropped.
pub struct TempFile(pub PathBuf);

impl TempFile {
    pub fn new(name: &str, content: impl AsRef<[u8]>) -> TempFile {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("roomer-{}-{count}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        TempFile(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Creates a certificate for `localhost`, and its key.
pub fn certificate() -> (TempFile, TempFile) {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let key = made.signing_key.serialize_pem();
    (TempFile::new("cert.pem", made.cert.pem()), TempFile::new("key.pem", key))
}

/// A server that is running. It is killed when this is dropped.
pub struct Serving {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// The URL for WebSocket connections.
    pub url: String,
    /// The host and the port of the operators' listener.
    pub operator: String,
    /// The memory budget, as the server has logged it.
    pub memory_budget: String,
}

impl Serving {
    pub fn start(args: &[&str]) -> Serving {
        Serving::start_with(roomer(&["serve"]).args(args))
    }

    /// Starts a command that runs `roomer serve`, and waits until the server listens.
    pub fn start_with(command: &mut Command) -> Serving {
        Serving::start_at("127.0.0.1:0", command)
    }

    pub fn start_at(listen: &str, command: &mut Command) -> Serving {
        let ports = ["--listen", listen, "--operator-listen", "127.0.0.1:0"];
        command.args(ports).args(["--log-format", "json"]).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        let (url, operator, memory_budget) = <(String, String, String)>::default();
        let mut serving = Serving { child, log, url, operator, memory_budget };
        let listening = serving.logged("listening");
        serving.url = listening["url"].as_str().unwrap().into();
        serving.memory_budget = listening["memory_budget"].as_str().unwrap().into();
        let operator = serving.logged("listening for operators");
        serving.operator = operator["url"].as_str().unwrap().replace("http://", "");
        serving
    }

    /// Reads the log until a line has this message. Returns that line.
    #[track_caller]
    pub fn logged(&mut self, message: &str) -> Value {
        let mut before = VecDeque::new();
        for line in self.log.by_ref() {
            let line = line.unwrap();
            let value: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            if value["message"] == message {
                return value;
            }
            before.push_back(line);
        }
        panic!("{message:?} is not logged, but {before:#?}");
    }

    /// Reads the log to its end.
    pub fn rest_of_log(&mut self) -> String {
        self.log.by_ref().map(|line| line.unwrap() + "\n").collect()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, signal).unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Sends a request to the operators' listener.
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    pub fn request(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.operator).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        head += &format!("Content-Length: {}\r\n", body.len());
        for header in headers {
            head += &format!("{header}\r\n");
        }
        head += "\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        // If the server rejects the head, it may close the connection before the body is sent, and
        // the write fails.
        let _ = stream.write_all(body);
        Answer::read(&mut stream)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that is killed when this is dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A `roomer tail` in a room. It is killed when this is dropped.
pub struct Tail {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    id: String,
}

impl Tail {
    /// Starts the command, and waits until its client has joined the room.
    pub fn start(serving: &Serving, room: &str, args: &[&str]) -> Tail {
        let mut command = roomer(&["tail", &serving.url, room, "--members", "--json"]);
        let mut child = command.args(args).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Create the value here, so that the process is killed even if something below fails.
        let mut tail = Tail { child, lines, id: String::new() };
        let members = [&["members", &serving.url, room, "--json"], args].concat();
        while tail.id.is_empty() {
            let listed = succeeds(&run(&members));
            if let Some(line) = listed.lines().last() {
                let member: Value = serde_json::from_str(line).unwrap();
                tail.id = member["id"].as_str().unwrap().to_owned();
            }
        }
        tail
    }

    pub fn id(&self) -> String {
        self.id.clone()
    }

    pub fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    /// Returns the next message.
    pub fn message(&mut self) -> Value {
        loop {
            let line = self.next();
            if line["on"] == "message" {
                return line;
            }
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Requests an upgrade. Returns the status and the body of the response. With 101, the body is
/// empty.
pub fn handshake(serving: &Serving, query: &str, header: &str) -> (u16, String) {
    let host = serving.url.trim_start_matches("ws://").trim_end_matches("/ws");
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET /ws{query} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{header}\r\n"
    )
    .unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    match first.split(' ').nth(1).unwrap() {
        "101" => (101, String::new()),
        status => {
            let body = Answer::read_rest(&mut lines);
            (status.parse().unwrap(), body)
        }
    }
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads a response, until the server closes the connection.
    pub fn read(stream: &mut TcpStream) -> Answer {
        let mut bytes = Vec::new();
        // If a reset follows the response, the response is still valid.
        let _ = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(&bytes)));
        let head = String::from_utf8(bytes[..end].into()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: bytes[end + 4..].into() }
    }

    /// Reads the rest of a response whose first line was read. Returns the body.
    pub fn read_rest(reader: &mut impl BufRead) -> String {
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        rest.split_once("\r\n\r\n").unwrap().1.trim_end().to_owned()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }
}
