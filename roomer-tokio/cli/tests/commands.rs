//! Tests the commands as programs. Their server runs in this process.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use roomer_conformance::http::refusing_port;
use roomer_tokio::{Claims, ConnId, History, Info, Rejection, Server, serve_until};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;

use crate::support::{roomer, run, run_with, succeeds};

/// A server that is running. It is stopped when this is dropped.
struct Running {
    url: String,
    server: Server,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

fn start() -> Running {
    let server = Server::builder()
        .authorize(|request| match request.query("token").as_deref() {
            Some("wrong") => Err(Rejection::unauthorized("no")),
            _ => Ok(Claims::default()),
        })
        .may_join(|_, room| room != "secret")
        .may_set_info(|_, _| true)
        .history("news*", History::last(10))
        // Longer than any test, so that a session that a command failed to end is noticed.
        .resume_window(Duration::from_secs(600))
        .on_request("double", |_, message| message.text().unwrap_or_default().repeat(2))
        .on_request_async("never", |_, _| std::future::pending::<String>())
        .build()
        .unwrap();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = server.clone();
    let thread = thread::spawn(move || {
        let stop = async { drop(stopped.await) };
        runtime.block_on(serve_until(listener, serving, stop)).unwrap();
    });
    Running { url, server, stop: Some(stop), thread: Some(thread) }
}

#[track_caller]
fn fails(done: &Output, code: i32, words: &str) {
    let error = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(code), "{error}");
    assert!(error.contains(words), "{error}");
}

