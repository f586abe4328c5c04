//! Tests that all examples must pass, and tests of individual examples.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::process::{Process, command, output, until};
use super::{PROGRAM, folder};
use crate::client::{Client, Received};
use crate::http::{HttpRequest, HttpResponse, dial};

const ANYWHERE: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// Runs an example that must fail. Returns the line that it writes to standard error, which must be
/// its only output.
#[track_caller]
fn error(example: &str, args: &[&str]) -> String {
    error_of(command(example, args))
}

#[track_caller]
fn error_of(command: Command) -> String {
    let output = output(command);
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8(output.stderr));
    let error = error.expect("text");
    assert_eq!((output.status.code(), &*out), (Some(1), ""), "{error}");
    let line = error.strip_suffix('\n').expect("a line");
    assert!(line.starts_with("error: ") && !line.contains('\n'), "{error}");
    // The line must not contain the `Debug` output of an error.
    assert!(!line.contains(" { ") && !line.contains("Os {"), "{error}");
    line.to_owned()
}

/// Checks that every error on the command line is reported in one line.
pub fn errors_are_reported_in_one_line(examples: &[&str]) {
    for example in examples {
        assert!(error(example, &["--nonsense"]).contains("--nonsense"));
        assert!(error(example, &["--listen"]).contains("--listen"));
        assert!(error(example, &["a", "b", "nonsense"]).contains("; --help lists the options"));
        let text = error_with_files(example, "nowhere");
        assert!(text.contains("cannot listen on nowhere"), "{text}");
    }
}

pub fn help_and_version_are_printed(examples: &[&str]) {
    for example in examples {
        for flag in ["-h", "--help", "-V", "--version"] {
            let output = output(command(example, &[flag]));
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{example} {flag}");
            let part = if flag.to_ascii_lowercase().contains('v') { "0." } else { "--listen" };
            assert!(text.contains(part), "{example} {flag}: {text}");
        }
    }
}

/// Checks the command line of an example that is a client: it takes an address and a room.
pub fn client_reports_errors_in_one_line(example: &str) {
    for (args, part) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["--listen", "127.0.0.1:0"], "--listen"),
        (&[], "URL is missing; --help"),
        (&["ws://127.0.0.1:8080/ws"], "ROOM is missing; --help"),
        (&["ws://127.0.0.1:8080/ws", "lobby", "nonsense"], "; --help lists the options"),
        (&["nonsense", "lobby"], "nonsense"),
    ] {
        let text = error(example, args);
        assert!(text.contains(part), "{args:?}: {text}");
    }
    for (flag, part) in [("-h", "URL ROOM"), ("--help", "URL"), ("-V", "0."), ("--version", "0.")] {
        let output = output(command(example, &[flag]));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{example} {flag}");
        assert!(text.contains(part) && !text.contains("--listen"), "{example} {flag}: {text}");
    }
}

pub fn address_in_use_is_reported(examples: &[&str]) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for example in examples {
        let text = error_with_files(example, &addr);
        assert!(text.contains(&format!("cannot listen on {addr}: ")), "{text}");
    }
}

/// Runs an example that must fail, like [`error`], with valid files if the example needs some.
#[track_caller]
fn error_with_files(example: &str, addr: &str) -> String {
    let files = files(example);
    let mut args = vec!["--listen", addr];
    args.extend(files.iter().map(|file| file.to_str().unwrap()));
    error(example, &args)
}

/// Returns the files or addresses that an example requires.
fn files(example: &str) -> Vec<PathBuf> {
    match example {
        "balance" => vec!["127.0.0.1:9".into()],
        _ if has_tls(example) => certificate(example).into(),
        _ => Vec::new(),
    }
}

fn has_tls(example: &str) -> bool {
    example.ends_with("tls") || example == "roomer-application"
}

fn certificate(name: &str) -> [PathBuf; 2] {
    let paths = ["cert", "key"].map(|kind| folder().join(format!("{name}-{kind}.pem")));
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    fs::write(&paths[0], made.cert.pem()).unwrap();
    fs::write(&paths[1], made.signing_key.serialize_pem()).unwrap();
    paths
}

pub fn tls_files_are_checked_before_listening(example: &str) {
    let [cert, key] = certificate("good").map(|path| path.to_str().unwrap().to_owned());
    let [_, other] = certificate("other").map(|path| path.to_str().unwrap().to_owned());
    let empty = folder().join("empty.pem").display().to_string();
    fs::write(&empty, "nothing\n").unwrap();
    for (cert, key, named) in [
        ("missing.pem", &*key, "missing.pem"),
        (&*cert, "missing.pem", "missing.pem"),
        (&*empty, &*key, &*empty),
        (&*cert, &*empty, &*empty),
        (&*cert, &*other, &*other),
    ] {
        let text = error(example, &["--listen", "127.0.0.1:0", cert, key]);
        assert!(text.contains(named), "{named}: {text}");
    }
    assert!(error(example, &["cert.pem"]).contains("key.pem"));
}

