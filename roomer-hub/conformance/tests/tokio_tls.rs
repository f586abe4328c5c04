//! TLS on tokio. Its cases are in `cases/tls.rs`.

#[path = "cases/tls.rs"]
mod cases;

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use roomer_tokio::rustls::ServerConfig;
use roomer_tokio::{Server, serve_until, tls};
use roomer_tokio_examples::tls as example;
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

    /// Runs a server until the channel is closed. If the server fails, keeps the error as text.
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
fn client_connects_over_tls() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    cases::client_over_tls::<roomer_tokio::client::Tokio>(|run| runtime.block_on(run));
}

#[test]
fn example_runs() {
    cases::try_files(env!("CARGO_TARGET_TMPDIR"), |cert, key| {
        let (cert, key) = (cert.to_owned(), key.to_owned());
        Adapter::run(async move |listener, stop| example::run(listener, &cert, &key, stop).await)
    });
}

#[test]
fn proxy_protocol_before_tls_is_rejected() {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let server = Server::builder().trust_proxy("127.0.0.1").proxy_protocol().build().unwrap();
    let served = Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        serve_until(tls(listener, config), server, async {}).await
    });
    assert!(served.unwrap_err().to_string().contains("proxy_protocol"));
}