/// Waits until a condition holds.
/// Starts a server that answers one request with a page. Returns the URL of a room server there.
fn web_server() -> (String, thread::JoinHandle<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let head = BufReader::new(&stream).lines().map(Result::unwrap);
        head.take_while(|line| !line.is_empty()).for_each(drop);
        (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    (url, server)
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

/// A command that keeps running. Its output is read line by line.
struct Watch {
    child: Child,
    /// The id that the server has given to the command's client.
    id: ConnId,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Watch {
    /// Starts a command with `--json`, and waits until its client has joined the room.
    fn start(running: &Running, room: &str, args: &[&str]) -> Watch {
        let args = [args, &["--json"]].concat();
        Watch::spawn(running, room, &args)
    }

    /// Starts a command whose standard input stays open, and waits until its client has joined the
    /// room.
    fn spawn(running: &Running, room: &str, args: &[&str]) -> Watch {
        // The clients of earlier commands may still be members.
        let before = running.server.members(room);
        let mut command = roomer(args);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let newcomer = || running.server.members(room).into_iter().find(|id| !before.contains(id));
        until("the room is not joined", || newcomer().is_some());
        Watch { child, id: newcomer().unwrap(), lines }
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    /// Ends the command with SIGTERM, as a service manager does.
    fn terminate(mut self) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        assert!(self.lines.next().is_none());
    }
}

#[test]
fn tail_prints_sent_messages_unchanged() {
    let running = start();
    let mut tail = Watch::start(&running, "lobby", &["tail", &running.url, "lobby"]);
    succeeds(&run(&["send", &running.url, "other", "number", "-5"]));
    succeeds(&run(&["send", &running.url, "lobby", "chat", "hello"]));
    let message = tail.next();
    assert_eq!(message["text"], "hello");
    assert_eq!((&message["room"], &message["event"]), (&json!("lobby"), &json!("chat")));

    succeeds(&run_with(&["send", &running.url, "lobby", "bytes", "-"], &[0, 0xff, 10]));
    assert_eq!(tail.next()["base64"], "AP8K");

    let lines: String = (0..3000).map(|line| format!("{line}\n")).collect();
    let done =
        run_with(&["send", &running.url, "lobby", "line", "--lines", "--json"], lines.as_bytes());
    let sent: Value = serde_json::from_str(&succeeds(&done)).unwrap();
    assert_eq!(sent["messages"], 3000);
    for line in 0..3000 {
        assert_eq!(tail.next()["text"], line.to_string());
    }
    tail.terminate();
}

#[test]
fn tail_filters_events_members_and_history() {
    let running = start();
    for text in ["1", "2", "3"] {
        succeeds(&run(&["send", &running.url, "news", "item", text]));
    }
    succeeds(&run(&["send", &running.url, "news", "other", "4"]));
    let url = &*running.url;
    let done =
        run(&["tail", url, "news", "--history", "3", "--event", "item", "--count", "2", "--json"]);
    let lines: Vec<Value> =
        succeeds(&done).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| &line["text"]).collect::<Vec<_>>(), ["2", "3"]);
    assert_eq!(lines[0]["number"], 2);

    let mut tail = Watch::start(&running, "lobby", &["tail", url, "lobby", "--members"]);
    succeeds(&run(&["send", url, "lobby", "chat", "hello"]));
    let joined = tail.next();
    assert_eq!((&joined["on"], &joined["room"]), (&json!("joined"), &json!("lobby")));
    assert_eq!(tail.next()["from"], joined["id"]);
    assert_eq!(tail.next()["on"], "left");
    tail.terminate();
}

#[test]
fn members_lists_infos_and_watches_changes() {
    let running = start();
    let url = &*running.url;
    assert_eq!(succeeds(&run(&["members", url, "lobby"])), "");
    let tail = Watch::start(&running, "lobby", &["tail", url, "lobby"]);
    let id = tail.id;
    running.server.set_info(id.as_str(), Info::new(r#"{"name":"Ada"}"#).unwrap()).unwrap();
    let listed: Value =
        serde_json::from_str(&succeeds(&run(&["members", url, "lobby", "--json"]))).unwrap();
    assert_eq!(listed, json!({ "on": "member", "id": id.as_str(), "info": { "name": "Ada" } }));

    let mut watch = Watch::start(&running, "lobby", &["members", url, "lobby", "--watch"]);
    assert_eq!(watch.next(), listed);
    tail.terminate();
    assert_eq!(watch.next(), json!({ "on": "left", "room": "lobby", "id": id.as_str() }));
    watch.terminate();
}

#[test]
fn request_prints_answer_unchanged() {
    let running = start();
    let url = &*running.url;
    assert_eq!(succeeds(&run(&["request", url, "root", "double", "ab"])), "abab");
    let json = succeeds(&run_with(&["request", url, "root", "double", "-", "--json"], b"x"));
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap(),
        json!({ "on": "answer", "text": "xx" })
    );
    fails(&run(&["request", url, "root", "halve"]), 1, "unknown: no handler");
    fails(&run(&["request", url, "root", "double", "--plain"]), 1, "plain protocol");
}

#[test]
fn chat_sends_line_by_line() {
    let running = start();
    let url = &*running.url;
    let mut tail = Watch::start(&running, "lobby", &["tail", url, "lobby", "--members"]);
    let input = "hello\n//slash\n/who\n/nonsense\n";
    let done = run_with(&["talk", url, "lobby", "--name", "Grace"], input.as_bytes());
    let shown = succeeds(&done);
    assert!(shown.starts_with("1 other member\n"), "{shown}");
    assert!(shown.contains("commands: /who"), "{shown}");
    let texts = std::iter::repeat_with(|| tail.next()).filter(|line| line["on"] == "message");
    let texts: Vec<Value> = texts.take(2).map(|message| message["text"].clone()).collect();
    assert_eq!(texts, ["hello", "/slash"]);
    assert_eq!(tail.next()["on"], "left");
    tail.terminate();
}

#[test]
fn each_failure_has_exit_code_and_remedy() {
    let running = start();
    let url = &*running.url;
    fails(
        &run(&["send", url, "secret", "chat", "x"]),
        1,
        r#"room "secret": the server rejected the join"#,
    );
    fails(&run(&["tail", url, "secret"]), 1, r#"the server rejects the join of the room "secret""#);
    fails(&run(&["members", url, "secret"]), 1, "rejected the join");
    fails(&run(&["send", url, "lobby", "join", "x"]), 2, "belongs to the protocol");
    fails(
        &run(&["send", url, "lobby", "chat", "x", "--to", "ada"]),
        2,
        r#"--to "ada" is not the id"#,
    );
    fails(
        &run(&["send", "ftp://127.0.0.1/ws", "lobby", "chat"]),
        2,
        "ftp://127.0.0.1/ws: an address starts with ws:// or wss://",
    );
    fails(
        &run(&["send", "ws://127.0.0.1:99999/ws", "lobby", "chat", "x"]),
        2,
        "the port is not a number from 1 to 65535",
    );
    fails(&run(&["send", url, "lobby"]), 2, "<EVENT>");
    fails(&run(&["send", url, "lobby", "chat", "--timeout", "0"]), 2, "not a time above 0");
    fails(&run(&["send", url, "lobby", "chat", "--header", "x"]), 2, "'NAME: VALUE'");
    fails(&run(&["send", url, "lobby", "chat", "--ca", "/nowhere"]), 2, "--ca /nowhere");
    fails(
        &run(&["tail", url, "lobby", "--token", "wrong"]),
        3,
        "status 401: the server requires valid credentials",
    );
    let elsewhere = url.replace("/ws", "/other");
    fails(
        &run(&["tail", &elsewhere, "lobby"]),
        3,
        "status 404: this is not the path of a room server",
    );
    let (page, server) = web_server();
    fails(&run(&["tail", &page, "lobby"]), 3, "status 200: this is not the path of a room server");
    server.join().unwrap();
    // Use a port on which no server listens.
    let (_held, port) = refusing_port();
    fails(&run(&["tail", &format!("ws://127.0.0.1:{port}/ws"), "lobby"]), 3, "cannot connect");
    // Use a server that never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("ws://{}/ws", silent.local_addr().unwrap());
    fails(&run(&["tail", &silent, "lobby", "--timeout", "0.2"]), 4, "no answer in time");
    let error = run(&["send", url, "secret", "chat", "--json"]).stderr;
    assert_eq!(serde_json::from_slice::<Value>(&error).unwrap()["on"], "failure");
}

#[test]
fn received_messages_cannot_control_terminal() {
    let running = start();
    let url = &*running.url;
    succeeds(&run(&["send", url, "news", "\u{1b}[2Jevent", "\u{1b}]0;title\u{7}\u{202e}x\ny"]));
    let shown = succeeds(&run(&["tail", url, "news", "--history", "1", "--count", "1"]));
    assert!(shown.ends_with("\\u{1b}]0;title\\u{7}\\u{202e}x\\ny\n"), "{shown}");
    assert!(shown.contains(" \\u{1b}[2Jevent "), "{shown}");
    assert_eq!(shown.chars().filter(|c| c.is_control()).count(), 1, "{shown:?}");
}

#[test]
fn load_generator_and_completions_are_included() {
    let running = start();
    let args = [
        "bench",
        "--url",
        &running.url,
        "--secs",
        "0.1",
        "--warmup",
        "0.1",
        "direct",
        "--pairs",
        "2",
    ];
    let figures: Value = serde_json::from_str(&succeeds(&run(&args))).unwrap();
    assert_eq!(figures["violations"], 0);
    assert!(succeeds(&run(&["bench", "--help"])).contains("roomer bench --url URL"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(succeeds(&run(&["completions", shell])).contains("tail"));
    }
}

#[test]
fn signal_ends_connecting_command() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", silent.local_addr().unwrap());
    for command in ["tail", "members", "talk"] {
        let mut child = roomer(&[command, &url, "lobby", "--timeout", "20"]).spawn().unwrap();
        let connection = silent.accept().unwrap();
        let process = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        // The signal has ended the command, so there is no exit code.
        assert_eq!(child.wait().unwrap().code(), None);
        drop(connection);
    }
}

#[test]
fn kick_sets_exit_code() {
    let running = start();
    for command in [&["tail"][..], &["members", "--watch"]] {
        let args = [command, &[&running.url, "lobby"]].concat();
        let watch = Watch::start(&running, "lobby", &args);
        assert!(running.server.kick(watch.id.as_str(), "lobby"));
        assert_eq!(watch.child.wait_with_output().unwrap().status.code(), Some(1));
    }
    fails(&run(&["talk", &running.url, "lobby", "--json"]), 2, "talk is for people");
}

#[test]
fn final_close_sets_same_exit_code_for_each_command() {
    let running = start();
    let url = &*running.url;
    let commands = [
        vec!["tail", url, "lobby"],
        vec!["members", url, "lobby", "--watch"],
        vec!["send", url, "lobby", "chat", "--lines"],
        vec!["talk", url, "lobby"],
        vec!["request", url, "lobby", "never"],
    ];
    for args in commands {
        let mut watch = Watch::spawn(&running, "lobby", &args);
        let input = watch.child.stdin.take();
        assert!(running.server.disconnect(watch.id.as_str(), 4000, "go away"));
        let done = watch.child.wait_with_output().unwrap();
        fails(&done, 3, "closed by the server with 4000 go away");
        drop(input);
    }
}

#[test]
fn failed_command_ends_its_session() {
    let running = start();
    let url = &*running.url;
    let is_empty = || running.server.members("root").is_empty();
    fails(&run(&["request", url, "lobby", "unknown"]), 1, "unknown");
    until("the client of `request` stays a member", is_empty);
    fails(&run(&["request", url, "lobby", "never", "--timeout", "0.1"]), 4, "no answer in time");
    until("the client of a late `request` stays a member", is_empty);
    for command in ["tail", "talk"] {
        let Watch { mut child, lines, .. } =
            Watch::spawn(&running, "news", &[command, url, "news"]);
        drop(lines);
        // The program that reads the output has ended, as `head` does.
        while child.try_wait().unwrap().is_none() {
            running.server.broadcast("news", "chat", "hello");
            thread::yield_now();
        }
        assert!(child.wait().unwrap().success());
        until("the client of a command without output stays a member", is_empty);
    }
}

#[test]
fn oversized_payload_is_input_error_for_each_command() {
    let running = start();
    let url = &*running.url;
    let large = vec![b'x'; 17 << 20];
    for args in [&["send", url, "lobby", "chat", "-"], &["request", url, "lobby", "double", "-"]] {
        fails(&run_with(args, &large), 2, "larger than the server accepts: send it in parts");
    }
}
