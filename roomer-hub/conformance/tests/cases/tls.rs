//! Tests TLS over real sockets.
//!
//! `tests/tokio_tls.rs` and `tests/smol_tls.rs` include this file, and provide functions that start
//! and stop the server.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::{Bytes, Error, Message, WebSocket};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use roomer_conformance::http::uninterrupted;
use roomer_conformance::programs::until;
use roomer_engine::client::{self, Closing, Failure, Runtime};
use roomer_engine::tls::rustls;
use roomer_engine::{Builder, Server};
use roomer_proto::PacketRef;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use super::Adapter;

const TIMEOUT: Duration = Duration::from_secs(30);
const NAME: &str = "chat.example";

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A server with a self-signed certificate that its clients trust.
struct TestServer {
    server: Server,
    certificate: CertificateDer<'static>,
    adapter: Option<Adapter>,
}

impl TestServer {
    fn start(choose: impl FnOnce(Builder) -> Builder) -> TestServer {
        let server = choose(Server::builder()).build().unwrap();
        let CertifiedKey { cert, signing_key } = certify();
        let certificate = cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let adapter = Some(Adapter::start(server.clone(), config));
        TestServer { server, certificate, adapter }
    }

    fn dial(&self) -> TcpStream {
        let stream = TcpStream::connect(self.adapter.as_ref().unwrap().addr).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Opens a stream that starts a TLS handshake when it is first used. Permits only these
    /// protocol versions.
    fn secure(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> Stream {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_protocol_versions(versions)
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(NAME).unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), self.dial())
    }

    fn client(&self) -> Client {
        Client::established(self.secure(rustls::ALL_VERSIONS))
    }

    fn stop(&mut self) {
        self.adapter.take().unwrap().stop();
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        if self.adapter.is_some() {
            self.stop();
        }
        assert_eq!(self.server.stats().sockets, 0, "a connection remains");
    }
}

fn certify() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed([NAME.to_owned(), "localhost".to_owned()]).unwrap()
}

/// Tests a server that reads its certificate and its key from files.
pub(crate) fn try_files(folder: &str, start: impl FnOnce(&Path, &Path) -> Adapter) {
    let CertifiedKey { cert, signing_key } = certify();
    let (cert_file, key_file) = (format!("{folder}/cert.pem"), format!("{folder}/key.pem"));
    fs::write(&cert_file, cert.pem()).unwrap();
    fs::write(&key_file, signing_key.serialize_pem()).unwrap();
    let adapter = Some(start(cert_file.as_ref(), key_file.as_ref()));
    let server = Server::builder().build().unwrap();
    let mut test = TestServer { server, certificate: cert.der().clone(), adapter };
    let client = test.client();
    thread::scope(|scope| {
        scope.spawn(|| test.stop());
        client.expect_close(1001);
    });
}

struct Client {
    socket: WebSocket<Stream>,
    id: String,
}

impl Client {
    fn established(stream: Stream) -> Client {
        let (socket, _) =
            async_tungstenite::tungstenite::client(format!("wss://{NAME}/ws"), stream).unwrap();
        let mut client = Client { socket, id: String::new() };
        let welcome = client.expect_message();
        let welcome = PacketRef::decode(&welcome).unwrap();
        assert_eq!((welcome.room, welcome.event), ("root", "join_ack"));
        client.id = welcome.src.into();
        client
    }

    fn expect_message(&mut self) -> Bytes {
        match self.socket.read().unwrap() {
            Message::Binary(message) => message,
            other => panic!("not a binary message: {other:?}"),
        }
    }

    fn say(&mut self, event: &str, dst: &str, payload: &[u8]) {
        let packet = PacketRef { room: "root", event, dst, src: "", payload };
        self.socket.send(Message::binary(packet.to_bytes())).unwrap();
    }

