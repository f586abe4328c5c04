//! An encoder for the commands that a node sends to a Redis server.

use bytes::Bytes;

use crate::cluster::address::Login;
use crate::cluster::broker::digits::{decimal, hexadecimal};
use crate::cluster::broker::output::Output;
use crate::cluster::{NodeId, Subject, Subjects};

/// Appends HELLO, which selects RESP3 and logs in.
pub(super) fn hello(output: &mut Output, login: &Login) {
    let mut words = vec!["HELLO", "3"];
    if let Login::Password { user, password } = login {
        words.extend(["AUTH", user, password]);
    }
    // CLIENT LIST shows this name to operators.
    words.extend(["SETNAME", "roomer"]);
    command(output, &words);
}

pub(super) fn subscribe(output: &mut Output, subjects: &Subjects) {
    command(output, &["SUBSCRIBE", &subjects.all(), &subjects.own()]);
}

pub(super) fn ping(output: &mut Output) {
    command(output, &["PING"]);
}

fn command(output: &mut Output, words: &[&str]) {
    output.push(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        output.push(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}

/// Precomputed prefixes of PUBLISH commands. Formatting the channel name for each frame would cost
/// more than encoding the rest of the frame.
#[derive(Debug)]
pub(super) struct Publisher {
    /// The bytes up to the end of the channel's name, for the channel of all nodes.
    all: String,
    /// The bytes before the digits of the node id, for the channel of one node.
    node: String,
}

impl Publisher {
    pub(super) fn new(subjects: &Subjects) -> Self {
        let start = |name: &str| format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{name}", name.len());
        let mut node = start(&subjects.name(Subject::Node(NodeId(0))));
        // Remove the id's 16 digits. Each frame appends the digits of its receiver's id.
        node.truncate(node.len() - 16);
        Publisher { all: start(&subjects.all()), node }
    }

    pub(super) fn publish(&self, output: &mut Output, to: Subject, payload: Bytes) {
        match to {
            Subject::All => output.push(self.all.as_bytes()),
            Subject::Node(id) => {
                output.push(self.node.as_bytes());
                output.push(&hexadecimal(id.0));
            }
        }
        output.push(b"\r\n$");
        output.push(decimal(payload.len(), &mut [0; 20]));
        output.push(b"\r\n");
        output.push_shared(payload);
        output.push(b"\r\n");
    }
}
