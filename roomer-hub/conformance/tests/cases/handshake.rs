//! Tests the upgrade: its requirements, the order in which they are checked, and the responses.

use std::io::Write;

use roomer_engine::Rejection;

use super::test_server::TestServer;
use roomer_conformance::client::Client;
use roomer_conformance::http::{ACCEPT, HttpRequest, HttpResponse, KEY, dial};
use roomer_conformance::wire;

#[test]
fn response_has_accept_value_and_no_extensions() {
    let test = TestServer::start();
    let ask = HttpRequest::upgrade(test.addr)
        .add("Sec-WebSocket-Protocol", "chat, superchat")
        .add("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");
    let answer = ask.head(test.addr);
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
    assert!(answer.header("upgrade").unwrap().eq_ignore_ascii_case("websocket"));
    assert!(answer.header("connection").unwrap().eq_ignore_ascii_case("upgrade"));
    assert_eq!(answer.header("sec-websocket-protocol"), None, "no subprotocol is ever selected");
    assert_eq!(answer.header("sec-websocket-extensions"), None, "no extension is ever accepted");
}

#[test]
fn accept_value_depends_on_key() {
    let test = TestServer::start();
    for (key, accept) in [
        ("AAAAAAAAAAAAAAAAAAAAAA==", "ICX+Yqv66kxgM0FcWaLWlFLwTAI="),
        ("/////////////////////w==", "XXpj4jYzLM2yUE0C7TIgMwTQh2g="),
    ] {
        let answer = HttpRequest::upgrade(test.addr).set("Sec-WebSocket-Key", key).head(test.addr);
        assert_eq!((answer.status, answer.header("sec-websocket-accept")), (101, Some(accept)));
    }
}

#[test]
fn non_get_is_405_before_other_checks() {
    let test =
        TestServer::with(|builder| builder.authorize(|_| Err(Rejection::unauthorized("no"))));
    for method in ["POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get"] {
        let upgrade = HttpRequest::upgrade(test.addr).method(method).rejected(test.addr);
        assert_eq!(upgrade.status, 405, "{method} with all that an upgrade needs");
        assert_eq!(upgrade.header("allow"), Some("GET"), "{method}");
        assert_eq!(
            HttpRequest::plain(test.addr).method(method).rejected(test.addr).status,
            405,
            "{method}"
        );
    }
}

#[test]
fn authorize_rejection_is_401_even_without_upgrade() {
    let test = TestServer::with(|builder| {
        builder.authorize(|request| match request.query("token").as_deref() {
            Some("s e&c") => Ok([].into()),
            _ => Err(Rejection::unauthorized("a token, please")),
        })
    });
    let answer = HttpRequest::plain(test.addr).rejected(test.addr);
    assert_eq!((answer.status, &*answer.body), (401, &b"a token, please\n"[..]));
    // All later checks would reject this request as well.
    let bad = HttpRequest::upgrade(test.addr)
        .set("Sec-WebSocket-Version", "12")
        .set("Sec-WebSocket-Key", "short")
        .add("Origin", "https://elsewhere.example");
    assert_eq!(bad.rejected(test.addr).status, 401);
    let ask = HttpRequest::upgrade(test.addr).target("/ws?token=s+e%26c");
    assert_eq!(ask.head(test.addr).status, 101);
    assert_eq!(
        HttpRequest::plain(test.addr).target("/ws?token=s+e%26c").rejected(test.addr).status,
        400
    );
}

#[test]
fn authorize_can_choose_rejection_status() {
    let test = TestServer::with(|builder| {
        builder.authorize(|request| match request.header("x-who") {
            Some("banned") => Err(Rejection::forbidden("banned")),
            Some("bug") => panic!("a bug in the hook"),
            _ => Ok([].into()),
        })
    });
    let ask = |who| HttpRequest::upgrade(test.addr).add("X-Who", who);
    assert_eq!(ask("banned").rejected(test.addr).status, 403);
    assert_eq!(ask("bug").rejected(test.addr).status, 500, "a panic is contained");
    assert_eq!(ask("anybody").head(test.addr).status, 101);
}

