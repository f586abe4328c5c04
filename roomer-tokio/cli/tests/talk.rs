//! Tests `roomer talk` with input from a pipe: lost lines must be reported.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use crate::support::{Serving, Tail, roomer, run_with, succeeds};
use rustix::process::{Pid, Signal, kill_process};

/// Starts a conversation, and waits until its client has joined the room.
fn start(serving: &Serving) -> Child {
    let mut command = roomer(&["talk", &serving.url, "lobby"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    alone(&mut child);
    child
}

/// Reads the line that says that there are no other members in the room.
fn alone(child: &mut Child) {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "0 other members");
}

#[track_caller]
fn fails(child: Child, words: &str) {
    let done = child.wait_with_output().unwrap();
    let error = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{error}");
    assert!(error.contains(words), "{error}");
}

#[test]
fn non_text_lines_are_sent() {
    let serving = Serving::start(&[]);
    let mut tail = Tail::start(&serving, "lobby", &[]);
    let mut input = b"a\r\n\xff\n//\xfe\n/to \xff x\n".to_vec();
    // There are more lines than the client's queue can hold.
    for line in 0..3000 {
        input.extend(format!("{line}\n").bytes());
    }
    succeeds(&run_with(&["talk", &serving.url, "lobby"], &input));
    assert_eq!(tail.message()["text"], "a");
    assert_eq!(tail.message()["base64"], "/w==");
    assert_eq!(tail.message()["base64"], "L/4=");
    for line in 0..3000 {
        assert_eq!(tail.message()["text"], line.to_string());
    }
}

#[test]
fn unconfirmed_last_line_is_failure() {
    let serving = Serving::start(&[]);
    let mut talk = start(&serving);
    // The server is suspended, and does not confirm the line.
    serving.signal(Signal::STOP);
    talk.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    serving.signal(Signal::KILL);
    fails(talk, "may not have arrived: hello");
}

#[test]
fn signal_wait_for_stopped_server_is_bounded() {
    let serving = Serving::start(&[]);
    let mut talk = start(&serving);
    serving.signal(Signal::STOP);
    let mut input = talk.stdin.take().unwrap();
    // The answer to the second line shows that the first one has been sent. The input stays open.
    input.write_all(b"hello\n/who\n").unwrap();
    alone(&mut talk);
    kill_process(Pid::from_child(&talk), Signal::INT).unwrap();
    fails(talk, "the server does not answer");
    drop(input);
}
