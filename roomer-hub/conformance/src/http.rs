//! HTTP for the test client: writes requests, and reads responses.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// The time for which a test waits for an event that must happen.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// The key in the example of RFC 6455 section 1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The accept value for [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request, built header by header.
#[derive(Clone)]
pub struct HttpRequest {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
}

impl HttpRequest {
    /// Returns an upgrade request that the server must accept with 101.
    pub fn upgrade(host: SocketAddr) -> Self {
        HttpRequest { headers: Vec::new(), ..HttpRequest::plain(host) }
            .add("Host", &host.to_string())
            .add("Upgrade", "websocket")
            .add("Connection", "Upgrade")
            .add("Sec-WebSocket-Key", KEY)
            .add("Sec-WebSocket-Version", "13")
    }

    /// Returns a request for the same path without an upgrade.
    pub fn plain(host: SocketAddr) -> Self {
        HttpRequest { method: "GET".into(), target: "/ws".into(), headers: Vec::new() }
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

    /// Changes the name of every header.
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

    /// Sends the request, and reads the whole response. Its status must not be 101.
    pub fn rejected(&self, addr: SocketAddr) -> HttpResponse {
        let mut stream = dial(addr);
        stream.write_all(&self.bytes()).unwrap();
        HttpResponse::read(&mut stream, self.method == "HEAD")
    }

    /// Sends the request, and reads only the head of the response.
    pub fn head(&self, addr: SocketAddr) -> HttpResponse {
        let mut stream = dial(addr);
        stream.write_all(&self.bytes()).unwrap();
        HttpResponse::read_head(&mut stream).0
    }
}

/// Opens a blocking socket with a read timeout of [`TIMEOUT`].
pub fn dial(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the server listens");
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Repeats an operation while it is interrupted. On a socket with a timeout, a read is interrupted
/// when the process is suspended and resumed.
pub fn uninterrupted<T>(mut operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match operation() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Connects from this loopback address, by which the connection can be recognized in the server's
/// logs.
pub fn dial_from(from: Ipv4Addr, addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&addr.into()).expect("the server listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// Returns a port that refuses connections as long as the socket exists. The socket does not
/// listen, but it is bound, so that no other test gets the port.
pub fn refusing_port() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

/// A server's response.
#[derive(Debug)]
pub struct HttpResponse {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// Reads the head of a response. Returns it, and the bytes received after it.
    pub fn read_head(stream: &mut TcpStream) -> (HttpResponse, Vec<u8>) {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            let mut chunk = [0; 4096];
            let size = uninterrupted(|| stream.read(&mut chunk)).expect("a response in time");
            assert_ne!(size, 0, "ended within the response: {}", bytes.escape_ascii());
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
        (HttpResponse { status, headers: headers.collect(), body: Vec::new() }, rest)
    }

    /// Reads a whole response, after which the connection must end.
    pub fn read(stream: &mut TcpStream, is_head: bool) -> HttpResponse {
        let (mut response, body) = HttpResponse::read_head(stream);
        assert_ne!(response.status, 101, "the upgrade was accepted");
        response.body = body;
        stream.read_to_end(&mut response.body).expect("the connection's end");
        let length: usize = response.header("content-length").unwrap().parse().unwrap();
        assert_eq!(response.body.len(), if is_head { 0 } else { length }, "{response:?}");
        response
    }

    /// Returns the value of a header, which must occur at most once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name);
        let value = values.next().map(|(_, value)| &**value);
        assert!(values.next().is_none(), "{name} twice: {self:?}");
        value
    }
}