    /// Requires a close frame with this code, then the end of TLS, then the end of the stream.
    fn expect_close(mut self, code: u16) {
        match self.socket.read().unwrap() {
            Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), code),
            other => panic!("not a close frame: {other:?}"),
        }
        match self.socket.read().unwrap_err() {
            Error::ConnectionClosed => {}
            other => panic!("the end is not clean: {other}"),
        }
        assert_eq!(uninterrupted(|| self.socket.get_mut().read(&mut [0])).unwrap(), 0);
    }
}

/// Checks that the client on a runtime connects only to a server whose certificate authority it was
/// given.
pub(crate) fn client_over_tls<R: Runtime>(
    block_on: impl FnOnce(Pin<Box<dyn Future<Output = ()>>>),
) {
    let server = TestServer::start(|builder| builder);
    let mut roots = RootCertStore::empty();
    roots.add(server.certificate.clone()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let addr = server.adapter.as_ref().unwrap().addr;
    let url = format!("wss://localhost:{}/ws", addr.port());
    block_on(Box::pin(async move {
        let client = client::Client::<R>::builder(&url).unwrap().tls(config).connect().unwrap();
        let lobby = client.join("lobby");
        lobby.joined().await.unwrap();
        let mut heard = lobby.messages();
        lobby.send_to(client.id().unwrap(), "chat", vec![7; 300_000]).unwrap();
        assert_eq!(heard.next().await.unwrap().payload.len(), 300_000);
        client.close().await;
        // Without the option, the client trusts only the system's authorities, and therefore not
        // this certificate.
        let distrustful = client::Client::<R>::builder(&url).unwrap().retries(0).connect().unwrap();
        let why = distrustful.closed().await;
        assert!(matches!(why, Closing::GaveUp(Failure::Connect(_))), "{why:?}");
    }));
}

#[test]
fn conversation_is_served() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let test = TestServer::start(|builder| builder);
        let mut client = Client::established(test.secure(&[version]));
        let id = client.id.clone();
        for length in [0, 1, 1000, 100_000, 3_000_000] {
            let payload: Vec<u8> = (0..length).map(|i| (i * 7 + i / 251) as u8).collect();
            client.say("note", &id, &payload);
            let note = client.expect_message();
            assert!(PacketRef::decode(&note).unwrap().payload == payload, "{length} bytes");
        }
        client.socket.send(Message::Ping(Bytes::from_static(b"there?"))).unwrap();
        let pong = client.socket.read().unwrap();
        assert_eq!(pong, Message::Pong(Bytes::from_static(b"there?")));
        let goodbye = CloseFrame { code: 4000.into(), reason: "done".into() };
        client.socket.close(Some(goodbye)).unwrap();
        client.expect_close(4000);
    }
}

#[test]
fn all_members_receive_everything_in_order() {
    let test = TestServer::start(|builder| builder);
    let mut clients = [test.client(), test.client(), test.client()];
    for (here, client) in clients.iter_mut().enumerate() {
        for _ in here + 1..3 {
            assert_eq!(PacketRef::decode(&client.expect_message()).unwrap().event, "new_member");
        }
    }
    let [sender, receivers @ ..] = &mut clients;
    for n in 0..2000u32 {
        sender.say("n", "", &n.to_be_bytes());
    }
    for receiver in receivers {
        for n in 0..2000u32 {
            let message = receiver.expect_message();
            assert_eq!(PacketRef::decode(&message).unwrap().payload, n.to_be_bytes());
        }
    }
}

#[test]
fn late_reader_receives_all_messages() {
    let test = TestServer::start(|builder| {
        builder.max_backlog(64 * 1024 * 1024).write_timeout(TIMEOUT * 10)
    });
    let (mut late, mut sender) = (test.client(), test.client());
    assert_eq!(PacketRef::decode(&late.expect_message()).unwrap().event, "new_member");
    let payload: Vec<u8> = (0..100_000).map(|i| (i * 7 + i / 251) as u8).collect();
    for _ in 0..100 {
        sender.say("large", &late.id, &payload);
    }
    // By now the server has read all messages, which are far more than a socket buffers.
    let id = sender.id.clone();
    sender.say("fence", &id, b"");
    assert_eq!(PacketRef::decode(&sender.expect_message()).unwrap().event, "fence");
    for _ in 0..100 {
        assert!(PacketRef::decode(&late.expect_message()).unwrap().payload == payload);
    }
}

