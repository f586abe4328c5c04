//! Tests of long bodies in requests to the HTTP API.

use std::io::Write;
use std::net::TcpStream;

use serde_json::json;

use crate::support::{Answer, Serving, TempFile, roomer};

const KEY: &str = "the-key-of-the-backend-1";

fn start() -> Serving {
    let key = TempFile::new("key", KEY);
    let file = TempFile::new(
        "large.toml",
        format!(
            "[limits]\nmax_message = \"256 KiB\"\n[[api_key]]\nname = \"a\"\nfile = {:?}\n",
            key.path()
        ),
    );
    Serving::start_with(roomer(&["serve"]).arg(file.path()))
}

/// Sends the whole body before it reads the answer, as most HTTP clients do.
fn post(serving: &Serving, path: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(&serving.operator).unwrap();
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{headers}");
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    Answer::read(&mut stream)
}

#[test]
fn client_that_sends_too_long_body_gets_answer() {
    let serving = start();
    let (key, chat) = (format!("Authorization: Bearer {KEY}\r\n"), "/v1/rooms/a/messages/chat");
    // More than the system's buffers hold, so that the client cannot send it unless the server reads.
    let body = vec![0; 32 << 20];
    for (path, headers, status) in [
        (chat, &*key, 413),
        ("/v1/broadcast", &*key, 413),
        (chat, "", 401),
        ("/v1/nothing", &*key, 404),
        ("/metrics", "", 405),
    ] {
        assert_eq!(post(&serving, path, headers, &body).status, status, "{path}");
    }
}

#[test]
fn client_that_waits_before_its_body_gets_only_answer() {
    let serving = start();
    let key = format!("Authorization: Bearer {KEY}\r\n");
    for (path, length, headers, status) in [
        ("/v1/broadcast", 9, "", 401),
        ("/v1/broadcast", 999_999_999, &*key, 413),
        ("/v1/rooms/a/messages/chat", 999_999, &*key, 413),
    ] {
        let mut stream = TcpStream::connect(&serving.operator).unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n");
        let head = format!("{head}{headers}Expect: 100-continue\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // This reads until the server closes the connection.
        assert_eq!(Answer::read(&mut stream).status, status, "{path}");
    }
}

#[test]
fn longest_message_may_be_escaped() {
    let serving = start();
    let key = format!("Authorization: Bearer {KEY}\r\n");
    for (escaped, length) in [("\\u0001", 1), ("\\u0436", 2), ("\\ud83d\\ude00", 4)] {
        let text = escaped.repeat((256 << 10) / length);
        let body = format!(r#"{{"rooms":["a"],"event":"e","text":"{text}"}}"#);
        let answer = post(&serving, "/v1/broadcast", &key, body.as_bytes());
        assert_eq!(answer.json(), json!({ "members": { "a": 0 } }), "{escaped}");
    }
}
