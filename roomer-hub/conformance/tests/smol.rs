//! The conformance suite on smol.
//!
//! Its tests are in `cases`. The adapter's other tests are in the same program, except for those
//! that need their own process.
#![allow(clippy::unwrap_used, reason = "test helpers")]

#[path = "client/mod.rs"]
mod client;
#[path = "cases/mod.rs"]
mod conformance;
mod smol_brokers;
mod smol_tls;
#[path = "cases/socket_only.rs"]
mod socket_only;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use conformance::Harness;
use roomer_conformance::client::TIMEOUT;
use roomer_smol::Server;
use smol::Executor;
use smol::channel::{self, Sender};
use smol::net::{TcpListener, TcpStream};

pub(crate) struct Adapter {
    addr: SocketAddr,
    stop: Sender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Harness for Adapter {
    fn start(server: Server) -> Self {
        let listener = smol::block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        Adapter::serve(listener, server)
    }

    fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn stop(self) {
        self.stop.try_send(()).unwrap();
        self.thread.join().unwrap().unwrap();
    }
}

impl Adapter {
    fn serve(listener: TcpListener, server: Server) -> Self {
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = channel::bounded::<()>(1);
        let executor = Arc::new(Executor::new());
        let thread = thread::spawn(move || {
            let (done, is_done) = channel::bounded::<()>(1);
            let second = executor.clone();
            let second = thread::spawn(move || smol::block_on(second.run(is_done.recv())));
            let serve = roomer_smol::serve_on(executor.clone(), listener, server, stopped.recv());
            let result = smol::block_on(executor.run(serve));
            done.close();
            assert!(second.join().unwrap().is_err());
            result
        });
        Adapter { addr, stop, thread }
    }
}

#[test]
fn independent_client_is_served() {
    let adapter = Adapter::start(Server::builder().build().unwrap());
    smol::block_on(async {
        let stream = TcpStream::connect(adapter.addr).await.unwrap();
        let url = format!("ws://{}/ws", adapter.addr);
        let (socket, _) = async_tungstenite::client_async(url, stream).await.unwrap();
        conformance::converse(socket).await;
    });
    adapter.stop();
}

#[test]
fn smol_clients_pass_all_cases() {
    use roomer_smol::client::Smol;

    smol::block_on(client::within::<Smol>(TIMEOUT * client::CASES, async {
        client::run::<Smol>(|server| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let listener = TcpListener::try_from(listener).unwrap();
            smol::spawn(roomer_smol::serve(listener, server)).detach();
            addr
        })
        .await;
    }));
}

#[test]
fn failing_listener_is_traced_and_retried() {
    socket_only::traces::failing_listener_is_traced_and_retried(|server| {
        let listener = smol::block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        socket2::SockRef::from(&listener).shutdown(std::net::Shutdown::Both).unwrap();
        Adapter::serve(listener, server)
    });
}

#[test]
fn connections_of_dropped_serve_keep_timers() {
    socket_only::dropped::connections_keep_timers(|server| {
        let listener = smol::block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = smol::spawn(roomer_smol::serve(listener, server));
        (addr, || assert!(smol::block_on(serving.cancel()).is_none()))
    });
}
