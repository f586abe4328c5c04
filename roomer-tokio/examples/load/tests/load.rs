//! Tests the generator with few connections, and a server in this process.
//!
//! With the extended protocol, each scenario must end without a violation. Violations must be
//! detected.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use roomer_tokio::{Builder, Presence, Server, serve_until};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;

/// Runs the generator with a server that has these options.
fn load(set: impl FnOnce(Builder) -> Builder, args: &str) -> Output {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    // The window is so long that no session expires on a busy machine.
    let builder = Server::builder().resume_window(Duration::from_secs(600));
    let server = set(builder).build().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = thread::spawn(move || {
        let stop = async { drop(stopped.await) };
        runtime.block_on(serve_until(listener, server, stop)).unwrap();
    });
    let done = Command::new(env!("CARGO_BIN_EXE_load"))
        .args(["--url", &url, "--patience", "60"])
        .args(args.split(' '))
        .output()
        .unwrap();
    drop(stop);
    serving.join().unwrap();
    done
}

/// Returns the figures of a run. The run must not have found any violations.
fn figures(done: &Output) -> Value {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn errors_are_reported_in_one_line() {
    for (args, part) in [
        ("fanout --nonsense", "--nonsense"),
        ("fanout nonsense", "\"nonsense\""),
        ("fanout --members", "--members"),
        ("fanout --members many", "--members: cannot read \"many\""),
        ("nonsense", "no scenario \"nonsense\"; --help"),
        ("--members 10", "the scenario is missing; --help"),
        ("fanout --url http://127.0.0.1/ws", "write ws://"),
        ("fanout --url ws://127.0.0.1:9/ws", "127.0.0.1:9"),
    ] {
        let done = program(args);
        assert_eq!((done.status.code(), &*done.stdout), (Some(2), &b""[..]), "{args}");
        let text = String::from_utf8(done.stderr).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        assert!(line.starts_with("load: ") && line.contains(part), "{args}: {line}");
        assert!(!line.contains('\n') && !line.contains("Os {"), "{args}: {line}");
    }
}

#[test]
fn help_and_version_are_printed() {
    for (flag, part) in
        [("-h", "SCENARIO"), ("--help", "SCENARIO"), ("-V", "0."), ("--version", "0.")]
    {
        let done = program(flag);
        let text = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success() && done.stderr.is_empty() && text.contains(part), "{text}");
    }
}

/// Runs the generator with arguments that need no server.
fn program(args: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_load")).args(args.split(' ')).output().unwrap()
}

#[test]
fn sessions_resume_after_all_sockets_are_cut() {
    let report = figures(&load(|it| it, "resume --conns 12 --members 3 --meanwhile 2"));
    let keys = ["resumed", "refused", "plain_notices", "extended_notices", "client_notices"];
    assert_eq!(keys.map(|key| report[key].as_u64()), [12, 0, 0, 0, 0].map(Some), "{report}");
    // Three clients and an observer in each of four rooms receive one message before the cut, two
    // while the clients were disconnected, and one after that.
    let keys = ["received", "lost_copies", "doubled_copies"];
    assert_eq!(keys.map(|key| report[key].as_u64()), [4 * 4 * 4, 0, 0].map(Some), "{report}");
}

#[test]
fn ended_sessions_are_violations() {
    let done = load(|it| it.resume_window(Duration::ZERO), "resume --conns 4");
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stderr));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&report["resumed"], &report["refused"]), (&0.into(), &4.into()), "{report}");
    assert!(report["extended_notices"].as_u64() > Some(0), "{report}");
}

#[test]
fn extended_clients_lose_nothing_and_have_correct_members() {
    let report = figures(&load(|it| it, "--extended --secs 0.1 --warmup 0 fanout --members 5"));
    assert_eq!(report["lost_copies"], 0, "{report}");
    let report = figures(&load(|it| it, "--extended joinstorm --conns 20 --leave 3"));
    assert_eq!(report["seen_fraction_after"], 1.0, "{report}");
    let no_presence = |it: Builder| it.presence("*", Presence::Off);
    figures(&load(no_presence, "--extended --secs 0.1 --warmup 0 churn --conns 5"));
}
