//! The HTTP side of the test client: requests written line by line, answers read to the end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::client::PATIENCE;

/// The key of RFC 6455 section 1.3, and what must be made of it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request to send.
#[derive(Clone)]
pub struct Ask {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
}

impl Ask {
    /// A request that must be answered with 101.
    pub fn upgrade(host: SocketAddr) -> Self {
        Ask { headers: Vec::new(), ..Ask::plain(host) }
            .add("Host", &host.to_string())
            .add("Upgrade", "websocket")
            .add("Connection", "Upgrade")
            .add("Sec-WebSocket-Key", KEY)
            .add("Sec-WebSocket-Version", "13")
    }

    /// A request for the same address that asks for no upgrade.
    pub fn plain(host: SocketAddr) -> Self {
        Ask { method: "GET".into(), target: "/ws".into(), headers: Vec::new() }
            .add("Host", &host.to_string())
    }

    pub fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    pub fn target(mut self, target: &str) -> Self {
        self.target = target.into();
        self
    }

    pub fn add(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    pub fn set(self, name: &str, value: &str) -> Self {
        self.without(name).add(name, value)
    }

    /// With every header's name changed.
    pub fn names(mut self, change: impl Fn(&str) -> String) -> Self {
        for (name, _) in &mut self.headers {
            *name = change(name);
        }
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        (text + "\r\n").into_bytes()
    }

    /// Sends it and reads the answer, which must be no upgrade, to the connection's end.
    pub fn refused(&self, addr: SocketAddr) -> Answer {
        let mut stream = dial(addr);
        stream.write_all(&self.bytes()).unwrap();
        Answer::read(&mut stream, self.method == "HEAD")
    }

    /// Sends it and reads the answer's head.
    pub fn head(&self, addr: SocketAddr) -> Answer {
        let mut stream = dial(addr);
        stream.write_all(&self.bytes()).unwrap();
        Answer::read_head(&mut stream).0
    }
}

/// A socket that waits for whatever should come, but not for ever.
pub fn dial(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads an answer's head; returns what came behind it too.
    pub fn read_head(stream: &mut TcpStream) -> (Answer, Vec<u8>) {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            let mut chunk = [0; 4096];
            let size = stream.read(&mut chunk).expect("an answer in time");
            assert_ne!(size, 0, "ended inside the answer: {}", bytes.escape_ascii());
            bytes.extend_from_slice(&chunk[..size]);
        };
        let rest = bytes.split_off(end + 4);
        let text = String::from_utf8(bytes).unwrap();
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().unwrap().strip_prefix("HTTP/1.1 ").expect("HTTP/1.1");
        let status = status[..3].parse().unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_ascii_lowercase(), value.to_owned())
        });
        (Answer { status, headers: headers.collect(), body: Vec::new() }, rest)
    }

    /// Reads a whole answer, behind which the connection must end.
    pub fn read(stream: &mut TcpStream, is_head: bool) -> Answer {
        let (mut answer, body) = Answer::read_head(stream);
        assert_ne!(answer.status, 101, "the upgrade went through");
        answer.body = body;
        stream.read_to_end(&mut answer.body).expect("the connection's end");
        let length: usize = answer.header("content-length").unwrap().parse().unwrap();
        assert_eq!(answer.body.len(), if is_head { 0 } else { length }, "{answer:?}");
        answer
    }

    /// A header's value, if it is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name);
        let value = values.next().map(|(_, value)| &**value);
        assert!(values.next().is_none(), "{name} twice: {self:?}");
        value
    }
}
