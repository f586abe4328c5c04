//! Tests `roomer serve` under a supervisor such as systemd, and the files in `deploy`.
//!
//! The supervisor passes sockets and receives notifications.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Answer, Serving, TempFile, roomer, run, succeeds};
use rustix::process::Signal;

/// Reads a file from the folder `deploy`.
fn deployed(name: &str) -> String {
    let path = format!("{}/deploy/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The supervisor's end of `NOTIFY_SOCKET`.
struct Notifications(UnixDatagram);

impl Notifications {
    fn at(path: &TempFile) -> Notifications {
        std::fs::remove_file(path.path()).unwrap();
        let socket = UnixDatagram::bind(path.path()).unwrap();
        // If the server sends no notification, the test must fail.
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Notifications(socket)
    }

    fn next(&self) -> String {
        let mut buffer = [0; 256];
        let length = self.0.recv(&mut buffer).unwrap();
        std::str::from_utf8(&buffer[..length]).unwrap().trim().to_owned()
    }

    /// Returns the next notification. Skips those for the watchdog.
    fn next_state(&self) -> String {
        std::iter::repeat_with(|| self.next()).find(|state| state != "WATCHDOG=1").unwrap()
    }
}

#[test]
fn supervisor_is_notified_of_state() {
    let path = TempFile::new("notify", "");
    let notifications = Notifications::at(&path);
    let mut command = roomer(&["serve"]);
    command.env("NOTIFY_SOCKET", path.path()).env("WATCHDOG_USEC", "100000");
    command.env_remove("WATCHDOG_PID");
    let mut serving = Serving::start_with(&mut command);
    assert_eq!(notifications.next_state(), "READY=1");
    while notifications.next() != "WATCHDOG=1" {}
    serving.signal(Signal::HUP);
    let reloading = notifications.next_state();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(notifications.next_state(), "READY=1");
    serving.signal(Signal::TERM);
    assert_eq!(notifications.next_state(), "STOPPING=1");
    serving.logged("stopped");
    assert!(serving.wait().success());
}

/// Returns a command that runs `roomer serve` with these sockets as descriptors 3 and 4, as systemd
/// does. A shell moves the descriptors, so that no unsafe code is needed.
fn activated(clients: &TcpListener, operators: Option<&TcpListener>) -> Command {
    let of = |listener: &TcpListener| Stdio::from(OwnedFd::from(listener.try_clone().unwrap()));
    let count = if operators.is_some() { 2 } else { 1 };
    let script = format!(
        "LISTEN_PID=$$ LISTEN_FDS={count} exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null"
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_roomer"), "serve"]).stdin(of(clients));
    command.stdout(operators.map_or_else(Stdio::null, of));
    command
}

#[test]
fn supervisor_sockets_are_used() {
    let (clients, operators) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    // A client may connect before the server has started.
    let mut early = TcpStream::connect(clients.local_addr().unwrap()).unwrap();
    write!(early, "GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let serving = Serving::start_with(&mut activated(&clients, Some(&operators)));
    assert_eq!(Answer::read(&mut early).status, 200);
    assert_eq!(serving.url, format!("ws://{}/ws", clients.local_addr().unwrap()));
    assert_eq!(serving.operator, operators.local_addr().unwrap().to_string());
    succeeds(&run(&["send", &serving.url, "lobby", "chat", "hello"]));
    assert_eq!(serving.get("/ready").text(), "ok\n");
    // If no second socket is passed, operators use the listener from the configuration.
    let serving = Serving::start_with(&mut activated(&clients, None));
    assert_ne!(serving.operator, operators.local_addr().unwrap().to_string());
    assert_eq!(serving.get("/ready").text(), "ok\n");
}

#[test]
fn public_socket_requires_login() {
    let clients = TcpListener::bind("0.0.0.0:0").unwrap();
    // Read only the first line, since a server that wrongly accepts the socket keeps running.
    let mut child = activated(&clients, None).stderr(Stdio::piped()).spawn().unwrap();
    let error = BufReader::new(child.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let port = clients.local_addr().unwrap().port();
    assert!(error.contains(&format!("other machines reach 0.0.0.0:{port}")), "{error}");
    let mut anonymous = activated(&clients, None);
    let _serving = Serving::start_with(anonymous.args(["--anonymous", "true"]));
}

#[test]
fn descriptor_that_is_not_listener_is_rejected() {
    let mut command = activated(&TcpListener::bind("127.0.0.1:0").unwrap(), None);
    let done = command.stdin(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    let error = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{error}");
    assert!(error.contains("listen: a socket of the supervisor is not for TCP"), "{error}");
}

#[test]
fn systemd_units_are_valid() {
    let folder = std::env::temp_dir().join(format!("roomer-units-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let service = deployed("roomer.service");
    // Use the path of the program, and the user, on this machine.
    let here = service.replace("/usr/local/bin/roomer", env!("CARGO_BIN_EXE_roomer"));
    std::fs::write(folder.join("roomer.service"), here.replace("User=roomer", "User=root"))
        .unwrap();
    std::fs::write(folder.join("roomer.socket"), deployed("roomer.socket")).unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "roomer.service", "roomer.socket"]).current_dir(&folder);
    let done = verify.output();
    std::fs::remove_dir_all(&folder).unwrap();
    match done {
        Ok(done) => {
            let error = String::from_utf8(done.stderr).unwrap();
            // systemd-analyze only warns about settings that it ignores, and does not fail. Ignore
            // warnings about other units.
            assert!(done.status.success() && !error.contains("roomer."), "{error}");
        }
        Err(error) => eprintln!("skipped: systemd-analyze: {error}"),
    }
    let file = TempFile::new("roomer.toml", "");
    let commands = service.lines().filter_map(|line| line.strip_prefix("ExecStart"));
    let commands = commands.filter_map(|line| line.split_once("=/usr/local/bin/roomer "));
    let commands: Vec<_> = commands.map(|(_, args)| args).collect();
    assert_eq!(commands.len(), 2);
    for args in commands {
        let args = args.replace("/etc/roomer/roomer.toml", file.path());
        let mut args: Vec<_> = args.split(' ').collect();
        if args[0] == "serve" {
            args.push("--print-config");
        }
        succeeds(&run(&args));
    }
}

#[test]
fn image_builds_and_starts() {
    let image = deployed("Dockerfile");
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut copied = Vec::new();
    for line in image.lines() {
        if let Some(paths) = line.strip_prefix("COPY ").filter(|paths| !paths.starts_with("--from"))
        {
            let (from, to) = paths.split_once(' ').unwrap();
            assert!(std::fs::exists(format!("{root}/{from}")).unwrap(), "{line}");
            copied.push((from, to));
        }
    }
    // The package and the program must be those under test.
    assert!(
        image.contains(&format!("cargo build --release --locked -p {}\n", env!("CARGO_PKG_NAME")))
    );
    assert!(image.contains("/target/release/roomer /usr/local/bin/roomer\n"));
    assert!(
        image.contains("\nENTRYPOINT [\"roomer\"]\nCMD [\"serve\", \"/etc/roomer/roomer.toml\"]\n")
    );
    let (file, _) = copied.iter().find(|(_, to)| *to == "/etc/roomer/roomer.toml").unwrap();
    let file = format!("{root}/{file}");
    // In this file, the server listens on all addresses, so it requires a login.
    let error = String::from_utf8(run(&["check", &file]).stderr).unwrap();
    assert!(error.contains("other machines reach 0.0.0.0:8080"), "{error}");
    assert!(image.contains("\nEXPOSE 8080\n"));
    succeeds(&run(&["check", &file, "--anonymous", "true"]));
    let serving = Serving::start(&[&file, "--anonymous", "true"]);
    let (_, health) = image.split_once("http://").unwrap();
    let (address, path) = health.split_once('/').unwrap();
    let operator = format!("[operator]\nlisten = \"{address}\"");
    assert!(std::fs::read_to_string(&file).unwrap().contains(&operator), "{operator}");
    let path = format!("/{}", path.split_once('"').unwrap().0);
    assert_eq!(serving.get(&path).status, 200, "{path}");
}