/// Checks that the application does not report that it listens before its database is open.
pub fn database_is_checked_before_listening(example: &str) {
    let folder = folder().join("database");
    // A folder cannot be opened as a database.
    fs::create_dir_all(folder.join("permissions.sqlite")).unwrap();
    let files = files(example);
    let mut args = ANYWHERE.to_vec();
    args.extend(files.iter().map(|file| file.to_str().unwrap()));
    let mut command = command(example, &args);
    command.current_dir(&folder);
    let text = error_of(command);
    assert!(text.contains("permissions.sqlite"), "{text}");
}

/// Checks that SIGINT and SIGTERM each end the program with exit code 0, after closing all clients
/// with 1001.
pub fn signal_drains_server(examples: &[&str]) {
    for example in examples {
        for signal in [Signal::TERM, Signal::INT] {
            let files = files(example);
            let mut args = ANYWHERE.to_vec();
            args.extend(files.iter().map(|file| file.to_str().unwrap()));
            let mut process = Process::start(command(example, &args));
            // Clients of these examples need TLS or a token, neither of which is under test.
            let mut client =
                (!has_tls(example) && *example != "jwt").then(|| Client::connect(process.addr));
            process.signal(signal);
            if let Some(client) = &mut client {
                going_away(client);
            }
            let (status, errors) = process.ended();
            assert_eq!(status.code(), Some(0), "{example}: {status} {errors}");
        }
    }
}

#[track_caller]
fn going_away(client: &mut Client) {
    let close = loop {
        match client.receive() {
            Received::Packet(_) => {}
            other => break other,
        }
    };
    assert!(matches!(close, Received::Close(Some(1001), _)), "{close:?}");
    let _ = client.stream.shutdown(std::net::Shutdown::Both);
}

/// Checks that a second signal ends the process immediately, without waiting for the drain.
pub fn second_signal_ends_process_immediately() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let mut args = ANYWHERE.to_vec();
        args.extend(["--drain", "600s", "--quiet"]);
        let mut process = Process::start(command("chat", &args));
        // The client does not answer the close frame, so the drain continues.
        let mut client = Client::connect(process.addr);
        process.signal(Signal::TERM);
        assert!(matches!(client.receive(), Received::Close(Some(1001), _)));
        process.signal(signal);
        let (status, errors) = process.ended();
        assert_eq!(status.code(), Some(code), "{status} {errors}");
    }
}

