//! A TCP proxy in front of a broker or one of its servers, which simulates network failures.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use socket2::{Domain, Socket, Type};

/// The size of the receive buffer for connections to the server. It is small, so that the server
/// soon notices if its bytes are not read.
const RECEIVE_BUFFER: usize = 16 * 1024;

/// A TCP proxy, which closes its connections when it is dropped.
pub struct Proxy {
    pub port: u16,
    network: Arc<Network>,
}

struct Network {
    server: SocketAddr,
    state: Mutex<State>,
    resumed: Condvar,
}

#[derive(Default)]
struct State {
    /// True while the proxy does not read what the server sends.
    is_stalled: bool,
    /// True while the proxy closes each new connection immediately.
    is_cut: bool,
    /// Both sockets of each connection.
    streams: Vec<TcpStream>,
}

impl Proxy {
    /// Starts a proxy for a loopback port.
    pub fn start(server: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, resumed) = (Mutex::default(), Condvar::new());
        let server = SocketAddr::from(([127, 0, 0, 1], server));
        let network = Arc::new(Network { server, state, resumed });
        let own = network.clone();
        // The thread ends with the test process.
        thread::spawn(move || listener.incoming().flatten().for_each(|client| own.connect(client)));
        Proxy { port, network }
    }

    /// Stops reading from the server.
    pub fn stall(&self) {
        self.network.state.lock().unwrap().is_stalled = true;
    }

    /// Resumes reading from the server.
    pub fn resume(&self) {
        self.network.state.lock().unwrap().is_stalled = false;
        self.network.resumed.notify_all();
    }

    /// Closes all connections, and closes each new connection immediately.
    pub fn cut(&self) {
        let mut state = self.network.state.lock().unwrap();
        state.is_cut = true;
        state.streams.drain(..).for_each(|stream| _ = stream.shutdown(Shutdown::Both));
    }

    /// Accepts connections again.
    pub fn heal(&self) {
        self.network.state.lock().unwrap().is_cut = false;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.resume();
    }
}

impl Network {
    fn connect(self: &Arc<Self>, client: TcpStream) {
        let mut state = self.state.lock().unwrap();
        // If the proxy is cut, or the server refuses the connection, drop the client's socket.
        let Some(server) = (!state.is_cut).then(|| dial(self.server)).flatten() else { return };
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
            state.streams.push(stream.try_clone().unwrap());
        }
        let (from_client, to_client) = (client.try_clone().unwrap(), client);
        let (from_server, to_server) = (server.try_clone().unwrap(), server);
        thread::spawn(move || pass(from_client, to_server, || {}));
        let own = self.clone();
        thread::spawn(move || pass(from_server, to_client, || own.wait()));
    }

    /// While the proxy is stalled, waits before reading from the server.
    fn wait(&self) {
        let state = self.state.lock().unwrap();
        drop(self.resumed.wait_while(state, |state| state.is_stalled).unwrap());
    }
}

fn dial(server: SocketAddr) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
    socket.connect(&server.into()).ok()?;
    Some(socket.into())
}

/// Forwards bytes until the end of the stream, and then ends the other stream.
fn pass(mut from: TcpStream, mut to: TcpStream, wait: impl Fn()) {
    let mut chunk = [0; 16 * 1024];
    loop {
        wait();
        match from.read(&mut chunk) {
            Ok(0) => {
                _ = to.shutdown(Shutdown::Write);
                return;
            }
            Ok(size) if to.write_all(&chunk[..size]).is_ok() => {}
            _ => break,
        }
    }
    [from, to].iter().for_each(|stream| _ = stream.shutdown(Shutdown::Both));
}
