//! Runs, over streams on tokio, the cases of the conformance suite that depend on the transport.
//!
//! `connect` serves any stream in the same way as a socket.
#![allow(clippy::unwrap_used, reason = "test helpers")]

#[path = "cases/mod.rs"]
#[allow(dead_code, reason = "the other test file uses the rest")]
mod conformance;

use std::future::pending;
use std::net::SocketAddr;
use std::thread;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::TokioAdapter;
use async_tungstenite::tungstenite::protocol::Role;
use conformance::Harness;
use roomer_tokio::http::Request;
use roomer_tokio::{Server, connect, connect_upgraded, socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) struct Adapter {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Harness for Adapter {
    /// There are fewer connections than over sockets, because streams need a lock per connection
    /// and, on tokio, a flush to a hundred connections uses up the budget of a task.
    const CROWD: usize = 400;

    fn start(server: Server) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                // Like `serve`, keep responding to requests after the server was closed.
                let accept = async |is_stopped: bool| {
                    while !is_stopped || server.is_live() {
                        let (stream, peer) = listener.accept().await.unwrap();
                        socket::prepare(&stream);
                        tokio::spawn(connect(stream, &server, Some(peer)));
                    }
                    pending::<()>().await;
                };
                tokio::select! { _ = stopped => {}, () = accept(false) => {} }
                tokio::select! { _ = server.drain() => {}, () = accept(true) => {} }
            });
        });
        Adapter { addr, stop, thread }
    }

    fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn stop(self) {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Connects through a pipe that has this capacity in each direction. Writes the handshake itself,
/// because the client library treats very small reads as an attack, and rejects them.
async fn open_stream(server: &Server, size: usize) -> (Socket, JoinHandle<()>) {
    let (mut ours, theirs) = duplex(size);
    let task = tokio::spawn(connect(theirs, server, None));
    ours.write_all(REQUEST).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(ours.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
    let socket = Socket::from_raw_socket(TokioAdapter::new(ours), Role::Client, None).await;
    (socket, task)
}

type Socket = WebSocketStream<TokioAdapter<DuplexStream>>;

const REQUEST: &[u8] = b"GET /ws HTTP/1.1\r\nHost: pipe.example\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn chat_through_pipe(server: &Server, size: usize) {
    let (socket, task) = open_stream(server, size).await;
    conformance::converse(socket).await;
    task.await.unwrap();
}

#[test]
fn tiny_pipe_is_served() {
    let server = Server::builder().build().unwrap();
    runtime().block_on(async {
        for size in [16, 300, 4096] {
            chat_through_pipe(&server, size).await;
        }
        server.drained().await;
        assert_eq!(server.stats().sockets, 0);
    });
}

#[test]
fn server_survives_drop_of_runtime_with_timers() {
    let server = Server::builder().build().unwrap();
    for _ in 0..3 {
        let runtime = runtime();
        runtime.block_on(async {
            chat_through_pipe(&server, 100).await;
            // When the runtime is dropped, the connection is still open.
            let (socket, _) = open_stream(&server, 100).await;
            std::mem::forget(socket);
        });
    }
    assert_eq!(server.stats().connections, 0);
}

#[test]
fn connection_upgraded_by_framework_is_served() {
    let server = Server::builder().build().unwrap();
    let request = Request::get("/")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let upgrade = server.upgrade(request.body(()).unwrap(), None).unwrap();
    runtime().block_on(async {
        let (ours, theirs) = duplex(100);
        let task = tokio::spawn(connect_upgraded(upgrade, theirs, b""));
        let ours = TokioAdapter::new(ours);
        conformance::converse(Socket::from_raw_socket(ours, Role::Client, None).await).await;
        task.await.unwrap();
        server.drained().await;
    });
}

#[test]
fn listener_without_addresses_rejects_address_options() {
    use roomer_tokio::{Builder, serve_until};

    let path = format!("{}/tokio-addressless.sock", env!("CARGO_TARGET_TMPDIR"));
    let serve = |choose: fn(Builder) -> Builder| {
        let _ = std::fs::remove_file(&path);
        runtime().block_on(async {
            let listener = tokio::net::UnixListener::bind(&path).unwrap();
            serve_until(listener, choose(Server::builder()).build().unwrap(), async {}).await
        })
    };
    for (option, choose) in [
        (
            "max_connections_per_address",
            (|builder| builder.max_connections_per_address(1)) as fn(Builder) -> Builder,
        ),
        ("max_handshakes_per_address", |builder| builder.max_handshakes_per_address(1)),
        ("trust_proxy", |builder| builder.trust_proxy("10.0.0.1")),
    ] {
        let error = serve(choose).expect_err("it cannot hold");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        let text = error.to_string();
        assert!(text.starts_with(option) && text.contains("trust_proxy(\"unix\")"), "{text}");
    }
    serve(|builder| builder).unwrap();
    serve(|builder| builder.max_connections_per_address(1).trust_proxy("unix")).unwrap();
}

#[test]
fn stream_without_address_is_rejected_if_limit_needs_one() {
    for is_chosen in [false, true] {
        let builder = Server::builder();
        let server = match is_chosen {
            true => builder.max_connections_per_address(1),
            false => builder,
        };
        let server = server.build().unwrap();
        let upgrade = Request::get("/")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        let upgraded = server.upgrade(upgrade.body(()).unwrap(), None);
        let status = upgraded.map_or_else(|rejected| rejected.status().as_u16(), |_| 101);
        assert_eq!(status, if is_chosen { 500 } else { 101 });
    }
}
