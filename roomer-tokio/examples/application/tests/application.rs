//! Tests the example application over TLS. Its database is in a file.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::{Error, Message, WebSocket, client};
use roomer_tokio::PacketRef;
use roomer_tokio::rustls::pki_types::{CertificateDer, ServerName};
use roomer_tokio::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

type Tls = StreamOwned<ClientConnection, TcpStream>;

const SECRET: &[u8] = b"a secret of the test's";
const HOUR: Duration = Duration::from_secs(3600);

/// A running application.
struct Application {
    addr: SocketAddr,
    trust: Arc<ClientConfig>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), String>>,
}

impl Application {
    fn start(database: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        let key = made.signing_key.serialize_der().try_into().unwrap();
        let certificate: CertificateDer<'static> = made.cert.der().clone();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let trust = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let database = database.to_owned();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                let listener = roomer_application::TlsListener::new(listener, config);
                let stop = async { drop(stopped.await) };
                let permissions = roomer_application::Permissions::open(&database).unwrap();
                let run = roomer_application::run(listener, SECRET, permissions, stop);
                run.await.map_err(|error| error.to_string())
            })
        });
        Application { addr, trust: Arc::new(trust), stop, thread }
    }

    fn dial(&self) -> Tls {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(self.trust.clone(), name).unwrap(), stream)
    }

    /// Sends an HTTP request. Returns the status and the body of the response.
    fn ask(&self, method: &str, target: &str, token: Option<&str>) -> (u16, String) {
        let login = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\n",
            login.unwrap_or_default()
        );
        let mut stream = self.dial();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn connect(&self, token: &str) -> Result<Client, u16> {
        self.open(&format!("wss://localhost/ws?token={token}"), None)
    }

    fn open(&self, address: &str, token: Option<&str>) -> Result<Client, u16> {
        let mut request = address.into_client_request().unwrap();
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().unwrap();
            request.headers_mut().insert("authorization", value);
        }
        match client(request, self.dial()) {
            Ok((socket, _)) => {
                let mut client = Client(socket);
                client.expect("root", "join_ack");
                Ok(client)
            }
            Err(error) => match error.to_string().split_once("HTTP error: ") {
                Some((_, status)) => Err(status[..3].parse().unwrap()),
                None => panic!("{error}"),
            },
        }
    }

    /// Stops the application, and checks that it closes all of its clients.
    fn stop<const N: usize>(self, clients: [Client; N]) {
        self.stop.send(()).unwrap();
        for mut client in clients {
            assert_eq!(client.closed(), 1001);
        }
        self.thread.join().unwrap().unwrap();
    }
}

struct Client(WebSocket<Tls>);

impl Client {
    fn say(&mut self, room: &str, event: &str) {
        let packet = PacketRef { room, event, ..PacketRef::default() };
        self.0.send(Message::binary(packet.to_bytes())).unwrap();
    }

    /// Reads packets until one has this room and event. Returns its payload.
    fn expect(&mut self, room: &str, event: &str) -> Vec<u8> {
        loop {
            match self.0.read().unwrap() {
                Message::Binary(bytes) => {
                    let packet = PacketRef::decode(&bytes).unwrap();
                    if (packet.room, packet.event) == (room, event) {
                        return packet.payload.to_vec();
                    }
                }
                Message::Ping(_) => {}
                other => panic!("{other:?} instead of {event} in {room}"),
            }
        }
    }

    /// Sends a join. Returns true if the server has permitted it.
    fn join(&mut self, room: &str) -> bool {
        self.say(room, "join");
        loop {
            let Message::Binary(bytes) = self.0.read().unwrap() else { continue };
            let packet = PacketRef::decode(&bytes).unwrap();
            if packet.room == room {
                return packet.event == "join_ack";
            }
        }
    }

    /// Returns the code in the server's close frame.
    fn closed(&mut self) -> u16 {
        loop {
            match self.0.read() {
                Ok(Message::Close(Some(frame))) => {
                    // The stream may end before the client's close frame is sent.
                    while !matches!(self.0.read(), Err(Error::ConnectionClosed | Error::Io(_))) {}
                    return frame.code.into();
                }
                Ok(_) => {}
                Err(error) => panic!("no close frame: {error}"),
            }
        }
    }
}

fn token(name: &str, is_admin: bool) -> String {
    roomer_application::issue(SECRET, name, is_admin, HOUR).unwrap()
}

/// Returns a path in the folder for tests at which there is no database.
fn database(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn only_authenticated_clients_connect() {
    let application = Application::start(&database("logins.sqlite"));
    let forged = roomer_application::issue(b"another secret", "ann", true, HOUR).unwrap();
    let late = roomer_application::issue(SECRET, "ann", true, Duration::ZERO).unwrap();
    for bad in [&forged, &late, "", "no-token"] {
        assert_eq!(application.connect(bad).err(), Some(401), "{bad}");
    }
    assert_eq!(application.open("wss://localhost/ws", None).err(), Some(401));
    let good = token("ann", false);
    let by_header = application.open("wss://localhost/ws", Some(&good));
    for mut ann in [by_header.unwrap(), application.connect(&good).unwrap()] {
        ann.say("root", "whoami");
        assert_eq!(ann.expect("root", "you"), b"ann");
    }
    application.stop([]);
}

#[test]
fn connection_closes_when_login_expires() {
    let application = Application::start(&database("expiry.sqlite"));
    // The handshake must complete before the login expires, and may take a while on a busy machine.
    let short = roomer_application::issue(SECRET, "ann", false, Duration::from_secs(5)).unwrap();
    assert_eq!(application.connect(&short).unwrap().closed(), 1008);
    application.stop([]);
}

#[test]
fn rooms_admit_users_listed_in_database() {
    let path = database("permissions.sqlite");
    let application = Application::start(&path);
    let (root, ann) = (token("root", true), token("ann", false));
    let mut client = application.connect(&ann).unwrap();
    assert!(!client.join("staff"));
    let ask = |method, target, token| application.ask(method, target, token).0;
    assert_eq!(ask("PUT", "/rooms/staff/allow/ann", None), 401);
    assert_eq!(ask("PUT", "/rooms/staff/allow/ann", Some(&ann)), 403);
    assert!(!client.join("staff"));
    assert_eq!(ask("PUT", "/rooms/staff/allow/ann", Some(&root)), 204);
    assert!(client.join("staff"));
    assert!(application.connect(&root).unwrap().join("staff"), "administrators enter any room");
    application.stop([client]);

    let application = Application::start(&path);
    let ask = |method, target, token| application.ask(method, target, token).0;
    let mut clients = [(); 2].map(|()| application.connect(&ann).unwrap());
    assert!(clients.iter_mut().all(|client| client.join("staff")));
    assert_eq!(ask("POST", "/rooms/staff/kick/ann", Some(&ann)), 403);
    assert_eq!(ask("POST", "/rooms/staff/kick/bob", Some(&root)), 404);
    assert_eq!(ask("POST", "/rooms/staff/kick/ann", Some(&root)), 204);
    for client in &mut clients {
        client.expect("staff", "leave_ack");
        assert!(!client.join("staff"));
    }
    application.stop(clients);
}

#[test]
fn prometheus_metrics_are_served() {
    let application = Application::start(&database("metrics.sqlite"));
    let ann = application.connect(&token("ann", false)).unwrap();
    let (status, body) = application.ask("GET", "/metrics", None);
    assert_eq!(status, 200);
    assert!(body.contains("roomer_connections 1\n"), "{body}");
    application.stop([ann]);
}
