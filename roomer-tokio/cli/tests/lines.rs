//! Tests commands with unusual input and output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread;

use roomer_tokio::{History, Server, serve_until};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;

/// Runs a test with a server. Its rooms have a history, and the room `full` rejects all messages.
fn with_server(test: impl FnOnce(&str)) {
    let server = Server::builder()
        .history("*", History::last(10))
        .may_publish(|_, message| message.room != "full")
        .build()
        .unwrap();
    with(server, test);
}

fn with(server: Server, test: impl FnOnce(&str)) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = thread::spawn(move || {
        runtime.block_on(serve_until(listener, server, async { drop(stopped.await) })).unwrap();
    });
    test(&url);
    drop(stop);
    serving.join().unwrap();
}

fn spawn(args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomer"));
    command.args(args).env_remove("ROOMER_TOKEN");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Returns the payloads of the last messages in a room's history.
fn remembered(url: &str, room: &str, count: &str) -> Vec<Value> {
    let tail = spawn(&["tail", url, room, "--history", count, "--count", count, "--json"]);
    let out = tail.wait_with_output().unwrap().stdout;
    let lines = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let value = |line| serde_json::from_slice::<Value>(line).unwrap();
    lines
        .map(|line| [&value(line)["text"], &value(line)["base64"]].map(Clone::clone))
        .map(|[text, base64]| if text.is_null() { base64 } else { text })
        .collect()
}

#[test]
fn lines_before_invalid_line_are_sent() {
    with_server(|url| {
        let mut send = spawn(&["send", url, "lobby", "line", "--lines"]);
        let mut input = b"a\r\n\xff\n\nlast\n".to_vec();
        // The line has more bytes than the server permits.
        input.extend(vec![b'x'; 17 << 20]);
        send.stdin.take().unwrap().write_all(&input).unwrap();
        let done = send.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{error}");
        assert!(error.contains("larger than the server"), "{error}");
        assert_eq!(remembered(url, "lobby", "4"), ["a", "/w==", "", "last"]);
    });
}

#[test]
fn rejection_ends_lines_with_open_input() {
    with_server(|url| {
        let mut send = spawn(&["send", url, "full", "line", "--lines"]);
        let mut input = send.stdin.take().unwrap();
        input.write_all(b"a\n").unwrap();
        // The command must end although its input is still open.
        let error = BufReader::new(send.stderr.take().unwrap()).lines().next().unwrap().unwrap();
        assert!(error.contains("the server rejects it"), "{error}");
        assert_eq!(send.wait().unwrap().code(), Some(1));
        drop(input);
    });
}

#[test]
fn lines_above_rate_are_delayed_with_notice() {
    // The burst is large, so that a server that a busy machine does not run for three seconds
    // accepts the messages of that time, which then arrive together.
    let limited = Server::builder().history("*", History::last(200)).message_rate(40, 80);
    with(limited.build().unwrap(), |url| {
        let send = |more: &[&str]| {
            let args = [&["send", url, "lobby", "line", "--lines"], more].concat();
            let mut send = spawn(&args);
            let input = (1..=150).map(|number| format!("{number}\n")).collect::<String>();
            // The command may end before it has read all of its input.
            let _ = send.stdin.take().unwrap().write_all(input.as_bytes());
            send.wait_with_output().unwrap()
        };
        let done = send(&[]);
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(1), "{error}");
        assert!(error.contains("--rate"), "{error}");
        assert!(error.lines().count() < 5, "{error}");

        let before = remembered(url, "lobby", "1");
        let done = send(&["--rate", "25"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert_ne!(before, ["150"]);
        let due: Vec<String> = (1..=150).map(|number| number.to_string()).collect();
        assert_eq!(remembered(url, "lobby", "150"), due);
    });
}

#[test]
fn unterminated_line_is_input_error() {
    with_server(|url| {
        for command in [&["send", url, "lobby", "line", "--lines"][..], &["talk", url, "lobby"]] {
            let mut child = spawn(command);
            let mut input = child.stdin.take().unwrap();
            // The loop ends when the command no longer reads.
            while input.write_all(&[b'x'; 1 << 16]).is_ok() {}
            let done = child.wait_with_output().unwrap();
            let error = String::from_utf8_lossy(&done.stderr).into_owned();
            assert_eq!(done.status.code(), Some(2), "{error}");
            assert!(error.contains("a line is longer than 64 MiB"), "{error}");
        }
    });
}

#[test]
fn message_of_maximum_size_is_sent() {
    with_server(|url| {
        let mut send = spawn(&["send", url, "lobby", "large", "-"]);
        send.stdin.take().unwrap().write_all(&vec![b'x'; 3 << 20]).unwrap();
        let done = send.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    });
}

#[test]
fn closed_output_is_not_failure() {
    with_server(|url| {
        let bench = ["bench", "--url", url, "--secs", "0.1", "--warmup", "0.1", "direct"];
        for args in [&["completions", "bash"][..], &bench] {
            let mut child = spawn(args);
            drop(child.stdout.take());
            let done = child.wait_with_output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
    });
}
