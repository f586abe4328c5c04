//! Runs, over streams on smol, the cases of the conformance suite that depend on the transport.
//!
//! `connect` serves any stream in the same way as a socket.
#![allow(clippy::unwrap_used, reason = "test helpers")]

#[path = "cases/mod.rs"]
#[allow(dead_code, reason = "the other test file uses the rest")]
mod conformance;

use std::future::pending;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::Role;
use conformance::Harness;
use roomer_smol::http::Request;
use roomer_smol::{Server, Upgrade, connect, connect_upgraded, socket};
use smol::Async;
use smol::channel::{self, Sender};
use smol::future::or;
use smol::net::TcpListener;
use socket2::SockRef;

pub(crate) struct Adapter {
    addr: SocketAddr,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Harness for Adapter {
    /// There are fewer connections than over sockets, because streams need a lock per connection
    /// and, on tokio, a flush to a hundred connections uses up the budget of a task.
    const CROWD: usize = 400;

    fn start(server: Server) -> Self {
        let listener = smol::block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = channel::bounded::<()>(1);
        let thread = thread::spawn(move || {
            smol::block_on(async {
                // Like `serve`, keep responding to requests after the server was closed.
                let accept = async |is_stopped: bool| {
                    while !is_stopped || server.is_live() {
                        let (stream, peer) = listener.accept().await.unwrap();
                        socket::prepare(&stream);
                        smol::spawn(connect(stream, &server, Some(peer))).detach();
                    }
                    pending::<()>().await;
                };
                or(accept(false), async { _ = stopped.recv().await }).await;
                or(async { _ = server.drain().await }, accept(true)).await;
            });
        });
        Adapter { addr, stop, thread }
    }

    fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn stop(self) {
        self.stop.try_send(()).unwrap();
        self.thread.join().unwrap();
    }
}

#[test]
fn tiny_pipe_is_served() {
    let server = Server::builder().build().unwrap();
    smol::block_on(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        for end in [&ours, &theirs] {
            // The kernel replaces this with its minimum.
            SockRef::from(end).set_send_buffer_size(1).unwrap();
        }
        let task = smol::spawn(connect(Async::new(theirs).unwrap(), &server, None));
        let stream = Async::new(ours).unwrap();
        let (socket, _) =
            async_tungstenite::client_async("ws://pipe.example/ws", stream).await.unwrap();
        conformance::converse(socket).await;
        task.await;
        server.drained().await;
        assert_eq!(server.stats().sockets, 0);
    });
}

/// Returns an upgrade whose request a framework has read, and which the server has accepted.
fn let_in(server: &Server) -> Upgrade {
    let request = Request::get("/")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    server.upgrade(request.body(()).unwrap(), None).unwrap()
}

#[test]
fn connection_upgraded_by_framework_is_served() {
    let server = Server::builder().build().unwrap();
    let upgrade = let_in(&server);
    smol::block_on(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let task = smol::spawn(connect_upgraded(upgrade, Async::new(theirs).unwrap(), b""));
        let stream = Async::new(ours).unwrap();
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        conformance::converse(socket).await;
        task.await;
        server.drained().await;
    });
}

/// A shutdown may begin after the framework has sent the response, and before the connection is
/// passed to the server.
#[test]
fn client_upgraded_during_shutdown_is_notified() {
    let server = Server::builder().build().unwrap();
    let upgrade = let_in(&server);
    server.shutdown();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let task = smol::spawn(connect_upgraded(upgrade, Async::new(theirs).unwrap(), b""));
    let mut close = [0; 4 + "server is going away".len()];
    ours.read_exact(&mut close).unwrap();
    assert_eq!(&close, b"\x88\x16\x03\xe9server is going away");
    drop(ours);
    smol::block_on(task);
    smol::block_on(server.drained());
}

#[test]
fn listener_without_addresses_rejects_address_options() {
    use roomer_smol::{Builder, serve_until};

    let path = format!("{}/smol-addressless.sock", env!("CARGO_TARGET_TMPDIR"));
    let serve = |choose: fn(Builder) -> Builder| {
        let _ = std::fs::remove_file(&path);
        smol::block_on(async {
            let listener = smol::net::unix::UnixListener::bind(&path).unwrap();
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
