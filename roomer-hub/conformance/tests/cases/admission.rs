//! Tests the limits on connections and handshakes, and how clients that exceed one are rejected.
//!
//! The limits apply in total and per address.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use roomer_engine::Builder;
use socket2::{Domain, Socket, Type};

use super::alone::{allocated, alone};
use super::test_server::TestServer;
use roomer_conformance::client::{Client, TIMEOUT};
use roomer_conformance::http::{HttpRequest, HttpResponse, dial, uninterrupted};
use roomer_conformance::wire::{self, BINARY, FIN};

/// The maximum number of bytes that the server may hold for ten rejected clients.
const MAX_KEPT: usize = 2 << 20;

/// Connects from a given local address.
fn dial_from(source: &str, addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source: SocketAddr = format!("{source}:0").parse().unwrap();
    socket.bind(&source.into()).unwrap();
    socket.connect(&addr.into()).expect("the server listens");
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// Returns the status of the response that a client receives before it has sent a request.
fn turned_away(mut stream: TcpStream) -> u16 {
    HttpResponse::read(&mut stream, false).status
}

/// Repeats a request until the status of the response is not `status`.
fn until_not(status: u16, mut ask: impl FnMut() -> u16) -> u16 {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match ask() {
            seen if seen == status => assert!(Instant::now() < deadline, "still {status}"),
            other => return other,
        }
    }
}

fn rejected(test: &TestServer, status: u16) -> u64 {
    test.server.stats().rejected_requests.get(&status).copied().unwrap_or_default()
}

#[test]
fn handshakes_above_limit_get_503_immediately() {
    let test =
        TestServer::with(|builder| builder.max_handshakes(3).handshake_timeout(TIMEOUT * 10));
    let silent = [(); 3].map(|()| dial(test.addr));
    assert_eq!(turned_away(dial(test.addr)), 503);
    assert_eq!((test.server.stats().handshakes, rejected(&test, 503)), (3, 1));
    drop(silent);
    assert_eq!(until_not(503, || HttpRequest::plain(test.addr).rejected(test.addr).status), 400);
    test.wait_for_drain();
    // A connection that is open does not count as a handshake.
    let clients: [Client; 5] = test.roomless_clients();
    assert_eq!(test.server.stats().connections, clients.len());
}

#[test]
fn handshakes_above_per_address_limit_get_429() {
    let test = TestServer::with(|builder| {
        builder.max_handshakes_per_address(2).handshake_timeout(TIMEOUT * 10)
    });
    let _silent = [(); 2].map(|()| dial(test.addr));
    assert_eq!(turned_away(dial(test.addr)), 429);
    assert_eq!(rejected(&test, 429), 1);
    let mut neighbour = dial_from("127.0.0.2", test.addr);
    neighbour.write_all(&HttpRequest::upgrade(test.addr).bytes()).unwrap();
    Client::established(neighbour).close();
}

#[test]
fn rejected_client_can_read_response_while_sending() {
    let test =
        TestServer::with(|builder| builder.max_handshakes(1).handshake_timeout(TIMEOUT * 10));
    let _silent = dial(test.addr);
    for size in [1, 100, 20_000, 400_000] {
        let mut stream = dial(test.addr);
        // The write may fail because of a reset, but the response must have arrived before that.
        let _ = stream.write_all(&vec![b'x'; size]);
        assert_eq!(turned_away(stream), 503, "after {size} bytes");
    }
    let answers = (0..50).map(|_| HttpRequest::upgrade(test.addr).rejected(test.addr).status);
    assert!(answers.collect::<Vec<_>>().iter().all(|status| *status == 503));
}

#[test]
fn lingering_rejected_client_is_closed() {
    let test = TestServer::with(|builder| {
        builder.max_handshakes(1).handshake_timeout(TIMEOUT * 10).close_timeout(TIMEOUT * 10)
    });
    let silent = dial(test.addr);
    let stayers = [(); 20].map(|()| dial(test.addr));
    for mut stream in stayers.iter() {
        let read = uninterrupted(|| stream.read(&mut [0]));
        assert!(read.is_ok_and(|size| size == 1), "the answer begins");
    }
    drop(silent);
    // The clients neither read nor close, so the server must stop waiting for them and close the
    // sockets.
    test.wait_for_drain();
}

#[test]
fn connections_above_limit_get_503_but_pages_are_served() {
    let test = TestServer::with(|builder| {
        let builder = builder.page("/", "text/plain", "hello").health("/live", "/ready");
        builder.max_connections(2)
    });
    let status = |target| HttpRequest::plain(test.addr).target(target).rejected(test.addr).status;
    let first = test.roomless_client();
    assert_eq!((status("/live"), status("/ready")), (200, 200));
    let _second = test.roomless_client();
    assert_eq!(HttpRequest::upgrade(test.addr).rejected(test.addr).status, 503);
    assert_eq!((status("/"), status("/live"), status("/ready")), (200, 200, 503));
    assert_eq!(rejected(&test, 503), 1, "a health check is not a handshake");
    first.close();
    let upgraded = || {
        let mut stream = dial(test.addr);
        stream.write_all(&HttpRequest::upgrade(test.addr).bytes()).unwrap();
        HttpResponse::read_head(&mut stream).0.status
    };
    assert_eq!(until_not(503, upgraded), 101);
}

