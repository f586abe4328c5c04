//! An encoder for the operations that a node sends to a NATS server.

use bytes::Bytes;
use serde_json::json;

use super::output::Output;
use crate::cluster::address::Login;
use crate::cluster::broker::digits::{decimal, hexadecimal};
use crate::cluster::{NodeId, Subject, Subjects};

/// Appends CONNECT. `is_secure` is true if the stream uses TLS.
pub(super) fn connect(output: &mut Output, login: &Login, is_secure: bool) {
    let mut options = json!({
        "verbose": false,
        "pedantic": false,
        // With this setting, the server does not return a node's own frames.
        "echo": false,
        "headers": false,
        "no_responders": false,
        "tls_required": is_secure,
        // The value 1 allows the server to send INFO at any time.
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

/// Precomputed parts of subject names. Formatting a name for each frame would cost as much as
/// encoding four small frames.
#[derive(Debug)]
pub(super) struct Names {
    all: String,
    /// The subject of a node, without the digits of the node id at its end.
    node: String,
}

impl Names {
    pub(super) fn of(subjects: &Subjects) -> Self {
        let mut node = subjects.name(Subject::Node(NodeId(0)));
        node.truncate(node.trim_end_matches('0').len());
        Names { all: subjects.all(), node }
    }
}

pub(super) fn publish(output: &mut Output, names: &Names, to: Subject, payload: Bytes) {
    output.push(b"PUB ");
    match to {
        Subject::All => output.push(names.all.as_bytes()),
        Subject::Node(id) => {
            output.push(names.node.as_bytes());
            output.push(&hexadecimal(id.0));
        }
    }
    let mut digits = [0; 20];
    output.push(b" ");
    output.push(decimal(payload.len(), &mut digits));
    output.push(b"\r\n");
    output.push_shared(payload);
    output.push(b"\r\n");
}
