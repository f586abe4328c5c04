//! Scripted clients' upgrade requests, sent over their own sockets or through a framework.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;

use super::client::Client;
use super::frames;
use super::socket::socket;
use super::world::World;
use roomer_engine::{Server, Transport, http};

/// A client's upgrade request, for [`World::connect_with`]: path, query, headers, the client's
/// address, and the request extensions that middleware would set.
///
/// ```
/// # mod roomer_tokio { pub use {roomer_engine::*, roomer_testkit as testkit}; }
/// use roomer_tokio::Server;
/// use roomer_tokio::testkit::{Handshake, World};
///
/// let builder = Server::builder()
///     .max_connections_per_address(1)
///     .authorize(|request| match request.query("name") {
///         Some(_) if request.header("cookie").is_some() => Ok(Default::default()),
///         _ => Err(roomer_tokio::Rejection::unauthorized("who are you?")),
///     });
/// let mut world = World::new(1, builder);
/// let ann = Handshake::new().query("name", "ann & co").header("Cookie", "session=1");
/// let ann = ann.address(([192, 0, 2, 1], 50_000));
/// let (first, second) = (world.connect_with(ann.clone()), world.connect_with(ann));
/// world.settle();
/// assert!(first.is_open() != second.is_open());
/// ```
#[derive(Clone, Debug)]
#[must_use = "a handshake has no effect unless a world connects with it"]
pub struct Handshake {
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    address: Option<SocketAddr>,
    extensions: http::Extensions,
}

impl Default for Handshake {
    fn default() -> Self {
        Handshake::new()
    }
}

impl Handshake {
    /// Creates a request for `/ws` without a client address.
    pub fn new() -> Self {
        Handshake {
            path: "/ws".into(),
            query: String::new(),
            headers: Vec::new(),
            address: None,
            extensions: http::Extensions::new(),
        }
    }

    /// Sets the request's path.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Adds a query parameter, percent-encoded as browsers do.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let query = form_urlencoded::Serializer::new(self.query);
        self.query = { query }.append_pair(name, value).finish();
        self
    }

    /// Adds a request header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the client's address.
    pub fn address(mut self, address: impl Into<SocketAddr>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Adds a value to the request's extensions, as middleware does:
    /// [`Claims`](roomer_engine::Claims), which become the connection's claims, or values of your
    /// own types, which the `authorize` hook finds in
    /// [`HandshakeRequest::head`](roomer_engine::HandshakeRequest::head). A request with extensions
    /// goes through [`Server::upgrade_async`], as in a framework that mounts the server, so the
    /// server does not check the path.
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    fn target(&self) -> String {
        match &*self.query {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }

    /// Returns the request as bytes on the wire.
    fn to_bytes(&self) -> Vec<u8> {
        let line = |(name, value): &(String, String)| format!("{name}: {value}\r\n");
        frames::request(&self.target(), &self.headers.iter().map(line).collect::<String>())
    }

    /// Converts the request to the parsed form that a framework passes on.
    fn into_request(self) -> http::Result<http::Request<()>> {
        let mut request = http::Request::get(self.target());
        for (name, value) in frames::REQUEST_HEADERS {
            request = request.header(*name, *value);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut request = request.body(())?;
        *request.extensions_mut() = self.extensions;
        Ok(request)
    }
}

impl World {
    /// Adds a client that sends this upgrade request.
    ///
    /// # Panics
    ///
    /// Panics if the handshake has extensions and its path or a header is not valid in HTTP.
    pub fn connect_with(&mut self, handshake: Handshake) -> Client {
        let address = handshake.address;
        if handshake.extensions.is_empty() {
            return self.connect_raw_from(address, handshake.to_bytes());
        }
        let request = match handshake.into_request() {
            Ok(request) => request,
            Err(error) => self.fail(&format!("a handshake that cannot be written: {error}")),
        };
        let (socket, peer) = socket();
        let server = self.server().clone();
        let task = self.tasks.spawn(serve_mounted(server, request, address, socket));
        // No bytes are in flight, since the framework has already read the request.
        let client = Client::new(self.clients.len(), peer, task, Vec::new());
        self.clients.push(client.clone());
        client
    }
}

/// Serves one request as a framework that mounts the server does.
async fn serve_mounted(
    server: Server,
    request: http::Request<()>,
    address: Option<SocketAddr>,
    socket: super::socket::Socket,
) {
    match server.upgrade_async(request, address).await {
        Ok(upgrade) => {
            write_response(&socket, &upgrade.response()).await;
            upgrade.connect(socket, b"").await;
        }
        Err(response) => {
            write_response(&socket, &response).await;
            socket.shutdown();
        }
    }
}

/// Writes a response, waiting while the socket is full.
async fn write_response(socket: &impl Transport, response: &http::Response<String>) {
    let status = response.status();
    let mut text = format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status);
    for (name, value) in response.headers() {
        text += &format!("{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    // A 1xx response has no content length (RFC 9110 section 8.6).
    if status != http::StatusCode::SWITCHING_PROTOCOLS {
        text += &format!("content-length: {}\r\n", response.body().len());
    }
    text += &format!("\r\n{}", response.body());
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match socket.try_write(rest) {
            Ok(size) => rest = &rest[size..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if poll_fn(|cx| socket.poll_writable(cx)).await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
