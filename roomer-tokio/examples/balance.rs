//! A TCP load balancer, which forwards connections to its backends in turn.
//!
//! Run `cargo run -p roomer-tokio-examples --example balance -- HOST:PORT HOST:PORT` with the
//! addresses of the backends. A WebSocket is a single connection, so it stays with its backend
//! until one of the two sides closes it. `cluster/run` starts the balancer in front of two chat
//! servers.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use roomer_example_support::program::{self, Outcome, Program};
use roomer_tokio::{bind, shutdown_signal};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// The time to wait for a connection to a backend before the next one is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

#[tokio::main]
pub async fn main() -> ExitCode {
    program::finish(start().await)
}

async fn start() -> Outcome {
    let about = "A TCP load balancer: each connection goes to the next backend in turn.";
    let program = Program { about, listen: "127.0.0.1:8080", files: &["BACKEND..."] };
    let Some(args) = program.args()? else { return Ok(()) };
    let backends = args.files.iter().map(|file| backend(file)).collect::<Outcome<Arc<[_]>>>()?;
    let listener = bind(&args.listen).await?;
    let stop = shutdown_signal();
    println!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        () = run(listener, backends) => {}
        _ = stop => {}
    }
    Ok(())
}

/// Returns the address of a backend, `HOST:PORT`. A name in it is resolved again for each
/// connection.
fn backend(text: &Path) -> Outcome<String> {
    let text = text.to_string_lossy();
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text.into()),
        _ => Err(format!("the backend {text:?} is not HOST:PORT; --help lists the options").into()),
    }
}

/// Accepts connections, until the future is dropped.
pub async fn run(listener: TcpListener, backends: Arc<[String]>) {
    let mut first = 0;
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                tokio::spawn(forward(client, backends.clone(), first));
                first = (first + 1) % backends.len();
            }
            Err(error) => {
                eprintln!("cannot accept a connection: {error}");
                // While there are no free descriptors, every attempt fails immediately.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Connects the client to the first backend, in turn, that accepts the connection. If there is
/// none, closes the client's connection.
async fn forward(mut client: TcpStream, backends: Arc<[String]>, first: usize) {
    for backend in backends[first..].iter().chain(&backends[..first]) {
        let mut server = match timeout(CONNECT_TIMEOUT, TcpStream::connect(backend)).await {
            Ok(Ok(server)) => server,
            Ok(Err(error)) => {
                eprintln!("skipped {backend}: {error}");
                continue;
            }
            Err(_) => {
                eprintln!("skipped {backend}: no answer in {CONNECT_TIMEOUT:?}");
                continue;
            }
        };
        // Disable Nagle's algorithm, which would delay small messages. An error only means that one
        // of the ends has closed.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let _ = copy_bidirectional(&mut client, &mut server).await;
        return;
    }
    eprintln!("closed a client: none of the {} backends accepts connections", backends.len());
}
