//! Tests the log of `roomer serve`.
#![cfg(unix)]

use std::net::TcpStream;

use crate::support::{self, Answer, Serving};
use rustix::process::Signal;

/// Returns the value of a metric.
fn metric(serving: &Serving, name: &str) -> u64 {
    let metrics = serving.get("/metrics");
    let line = metrics.text().lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{}", metrics.text())).parse().unwrap()
}

#[test]
fn unread_log_does_not_delay_clients() {
    let mut serving = Serving::start(&["--log-level", "debug"]);
    let host = serving.url.trim_start_matches("ws://").trim_end_matches("/ws").to_owned();
    // From here on, the log is not read. Each request that is not a handshake writes a line to it.
    while metric(&serving, "roomer_log_lines_dropped_total") == 0 {
        for _ in 0..500 {
            let mut stream = TcpStream::connect(&host).unwrap();
            std::io::Write::write_all(&mut stream, b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n")
                .unwrap();
            assert_eq!(Answer::read(&mut stream).status, 404);
        }
    }
    assert_eq!(support::handshake(&serving, "", "").0, 101);
    // A shutdown must not wait for the reader of the log either.
    serving.signal(Signal::TERM);
    assert!(serving.wait().success());
}