#[test]
fn plain_http_on_tls_port_is_closed() {
    let test = TestServer::start(|builder| builder);
    let witness = test.client();
    let mut plain = test.dial();
    plain.write_all(b"GET /ws HTTP/1.1\r\nHost: chat.example\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).unwrap();
    assert!(!answer.starts_with(b"HTTP"), "{}", answer.escape_ascii());
    drop(witness);
    test.client();
}

#[test]
fn unfinished_tls_handshake_times_out() {
    // The second client must send its bytes in this time, even on a busy machine.
    let test = TestServer::start(|builder| builder.handshake_timeout(Duration::from_secs(2)));
    // One client sends no bytes, and the other one the first bytes of a client hello.
    for bytes in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut stream = test.dial();
        stream.write_all(bytes).unwrap();
        let result = stream.read_to_end(&mut Vec::new());
        assert!(result.is_ok_and(|size| size == 0));
    }
}

#[test]
fn socket_above_limit_is_closed_before_tls_handshake() {
    let test = TestServer::start(|builder| {
        builder.max_handshakes(1).handshake_timeout(TIMEOUT * 10).close_timeout(TIMEOUT * 10)
    });
    let silent = test.dial();
    for _ in 0..3 {
        // The read must return the end of the stream, or a reset, but no bytes.
        let mut rejected = test.dial();
        assert!(uninterrupted(|| rejected.read(&mut [0])).is_ok_and(|size| size == 0));
    }
    assert_eq!(test.server.stats().rejected_requests[&503], 3);
    assert_eq!(test.server.stats().sockets, 1);
    drop(silent);
}

#[test]
fn silent_tls_client_gets_408() {
    let test = TestServer::start(|builder| builder.handshake_timeout(Duration::from_secs(2)));
    let answer = until("no TLS handshake is complete in time", || {
        let mut stream = test.secure(rustls::ALL_VERSIONS);
        // If the TLS handshake is not complete before the timeout, as on a busy machine, the server
        // closes without a response.
        let handshake = stream.conn.complete_io(&mut stream.sock);
        handshake.and_then(|_| stream.write_all(b"GET /ws HTTP/1.1\r\n")).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        (!answer.is_empty()).then_some(answer)
    });
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[test]
fn pages_are_served() {
    let test = TestServer::start(|builder| builder.page("/", "text/plain", &b"hello"[..]));
    let mut stream = test.secure(rustls::ALL_VERSIONS);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: chat.example\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"), "{answer}");
}

#[test]
fn untrusting_client_is_closed() {
    let test = TestServer::start(|builder| builder);
    let stranger = TestServer::start(|builder| builder);
    let mut stream = stranger.secure(rustls::ALL_VERSIONS);
    stream.sock = test.dial();
    let error = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

#[test]
fn silent_client_is_pinged() {
    let test = TestServer::start(|builder| builder.ping_interval(Duration::from_millis(50)));
    let mut client = test.client();
    for _ in 0..3 {
        assert_eq!(client.socket.read().unwrap(), Message::Ping(Bytes::new()));
    }
}

#[test]
fn stop_closes_all_clients_with_1001() {
    let mut test = TestServer::start(|builder| builder);
    let client = test.client();
    thread::scope(|scope| {
        scope.spawn(|| test.stop());
        client.expect_close(1001);
    });
}

#[test]
fn client_that_drops_tls_connection_is_removed() {
    let test = TestServer::start(|builder| builder);
    let (mut witness, client) = (test.client(), test.client());
    assert_eq!(PacketRef::decode(&witness.expect_message()).unwrap().event, "new_member");
    let id = client.id.clone();
    // The client ends its connection without a close frame, and without ending TLS.
    drop(client.socket);
    let left = witness.expect_message();
    let left = PacketRef::decode(&left).unwrap();
    assert_eq!((left.event, left.payload), ("member_left", id.as_bytes()));
}
