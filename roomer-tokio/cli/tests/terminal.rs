//! Tests `roomer talk` in a terminal.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::process::Command;
use std::thread;

use roomer_tokio::{Server, serve_until};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;

#[test]
fn signal_restores_terminal() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = thread::spawn(move || {
        let server = Server::builder().build().unwrap();
        runtime.block_on(serve_until(listener, server, async { drop(stopped.await) })).unwrap();
    });

    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
    let side = || terminal.try_clone().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_roomer"));
    command.args(["talk", &url, "lobby"]).env("TERM", "xterm");
    let mut child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();

    let is_line_wise = || {
        tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    };
    let mut keys = File::from(master);
    let mut shown = Vec::new();
    // Read until the prompt is shown. After that, the editor waits for keys.
    while !shown.windows(2).any(|two| two == b"> ") {
        let mut some = [0; 256];
        let read = keys.read(&mut some).unwrap();
        shown.extend_from_slice(&some[..read]);
    }
    assert!(!is_line_wise());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(is_line_wise());
    drop(stop);
    serving.join().unwrap();
}