#[test]
fn missing_upgrade_is_400_with_version_header() {
    let test = TestServer::start();
    let upgrade = HttpRequest::upgrade(test.addr);
    for ask in [
        HttpRequest::plain(test.addr),
        upgrade.clone().without("Connection"),
        upgrade.clone().set("Connection", "keep-alive"),
        upgrade.clone().set("Connection", "Upgraded, notupgrade, up grade"),
        upgrade.clone().without("Upgrade"),
        upgrade.clone().set("Upgrade", "h2c"),
        upgrade.clone().set("Upgrade", "websockets, web socket"),
    ] {
        let answer = ask.rejected(test.addr);
        assert_eq!(answer.status, 400, "{}", ask.bytes().escape_ascii());
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    }
}

#[test]
fn unsupported_version_is_400_with_version_header() {
    let test = TestServer::start();
    let upgrade = HttpRequest::upgrade(test.addr);
    for ask in [
        upgrade.clone().without("Sec-WebSocket-Version"),
        upgrade.clone().set("Sec-WebSocket-Version", "8"),
        upgrade.clone().set("Sec-WebSocket-Version", "14"),
        upgrade.clone().set("Sec-WebSocket-Version", "013"),
        upgrade.clone().set("Sec-WebSocket-Version", ""),
    ] {
        let answer = ask.rejected(test.addr);
        assert!([400, 426].contains(&answer.status), "{answer:?}");
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    }
}

#[test]
fn malformed_key_is_400() {
    let test = TestServer::start();
    let upgrade = HttpRequest::upgrade(test.addr);
    assert_eq!(upgrade.clone().without("Sec-WebSocket-Key").rejected(test.addr).status, 400);
    for key in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZTE3",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhl!HNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        let answer = upgrade.clone().set("Sec-WebSocket-Key", key).rejected(test.addr);
        assert_eq!(answer.status, 400, "{key:?}");
        assert_eq!(answer.header("sec-websocket-version"), Some("13"), "{key:?}");
    }
    let twice = upgrade.add("Sec-WebSocket-Key", KEY);
    assert_eq!(twice.rejected(test.addr).status, 400, "two keys");
}

#[test]
fn checks_run_in_order_version_origin_key() {
    let test = TestServer::start();
    let ask = HttpRequest::upgrade(test.addr).add("Origin", "https://elsewhere.example");
    let bad_version = ask.clone().set("Sec-WebSocket-Version", "12").rejected(test.addr);
    assert!([400, 426].contains(&bad_version.status));
    assert_eq!(ask.set("Sec-WebSocket-Key", "bad").rejected(test.addr).status, 403);
}

#[test]
fn header_names_and_tokens_are_case_insensitive() {
    let test = TestServer::start();
    let ask =
        HttpRequest::upgrade(test.addr).set("Upgrade", "WebSocket").set("Connection", "UPGRADE");
    assert_eq!(ask.clone().names(str::to_ascii_lowercase).head(test.addr).status, 101);
    assert_eq!(ask.names(str::to_ascii_uppercase).head(test.addr).status, 101);
}

#[test]
fn tokens_are_found_in_lists() {
    let test = TestServer::start();
    let upgrade = HttpRequest::upgrade(test.addr);
    for ask in [
        upgrade.clone().set("Connection", "keep-alive, Upgrade"),
        upgrade.clone().set("Connection", "upgrade,keep-alive"),
        upgrade.clone().set("Connection", "keep-alive").add("Connection", "Upgrade"),
        upgrade.clone().set("Upgrade", "h2c, websocket"),
        upgrade.clone().set("Upgrade", "h2c").add("Upgrade", "websocket"),
    ] {
        let answer = ask.head(test.addr);
        assert_eq!(answer.status, 101, "{}", ask.bytes().escape_ascii());
    }
}

#[test]
fn query_string_is_accepted() {
    let test = TestServer::start();
    let ask = HttpRequest::upgrade(test.addr).target("/ws?a=b&c=/ws?%00");
    Client::upgrade(dial(test.addr), &ask).close();
}

#[test]
fn request_split_at_any_byte_is_accepted() {
    let test = TestServer::start();
    let mut stream = dial(test.addr);
    for byte in HttpRequest::upgrade(test.addr).bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    Client::established(stream).close();
}

