//! Tests `roomer serve` with few file descriptors.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use crate::support::Serving;

/// Requests an upgrade, and returns true if the client is accepted. A rejected client may get no
/// response, since the server does not wait until each of many clients has read it.
fn is_accepted(host: &str) -> bool {
    let mut stream = TcpStream::connect(host).unwrap();
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let mut status = [0; 12];
    let answered =
        stream.write_all(upgrade.as_bytes()).and_then(|()| stream.read_exact(&mut status));
    assert!(answered.is_err() || matches!(&status[9..], b"101" | b"503"), "{status:?}");
    answered.is_ok() && &status[9..] == b"101"
}

#[test]
fn operators_connect_despite_descriptor_exhaustion() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""]);
    shell.args([env!("CARGO_BIN_EXE_roomer"), "serve"]);
    let mut serving = Serving::start_with(&mut shell);
    let host = serving.url.trim_start_matches("ws://").trim_end_matches("/ws");
    let clients: Vec<_> = (0..90).map(|_| TcpStream::connect(host).unwrap()).collect();
    assert!(!is_accepted(host));
    for path in ["/live", "/metrics"] {
        assert_eq!(serving.get(path).status, 200, "{path}");
    }
    drop(clients);
    while !is_accepted(host) {}
    serving.signal(rustix::process::Signal::TERM);
    let log = serving.rest_of_log();
    assert!(log.contains("its limit on open files permits no more: raise it"), "{log}");
    assert!(!log.contains("max_handshakes("), "{log}");
}