#[test]
fn connections_above_per_address_limit_get_429() {
    let test = TestServer::with(|builder| builder.max_connections_per_address(2));
    let clients: [Client; 2] = test.roomless_clients();
    assert_eq!(HttpRequest::upgrade(test.addr).rejected(test.addr).status, 429);
    let mut neighbour = dial_from("127.0.0.2", test.addr);
    neighbour.write_all(&HttpRequest::upgrade(test.addr).bytes()).unwrap();
    Client::established(neighbour).close();
    clients.into_iter().for_each(Client::close);
    let ask = || HttpRequest::upgrade(test.addr).head(test.addr).status;
    assert_eq!(until_not(429, ask), 101);
}

#[test]
fn limits_are_checked_before_authorize_hook() {
    let test = TestServer::with(|builder| {
        builder.max_connections(1).authorize(|request| match request.query("first") {
            Some(_) => Ok([].into()),
            None => panic!("it is asked in vain"),
        })
    });
    let ask = HttpRequest::upgrade(test.addr).target("/ws?first=1");
    let _client = Client::upgrade(dial(test.addr), &ask);
    assert_eq!(HttpRequest::upgrade(test.addr).rejected(test.addr).status, 503);
}

#[test]
fn limits_count_addresses_behind_trusted_proxy_separately() {
    let one_each =
        |builder: Builder| builder.max_handshakes_per_address(1).max_connections_per_address(1);
    let test = TestServer::with(|builder| {
        one_each(builder).trust_proxy("127.0.0.1").handshake_timeout(TIMEOUT * 10)
    });
    // The limit per address does not apply to handshakes that come from a trusted proxy.
    let _silent = [(); 3].map(|()| dial(test.addr));
    let from = |client: &str| HttpRequest::upgrade(test.addr).add("X-Forwarded-For", client);
    let mut clients = Vec::new();
    for client in ["1.2.3.4", "5.6.7.8", "2001:db8::1"] {
        clients.push(Client::upgrade(dial(test.addr), &from(client)));
    }
    for client in ["1.2.3.4", "6.6.6.6, 5.6.7.8", "2001:db8::2"] {
        assert_eq!(from(client).rejected(test.addr).status, 429, "{client}");
    }
    // The same header from another peer is not trusted.
    let mut stranger = dial_from("127.0.0.2", test.addr);
    stranger.write_all(&from("9.9.9.9").bytes()).unwrap();
    clients.push(Client::established(stranger));
    let mut stranger = dial_from("127.0.0.2", test.addr);
    stranger.write_all(&from("9.9.9.8").bytes()).unwrap();
    assert_eq!(turned_away(stranger), 429);
}

#[test]
fn counts_return_to_baseline_after_connection_storm() {
    let test = TestServer::with(|builder| {
        let builder = builder.max_handshakes(20).max_handshakes_per_address(10);
        builder.max_connections(10).max_connections_per_address(5)
    });
    let request = HttpRequest::upgrade(test.addr).bytes();
    for round in 0..300 {
        let source = ["127.0.0.1", "127.0.0.2", "127.0.0.3"][round % 3];
        let mut stream = dial_from(source, test.addr);
        let cut = round * 7 % (request.len() + 40);
        let _ = stream.write_all(&request[..cut.min(request.len())]);
    }
    // The server accepts connections in order, so when this one is rejected, it has accepted all
    // earlier ones.
    let _ = HttpRequest::plain(test.addr).rejected(test.addr);
    test.wait_for_drain();
    assert_eq!(test.server.stats().handshakes, 0);
    for source in ["127.0.0.1", "127.0.0.2"] {
        // There is room again for five handshakes, but not for six.
        let come = || {
            let mut stream = dial_from(source, test.addr);
            stream.write_all(&request).unwrap();
            stream
        };
        let clients = [(); 5].map(|()| Client::established(come()));
        let mut late = come();
        let status = HttpResponse::read_head(&mut late).0.status;
        assert!([429, 503].contains(&status), "{status}");
        drop((clients, late));
        test.wait_for_drain();
    }
}

#[test]
fn flood_of_sockets_does_not_disturb_open_connections() {
    let test = TestServer::with(|builder| builder.max_handshakes(10));
    let [mut a, mut b] = test.clients_in("lobby");
    let mut flood = Vec::new();
    for n in 0..200u32 {
        flood.push(dial(test.addr));
        a.send_to_room("lobby", "n", &n.to_be_bytes());
        b.expect("lobby", "n", "", &a.id, &n.to_be_bytes());
    }
    let handshakes = test.server.stats().handshakes;
    assert!(handshakes <= 10, "{handshakes}");
    drop(flood);
    a.send_to_room("lobby", "last", b"");
    b.expect("lobby", "last", "", &a.id, b"");
}

#[test]
fn bytes_from_rejected_client_are_discarded() {
    alone("bytes_from_rejected_client_are_discarded", || {
        let frame = [wire::header(FIN | BINARY, 16_000_000), vec![0; 15_000_000]].concat();
        let test = TestServer::with(|builder| builder.close_timeout(Duration::from_secs(5)));
        let before = allocated();
        let streams = [(); 10].map(|()| {
            let mut stream = dial(test.addr);
            stream.write_all(&HttpRequest::plain(test.addr).bytes()).unwrap();
            assert_eq!(HttpResponse::read_head(&mut stream).0.status, 400);
            // The server reads from the rejected socket for a while, and then stops.
            stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            assert!(stream.write_all(&frame).is_err(), "all of it was read");
            stream
        });
        let grown = allocated().saturating_sub(before);
        assert!(grown < MAX_KEPT, "{grown} bytes of clients that were rejected");
        drop(streams);
    });
}
