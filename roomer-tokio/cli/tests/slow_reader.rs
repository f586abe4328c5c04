//! Tests a `roomer tail` that is suspended until the server closes its slow connection.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{Running, Serving, TempFile, roomer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const KEY: &str = "a-key-of-the-backend-1";

#[test]
fn tail_resumes_after_slow_reader_close() {
    let key = TempFile::new("key", KEY);
    let file = TempFile::new(
        "slow.toml",
        format!(
            "[limits]\nmax_backlog = \"256 KiB\"\n[timeouts]\nretry = \"1ms\"\n\
             [[api_key]]\nname = \"a\"\nfile = {:?}\n",
            key.path()
        ),
    );
    let serving = Serving::start_with(&mut roomer(&["serve", file.path()]));
    let header = format!("Authorization: Bearer {KEY}");
    let publish = |event: &str, bytes: usize| {
        let (path, body) = (format!("/v1/rooms/lobby/messages/{event}"), "x".repeat(bytes));
        serving.request("POST", &path, &[&header], body.as_bytes()).json()["members"] != 0
    };
    // How the client is cut off depends on the speed of the machine: either the server closes its
    // connection with 1013, or the connection is lost, and then the buffer of its session
    // overflows.
    let is_cut_off =
        || serving.request("GET", "/v1/stats", &[&header], b"").json()["connections"] == 0;
    let mut tail = roomer(&["tail", &serving.url, "lobby", "--count", "2000", "--json"]);
    let mut tail = Running(tail.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    while !publish("first", 1) {}
    // When the process is suspended, it reads nothing, however its tasks are distributed over
    // threads.
    let process = Pid::from_child(&tail.0);
    kill_process(process, Signal::STOP).unwrap();
    let mut sent = 0;
    while !is_cut_off() {
        sent += 1;
        assert!(sent < 1_500, "the server keeps a client that reads nothing");
        publish("flood", 60_000);
    }
    kill_process(process, Signal::CONT).unwrap();
    let output = BufReader::new(tail.0.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let event = |line: String| serde_json::from_str::<Value>(&line).unwrap()["event"].clone();
        output.lines().map(|line| event(line.unwrap())).collect::<Vec<_>>()
    });
    while tail.0.try_wait().unwrap().is_none() {
        publish("again", 1);
    }
    assert!(tail.0.wait().unwrap().success());
    let events = reader.join().unwrap();
    assert_eq!(events.len(), 2000);
    assert_eq!((&events[0], &events[1999]), (&"first".into(), &"again".into()));
}
