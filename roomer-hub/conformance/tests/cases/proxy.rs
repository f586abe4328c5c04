//! Tests how a server determines a client's address behind a proxy.
//!
//! The proxy sends it as `X-Forwarded-For` or in the PROXY protocol.

use std::io::Write;

use roomer_engine::{Builder, Claims};

use super::test_server::TestServer;
use roomer_conformance::client::{Client, TIMEOUT};
use roomer_conformance::http::{HttpRequest, HttpResponse, dial};

/// Returns the address that the server assigns to a client that sends these headers.
fn seen(choose: impl FnOnce(Builder) -> Builder, forwarded: &[&str]) -> String {
    let test = TestServer::with(|builder| {
        choose(builder)
            .authorize(|request| {
                let peer = request.peer().map_or("nobody".into(), |peer| peer.ip().to_string());
                Ok(Claims::from([("peer".into(), peer)]))
            })
            .on("who", |conn, message| {
                let peer = &conn.claims().expect("claims")["peer"];
                conn.send_to_client(message.src, "you", peer.as_bytes());
                Ok(())
            })
    });
    let ask = forwarded
        .iter()
        .fold(HttpRequest::upgrade(test.addr), |ask, line| ask.add("X-Forwarded-For", line));
    let mut client = Client::upgrade(dial(test.addr), &ask);
    client.send_to_room("root", "who", b"");
    let peer = String::from_utf8(client.expect_packet().payload).unwrap();
    client.close();
    peer
}

#[test]
fn forwarded_addresses_are_ignored_by_default() {
    assert_eq!(seen(|builder| builder, &["1.2.3.4"]), "127.0.0.1");
}

#[test]
fn trusted_proxy_vouches_only_for_its_direct_client() {
    let local = |builder: Builder| builder.trust_proxy("127.0.0.0/8");
    assert_eq!(seen(local, &["1.2.3.4"]), "1.2.3.4");
    assert_eq!(seen(local, &["6.6.6.6, 1.2.3.4"]), "1.2.3.4");
    assert_eq!(seen(local, &["6.6.6.6", "1.2.3.4, 127.0.0.2"]), "1.2.3.4");
    assert_eq!(seen(local, &[]), "127.0.0.1");
}

#[test]
fn untrusted_proxy_is_ignored() {
    let elsewhere = |builder: Builder| builder.trust_proxy("10.0.0.1").trust_proxy("unix");
    assert_eq!(seen(elsewhere, &["1.2.3.4"]), "127.0.0.1");
}

/// Connects with bytes that a proxy would send first. Returns the address that the server assigns
/// to the client.
fn announced(test: &TestServer, header: &[u8]) -> String {
    let mut stream = dial(test.addr);
    let request = HttpRequest::upgrade(test.addr).bytes();
    // Send both in one write: if the server read beyond the header, the request would be
    // incomplete.
    stream.write_all(&[header, &request].concat()).unwrap();
    let mut client = Client::established(stream);
    client.send_to_room("root", "who", b"");
    let peer = loop {
        let packet = client.expect_packet();
        if packet.event == "you" {
            break String::from_utf8(packet.payload).unwrap();
        }
    };
    client.close();
    peer
}

fn with_protocol(builder: Builder) -> Builder {
    builder
        .trust_proxy("127.0.0.1")
        .proxy_protocol()
        .authorize(|request| {
            let peer = request.peer().map_or("nobody".into(), |peer| peer.to_string());
            Ok(Claims::from([("peer".into(), peer)]))
        })
        .on("who", |conn, message| {
            let peer = &conn.claims().expect("claims")["peer"];
            conn.send_to_client(message.src, "you", peer.as_bytes());
            Ok(())
        })
}

#[test]
fn proxy_protocol_header_sets_client_address() {
    let test = TestServer::with(with_protocol);
    let block = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x63\0\x50";
    assert_eq!(announced(&test, b"PROXY TCP4 1.2.3.4 5.6.7.8 99 80\r\n"), "1.2.3.4:99");
    assert_eq!(announced(&test, b"PROXY TCP6 2001:db8::7 ::1 9 80\r\n"), "[2001:db8::7]:9");
    assert_eq!(announced(&test, block), "1.2.3.4:99");
    let own = announced(&test, b"PROXY UNKNOWN\r\n");
    assert!(own.starts_with("127.0.0.1:"), "{own}");
}

#[test]
fn proxy_header_is_required_from_trusted_peers_only() {
    let test = TestServer::with(with_protocol);
    assert_eq!(HttpRequest::upgrade(test.addr).rejected(test.addr).status, 400);
    let elsewhere = TestServer::with(|builder| builder.trust_proxy("10.0.0.1").proxy_protocol());
    assert_eq!(HttpRequest::upgrade(elsewhere.addr).head(elsewhere.addr).status, 101);
    let mut stream = dial(elsewhere.addr);
    let request = HttpRequest::upgrade(elsewhere.addr).bytes();
    stream.write_all(&[b"PROXY TCP4 1.2.3.4 5.6.7.8 9 80\r\n", &request[..]].concat()).unwrap();
    assert_eq!(HttpResponse::read(&mut stream, false).status, 400);
}

#[test]
fn limits_count_forwarded_address() {
    let test = TestServer::with(|builder| {
        let builder = with_protocol(builder).max_handshakes_per_address(1);
        builder.max_connections_per_address(1)
    });
    let come = |client: &str| {
        let mut stream = dial(test.addr);
        let header = format!("PROXY TCP4 {client} 5.6.7.8 99 80\r\n");
        stream
            .write_all(&[header.as_bytes(), &HttpRequest::upgrade(test.addr).bytes()].concat())
            .unwrap();
        let status = HttpResponse::read_head(&mut stream).0.status;
        (stream, status)
    };
    let (first, status) = come("1.2.3.4");
    assert_eq!((status, come("1.2.3.4").1, come("1.2.3.5").1), (101, 429, 101));
    drop(first);
    // This client has not sent any bytes yet.
    let mut silent = dial(test.addr);
    silent.write_all(b"PROXY TCP4 9.9.9.9 5.6.7.8 99 80\r\n").unwrap();
    let deadline = std::time::Instant::now() + TIMEOUT;
    while come("9.9.9.9").1 != 429 {
        assert!(std::time::Instant::now() < deadline, "it is not counted");
    }
    drop(silent);
    test.wait_for_sockets(0, || drop(test.server.stats()));
}
