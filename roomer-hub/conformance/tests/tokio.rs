//! The conformance suite on tokio.
//!
//! Its tests are in `cases`. The adapter's other tests are in the same program, except for those
//! that need their own process.
#![allow(clippy::unwrap_used, reason = "test helpers")]

#[path = "client/mod.rs"]
mod client;
#[path = "cases/mod.rs"]
mod conformance;
#[path = "cases/socket_only.rs"]
mod socket_only;
mod tokio_brokers;
mod tokio_hyper;
mod tokio_login;
mod tokio_mounted;
mod tokio_runtime;
mod tokio_tls;

use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use conformance::Harness;
use roomer_conformance::client::TIMEOUT;
use roomer_tokio::Server;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

pub(crate) struct Adapter {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Harness for Adapter {
    fn start(server: Server) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        Adapter::serve(runtime, listener, server)
    }

    fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn stop(self) {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap().unwrap();
    }
}

impl Adapter {
    fn serve(runtime: Runtime, listener: TcpListener, server: Server) -> Self {
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime.block_on(roomer_tokio::serve_until(listener, server, stopped))
        });
        Adapter { addr, stop, thread }
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn independent_client_is_served() {
    let adapter = Adapter::start(Server::builder().build().unwrap());
    runtime().block_on(async {
        let stream = TcpStream::connect(adapter.addr).await.unwrap();
        let url = format!("ws://{}/ws", adapter.addr);
        let (socket, _) = async_tungstenite::tokio::client_async(url, stream).await.unwrap();
        conformance::converse(socket).await;
    });
    adapter.stop();
}

#[test]
fn tokio_clients_pass_all_cases() {
    use roomer_tokio::client::Tokio;

    runtime().block_on(client::within::<Tokio>(TIMEOUT * client::CASES, async {
        client::run::<Tokio>(|server| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            let addr = listener.local_addr().unwrap();
            let listener = TcpListener::from_std(listener).unwrap();
            tokio::spawn(roomer_tokio::serve(listener, server));
            addr
        })
        .await;
    }));
}

#[test]
fn client_of_ended_runtime_is_closed_for_both_sides() {
    use roomer_tokio::client::{Client, Closing, Event, Tokio};

    let adapter = Adapter::start(Server::builder().build().unwrap());
    let (first, second) = (runtime(), runtime());
    let url = format!("ws://{}/ws", adapter.addr);
    let client = first.block_on(async { Client::connect(&url).unwrap() });
    let lobby = client.join("lobby");
    second.block_on(client::within::<Tokio>(TIMEOUT, async {
        lobby.joined().await.unwrap();
        let listener = Client::connect(&url).unwrap();
        let heard = listener.join("lobby");
        heard.joined().await.unwrap();
        let (mut events, mut messages) = (listener.events(), heard.messages());
        let waiting = tokio::spawn({
            let client = client.clone();
            async move { client.closed().await }
        });
        lobby.send("chat", "last words").unwrap();
        first.shutdown_background();
        assert_eq!(waiting.await.unwrap(), Closing::Aborted);
        client::panics::is_aborted(&client, &lobby).await;
        assert_eq!(messages.next().await.unwrap().text(), Ok("last words"));
        // The session has ended as well: the member does not stay for the resume window.
        while !matches!(events.next().await.unwrap(), Event::MemberLeft { .. }) {}
    }));
    adapter.stop();
}

#[test]
fn failing_listener_is_traced_and_retried() {
    socket_only::traces::failing_listener_is_traced_and_retried(|server| {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        socket2::SockRef::from(&listener).shutdown(std::net::Shutdown::Both).unwrap();
        Adapter::serve(runtime, listener, server)
    });
}

#[test]
fn connections_of_dropped_serve_keep_timers() {
    let runtime = runtime();
    socket_only::dropped::connections_keep_timers(|server| {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = runtime.spawn(roomer_tokio::serve(listener, server));
        (addr, || {
            serving.abort();
            assert!(runtime.block_on(serving).unwrap_err().is_cancelled());
        })
    });
}
