//! Tests the balancer, and the script that starts it in front of two chats.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::process::{Process, command, output, until};
use super::{PROGRAM, folder};
use crate::broker::nats_servers;
use crate::client::{Client, Received};
use crate::http::{dial, refusing_port};

/// Checks that the backends are used in turn, and that a backend that refuses connections is
/// skipped and reported.
pub fn balancer_skips_refusing_backends() {
    let backends = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [first, second] = backends.each_ref().map(|backend| backend.local_addr().unwrap());
    let (_held, port) = refusing_port();
    let refusing = format!("127.0.0.1:{port}");
    let addresses = [first.to_string(), refusing.clone(), second.to_string()];
    let mut args = vec!["--listen", "127.0.0.1:0"];
    args.extend(addresses.iter().map(String::as_str));
    let mut balancer = Process::start(command("balance", &args));
    // It is the refusing backend's turn for the second connection, so the next backend gets it.
    for backend in [0, 1, 1, 0] {
        let mut client = dial(balancer.addr);
        let (mut server, _) = backends[backend].accept().unwrap();
        client.write_all(b"question").unwrap();
        let mut bytes = [0; 8];
        server.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"question");
        server.write_all(b"answer").unwrap();
        drop(server);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"answer");
    }
    drop(backends);
    let mut end = Vec::new();
    // The connection ends cleanly or with a reset.
    if dial(balancer.addr).read_to_end(&mut end).is_ok() {
        assert_eq!(end, b"");
    }
    balancer.signal(Signal::TERM);
    let (status, errors) = balancer.ended();
    assert_eq!(status.code(), Some(0), "{errors}");
    assert!(errors.contains(&format!("skipped {refusing}: ")), "{errors}");
    assert!(errors.contains("none of the 3 backends accepts connections"), "{errors}");
}

/// Checks that two clients that connect to the script's address are on different chats, see each
/// other and exchange messages. When one chat is killed, its client leaves, and then reconnects to
/// the other chat through the same address.
pub fn script_starts_cluster(script: &str) {
    let mut process = Process::start(script_command(script));
    let mut ann = Client::connect(process.addr);
    let mut bob = Client::connect(process.addr);
    assert_ne!(ann.id[..8], bob.id[..8], "both are on one node");
    next(&mut ann, "new_member", &bob.id);
    if !bob.root_members.contains(&ann.id) {
        next(&mut bob, "new_member", &ann.id);
    }
    ann.send_to_room("root", "greet", b"hello");
    bob.expect("root", "greet", "", &ann.id, b"hello");
    bob.send_to_client(&ann.id, "root", "greet", b"only you");
    ann.expect("root", "greet", &ann.id.clone(), &bob.id, b"only you");

    let chat = until("the chat is missing", || child(process.id(), "--node\0a"));
    kill_process(chat, Signal::KILL).unwrap();
    assert!(matches!(ann.receive(), Received::End | Received::Reset));
    next(&mut bob, "member_left", &ann.id);
    // The balancer alternates between the chats, so it tries the killed chat for the first of these
    // two connections.
    for _ in 0..2 {
        let again = Client::connect(process.addr);
        next(&mut bob, "new_member", &again.id);
        assert!(again.root_members.contains(&bob.id));
        again.close();
        next(&mut bob, "member_left", "");
    }

    process.signal(Signal::TERM);
    assert!(matches!(bob.receive(), Received::Close(Some(1001), _)));
    drop(bob);
    let (status, errors) = process.ended();
    assert_eq!(status.code(), Some(0), "{errors}");
    assert!(errors.contains("chat a has ended"), "{errors}");
    let ports = errors.split("127.0.0.1:").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        SocketAddr::from(([127, 0, 0, 1], rest[..end].parse().unwrap()))
    });
    for addr in ports.chain([process.addr]) {
        assert!(TcpStream::connect(addr).is_err(), "{addr} still accepts connections");
    }
}

/// Checks that the programs in the containers accept the options with which the containers start
/// them.
pub fn containers_use_existing_options(compose: &str) {
    let text = fs::read_to_string(compose).unwrap();
    let commands: Vec<&str> =
        text.lines().filter_map(|line| line.split_once("command: ")).map(|it| it.1).collect();
    assert_eq!(commands.len(), 3, "{text}");
    for line in commands {
        let words = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')).expect(line);
        let words: Vec<&str> = words.split(", ").map(|word| word.trim_matches('"')).collect();
        let help = output(command(words[0], &["--help"]));
        let help = String::from_utf8(help.stdout).unwrap();
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(&format!("    {option} ")), "{option}: {help}");
        }
    }
}

/// Checks that the script prints one sentence that says what to install if there is no broker.
pub fn script_names_missing_program(script: &str) {
    if Path::new("/usr/sbin/nats-server").exists() || Path::new("/usr/bin/nats-server").exists() {
        // The script also searches a system folder. In this copy it does not, so that it cannot
        // find the broker.
        let text = fs::read_to_string(script).unwrap();
        let text = text.replace("PATH=$PATH:/usr/sbin", "PATH=/nowhere");
        let copy = program("run-without-broker", &text);
        missing(copy.to_str().unwrap());
    } else {
        missing(script);
    }
}

#[track_caller]
fn missing(script: &str) {
    let output = output(Command::new(script));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{errors}");
    assert!(errors.starts_with("error: nats-server is missing: install "), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

/// Returns the command that runs the script with the programs in this executable.
fn script_command(script: &str) -> Command {
    let mut command = Command::new(script);
    for (variable, example) in [("ROOMER_CHAT", "chat"), ("ROOMER_BALANCE", "balance")] {
        let this = std::env::current_exe().unwrap();
        let text = format!("#!/bin/sh\n{PROGRAM}={example} exec {:?} \"$@\"\n", this);
        command.env(variable, program(&format!("cluster-{example}"), &text));
    }
    let mut path = nats_servers()[0].parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    command.env("PATH", path).stdin(Stdio::null());
    command
}

/// Writes a program to a file. Returns its path.
fn program(name: &str, text: &str) -> PathBuf {
    let path = folder().join(name);
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o755).open(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    assert_ne!(file.metadata().unwrap().permissions().mode() & 0o100, 0);
    path
}

/// Returns the child process whose command line contains these arguments.
fn child(parent: u32, arguments: &str) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let pid = children.split_whitespace().find(|pid| {
        fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.contains(arguments))
    })?;
    Pid::from_raw(pid.parse().ok()?)
}

/// Waits for this notice about a member of `root`. If `id` is empty, the notice may be about any
/// member.
#[track_caller]
fn next(client: &mut Client, event: &str, id: &str) {
    loop {
        let packet = client.expect_packet();
        let payload = String::from_utf8_lossy(&packet.payload);
        if packet.event == event && (id.is_empty() || payload == id) {
            return;
        }
    }
}
