//! TLS on smol. Its cases are in `cases/tls.rs`.

#[path = "cases/tls.rs"]
mod cases;

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use roomer_smol::rustls::ServerConfig;
use roomer_smol::{Server, serve_until, tls};
use roomer_smol_examples::smol_tls as example;
use smol::channel::{self, Receiver, Sender};
use smol::net::TcpListener;

struct Adapter {
    addr: SocketAddr,
    stop: Sender<()>,
    thread: JoinHandle<Result<(), String>>,
}

impl Adapter {
    fn start(server: Server, config: ServerConfig) -> Self {
        Adapter::run(async move |listener, stop: Receiver<()>| {
            serve_until(tls(listener, config), server, stop.recv()).await
        })
    }

    /// Runs a server until the channel is closed. If the server fails, keeps the error as text.
    fn run<F, E>(serve: F) -> Self
    where
        F: AsyncFnOnce(TcpListener, Receiver<()>) -> Result<(), E> + Send + 'static,
        E: ToString,
    {
        let listener = smol::block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = channel::bounded::<()>(1);
        let thread = thread::spawn(move || {
            smol::block_on(serve(listener, stopped)).map_err(|error| error.to_string())
        });
        Adapter { addr, stop, thread }
    }

    fn stop(self) {
        self.stop.try_send(()).unwrap();
        self.thread.join().unwrap().unwrap();
    }
}

#[test]
fn client_connects_over_tls() {
    cases::client_over_tls::<roomer_smol::client::Smol>(smol::block_on);
}

#[test]
fn example_runs() {
    cases::try_files(env!("CARGO_TARGET_TMPDIR"), |cert, key| {
        let (cert, key) = (cert.to_owned(), key.to_owned());
        Adapter::run(async move |listener, stop: Receiver<()>| {
            example::run(listener, &cert, &key, stop.recv()).await
        })
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
    let served = smol::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        serve_until(tls(listener, config), server, async {}).await
    });
    assert!(served.unwrap_err().to_string().contains("proxy_protocol"));
}