/// Checks that signals end a process that is the first in its container. For such a process, the
/// kernel has no default actions.
pub fn process_1_ends_on_sigterm() {
    let mut probe = Command::new("unshare");
    probe.args(["--pid", "--fork", "--mount-proc", "true"]).stderr(Stdio::piped());
    match probe.output() {
        Ok(output) if output.status.success() => {}
        refused => {
            println!("skipped: this system allows no PID namespace: {refused:?}");
            return;
        }
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    unshare.arg(std::env::current_exe().unwrap()).args(ANYWHERE).env(PROGRAM, "chat");
    let mut process = Process::start(unshare);
    let mut client = Client::connect(process.addr);
    let children = format!("/proc/{0}/task/{0}/children", process.id());
    let first = until("it has no child", || {
        let children = fs::read_to_string(&children).ok()?;
        children.split_whitespace().next().and_then(|pid| pid.parse().ok())
    });
    kill_process(Pid::from_raw(first).unwrap(), Signal::TERM).unwrap();
    going_away(&mut client);
    let (status, errors) = process.ended();
    assert_eq!((status.code(), status.signal()), (Some(0), None), "{errors}");
}

/// Checks that a secret is rejected if it is so short that tokens could be forged.
pub fn short_secret_is_rejected(example: &str) {
    let mut command = command(example, &ANYWHERE);
    command.args(files(example)).env("JWT_SECRET", "a secret of 31 bytes, or fewer.");
    assert!(error_of(command).contains("openssl rand -hex 32"));
}

/// Checks that the chat reports the name of an invalid option.
pub fn chat_names_wrong_option() {
    for (args, parts) in [
        (&["--max-rooms", "x"][..], &["--max-rooms", "\"x\""][..]),
        (&["--max-message", "0"], &["max_message must not be zero"]),
        (&["--ping-period", "soon"], &["--ping-period", "\"soon\""]),
        (&["--pong-wait", "0"], &["pong_timeout must not be zero"]),
        (&["--auth-token", ""], &["--auth-token", "empty"]),
        (&["--node", "a"], &["--node", "--cluster"]),
        (&["--allow-origin", "localhost"], &["\"localhost\"", "https://example.com"]),
        (&["--max-connections", "1", "--max-connections-per-address", "2"], &["max_connections"]),
    ] {
        let text = error("chat", args);
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

/// Checks the warnings of the chat, and the memory budget that it prints when it starts.
pub fn chat_warnings_name_its_flags() {
    let mut args = ANYWHERE.to_vec();
    args.extend(["--auth-token", "s3cret", "--memory-budget", "100663296"]);
    let mut process = Process::start(command("chat", &args));
    let addr = process.addr;
    let ask = HttpRequest::upgrade(addr).add("Sec-WebSocket-Protocol", "roomer, token.czNjcmV0");
    let foreign = ask.clone().add("Origin", "http://localhost:5173");
    assert_eq!(foreign.rejected(addr).status, 403);
    let answer = ask.head(addr);
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, Some("roomer")));
    assert_eq!(HttpRequest::upgrade(addr).target("/ws?token=s3cret").head(addr).status, 101);
    assert_eq!(HttpRequest::upgrade(addr).target("/ws?token=other").rejected(addr).status, 401);
    let gallery = HttpRequest::plain(addr).target("/gallery").rejected(addr);
    assert_eq!((gallery.status, gallery.header("location")), (308, Some("/gallery/")));
    process.signal(Signal::TERM);
    let (_, errors) = process.ended();
    for part in [
        "warning: rejected a page from http://localhost:5173",
        "allow_origin(\"http://localhost:5173\")",
        "--allow-origin http://localhost:5173",
        "warning: authorize rejected a client with a token (401)",
        "memory budget: 96 MiB",
    ] {
        assert!(errors.contains(part), "{errors}");
    }
    assert!(!errors.contains("s3cret") && !errors.contains("other"), "{errors}");
}

pub fn chat_works_behind_proxy() {
    let mut args = ANYWHERE.to_vec();
    args.extend(["--trust-proxy", "127.0.0.1", "--proxy-protocol", "--health"]);
    args.extend(["--max-connections-per-address", "1", "--quiet"]);
    let process = Process::start(command("chat", &args));
    let come = |header: &str, ask: &HttpRequest| {
        let mut stream = dial(process.addr);
        stream.write_all(&[header.as_bytes(), &ask.bytes()].concat()).unwrap();
        let status = HttpResponse::read_head(&mut stream).0.status;
        (stream, status)
    };
    let (ann, upgrade) =
        ("PROXY TCP4 1.2.3.4 5.6.7.8 9 80\r\n", HttpRequest::upgrade(process.addr));
    let (_first, status) = come(ann, &upgrade);
    let bob = come("PROXY TCP4 1.2.3.5 5.6.7.8 9 80\r\n", &upgrade);
    assert_eq!((status, come(ann, &upgrade).1, bob.1), (101, 429, 101));
    let check = HttpRequest::plain(process.addr).target("/ready").method("OPTIONS");
    assert_eq!(come("PROXY UNKNOWN\r\n", &check).1, 200);
}

/// Checks that a low soft limit on descriptors is raised, and that a low hard limit is reported
/// once.
pub fn descriptor_limit_is_raised_or_reported() {
    let limited = |limits: &str| {
        let mut shell = Command::new("sh");
        let exec = format!("ulimit {limits} && exec \"$0\" \"$@\"");
        shell.args(["-c", &exec]).arg(std::env::current_exe().unwrap()).args(ANYWHERE);
        shell.args(["--max-connections", "400", "--max-handshakes", "50"]).env(PROGRAM, "chat");
        Process::start(shell)
    };
    let mut raised = limited("-Sn 100");
    let limits = format!("/proc/{}/limits", raised.id());
    until("the limit is not raised", || {
        let limits = fs::read_to_string(&limits).ok()?;
        let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
        (line.split_whitespace().nth(3)?.parse::<u64>().ok()? >= 400).then_some(())
    });
    raised.signal(Signal::TERM);
    let (_, errors) = raised.ended();
    assert!(!errors.contains("warning"), "{errors}");

    let mut low = limited("-n 100");
    low.signal(Signal::TERM);
    let (_, errors) = low.ended();
    let warnings: Vec<&str> = errors.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert_eq!(warnings.len(), 1, "{errors}");
    for part in ["may open 100 files", "464", "max_connections", "ulimit", "--max-connections"] {
        assert!(warnings[0].contains(part), "{part}: {errors}");
    }
}
