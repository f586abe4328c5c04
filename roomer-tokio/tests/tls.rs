//! TLS on tokio. Its cases are in `roomer-hub/conformance/secure.rs`.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../examples/tls.rs"]
mod example;
#[path = "../../roomer-hub/conformance/secure.rs"]
mod secure;

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use roomer_tokio::rustls::ServerConfig;
use roomer_tokio::{Server, serve_until, tls};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

struct Adapter {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), String>>,
}

impl Adapter {
    fn start(server: Server, config: ServerConfig) -> Self {
        Adapter::run(async move |listener, stop| {
            serve_until(tls(listener, config), server, stop).await
        })
    }

    /// Runs a server that ends when the channel does, with the error as text.
    fn run<F, E>(serve: F) -> Self
    where
        F: AsyncFnOnce(TcpListener, oneshot::Receiver<()>) -> Result<(), E> + Send + 'static,
        E: ToString,
    {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime.block_on(serve(listener, stopped)).map_err(|error| error.to_string())
        });
        Adapter { addr, stop, thread }
    }

    fn stop(self) {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap().unwrap();
    }
}

#[test]
fn the_example_runs() {
    secure::try_files(env!("CARGO_TARGET_TMPDIR"), |cert, key| {
        let (cert, key) = (cert.to_owned(), key.to_owned());
        Adapter::run(async move |listener, stop| example::run(listener, &cert, &key, stop).await)
    });
}