#[test]
fn frames_sent_with_request_are_handled_in_order() {
    let test = TestServer::start();
    let mut bytes = HttpRequest::upgrade(test.addr).bytes();
    bytes.extend(wire::to_room("early", "join", b""));
    bytes.extend(wire::to_room("early", "leave", b""));
    let mut stream = dial(test.addr);
    stream.write_all(&bytes).unwrap();
    let mut client = Client::established(stream);
    let ack = client.expect_packet();
    assert_eq!(client.snapshot("early", ack), [&*client.id]);
    client.expect_left("early");
    client.expect_nothing();
}

#[test]
fn rejected_client_never_joins_room() {
    let test = TestServer::start();
    let mut witness = test.client();
    assert_eq!(HttpRequest::upgrade(test.addr).without("Upgrade").rejected(test.addr).status, 400);
    assert_eq!(HttpRequest::upgrade(test.addr).method("POST").rejected(test.addr).status, 405);
    witness.expect_nothing();
    assert_eq!(test.server.stats().connections, 1);
}

#[test]
fn bytes_that_are_not_http_get_400() {
    let test = TestServer::start();
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello on the plain port";
    for bytes in [&hello[..], b"GET\r\n\r\n", b"GET /ws HTTP/3.7\r\n\r\n", b"\0\0\0\0\r\n\r\n"] {
        let mut stream = dial(test.addr);
        stream.write_all(bytes).unwrap();
        let answer = HttpResponse::read(&mut stream, false);
        assert_eq!(answer.status, 400, "{}", bytes.escape_ascii());
    }
}

#[test]
fn oversized_head_is_431_and_oversized_target_414() {
    let test = TestServer::start();
    let long = HttpRequest::upgrade(test.addr).add("X-Long", &"x".repeat(20_000));
    let many =
        (0..200).fold(HttpRequest::upgrade(test.addr), |ask, i| ask.add(&format!("X-{i}"), "1"));
    for (ask, status) in [(long, 431), (many, 431)] {
        assert_eq!(ask.rejected(test.addr).status, status);
    }
    let mut stream = dial(test.addr);
    stream.write_all(&[b"GET /".as_slice(), &[b'x'; 20_000]].concat()).unwrap();
    assert_eq!(HttpResponse::read(&mut stream, false).status, 414);
}

#[test]
fn far_oversized_header_still_gets_response() {
    let test = TestServer::start();
    let long = HttpRequest::upgrade(test.addr).add("X-Long", &"x".repeat(200 * 1024));
    let many =
        (0..2_000).fold(HttpRequest::upgrade(test.addr), |ask, i| ask.add(&format!("X{i}"), "1"));
    let short = (0..2_000).fold(HttpRequest::upgrade(test.addr), |ask, _| ask.add("X", ""));
    for ask in [long, many, short] {
        assert_eq!(ask.rejected(test.addr).status, 431);
    }
    let absurd = HttpRequest::upgrade(test.addr).target(&format!("/{}", "x".repeat(200 * 1024)));
    assert_eq!(absurd.rejected(test.addr).status, 414);
}

#[test]
fn conflicting_headers_are_400() {
    let test = TestServer::start();
    let upgrade = HttpRequest::upgrade(test.addr);
    for ask in [
        upgrade.clone().add("Host", "elsewhere.example"),
        upgrade.clone().add("Sec-WebSocket-Version", "8"),
        upgrade.clone().add("Sec-WebSocket-Version", "13"),
        upgrade.clone().add("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        upgrade.clone().add("Content-Length", "5"),
        upgrade.clone().add("Content-Length", "0").add("Content-Length", "5"),
        upgrade.clone().add("Transfer-Encoding", "chunked"),
    ] {
        let answer = ask.rejected(test.addr);
        assert_eq!(answer.status, 400, "{}", ask.bytes().escape_ascii());
    }
    assert_eq!(upgrade.add("Content-Length", "0").head(test.addr).status, 101);
}

#[test]
fn http_1_0_upgrade_is_400() {
    let test = TestServer::start();
    let text = String::from_utf8(HttpRequest::upgrade(test.addr).bytes()).unwrap();
    let mut stream = dial(test.addr);
    stream.write_all(text.replace("HTTP/1.1", "HTTP/1.0").as_bytes()).unwrap();
    assert_eq!(HttpResponse::read(&mut stream, false).status, 400);
}
