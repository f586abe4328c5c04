//! What this node sends to a NATS server.

use bytes::Bytes;
use serde_json::json;

use super::super::address::Login;
use super::output::Output;

/// Appends CONNECT. `is_secure` is true if the stream is TLS.
pub(super) fn connect(output: &mut Output, login: &Login, is_secure: bool) {
    let mut options = json!({
        "verbose": false,
        "pedantic": false,
        // A node does not receive its own frames.
        "echo": false,
        "headers": false,
        "no_responders": false,
        "tls_required": is_secure,
        // 1: INFO may come at any time.
        "protocol": 1,
        "name": "roomer",
        "lang": "rust",
        "version": env!("CARGO_PKG_VERSION"),
    });
    match login {
        Login::None => {}
        Login::Password { user, password } => {
            options["user"] = user.as_str().into();
            options["pass"] = password.as_str().into();
        }
        Login::Token(token) => options["auth_token"] = token.as_str().into(),
    }
    output.push(format!("CONNECT {options}\r\n").as_bytes());
}

pub(super) fn subscribe(output: &mut Output, subject: &str, sid: u64) {
    output.push(format!("SUB {subject} {sid}\r\n").as_bytes());
}

pub(super) fn ping(output: &mut Output) {
    output.push(b"PING\r\n");
}

pub(super) fn pong(output: &mut Output) {
    output.push(b"PONG\r\n");
}

pub(super) fn publish(output: &mut Output, subject: &str, payload: Bytes) {
    let mut digits = [0; 20];
    let length = decimal(payload.len(), &mut digits);
    for part in [b"PUB ", subject.as_bytes(), b" ", length, b"\r\n"] {
        output.push(part);
    }
    output.push_shared(payload);
    output.push(b"\r\n");
}

/// Writes a number into `digits`, without the machinery of `fmt`, which costs more than the rest of
/// a small frame.
fn decimal(mut number: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[start..];
        }
    }
}
