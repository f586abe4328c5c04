//! Tests the check of the origin, by which a server limits the web pages that may connect.

use super::test_server::TestServer;
use roomer_conformance::http::HttpRequest;

fn status(test: &TestServer, origin: &str) -> u16 {
    HttpRequest::upgrade(test.addr).add("Origin", origin).head(test.addr).status
}

#[test]
fn same_origin_is_allowed_by_default() {
    let test = TestServer::start();
    assert_eq!(status(&test, &format!("http://{}", test.addr)), 101);
    assert_eq!(status(&test, &format!("HTTP://{}", test.addr)), 101);
    let ask = HttpRequest::upgrade(test.addr).set("Host", "Chat.Example");
    let head = |origin| ask.clone().add("Origin", origin).head(test.addr).status;
    assert_eq!(head("https://chat.example"), 101);
    assert_eq!(head("http://chat.example:80"), 101);
    assert_eq!(head("http://chat.example:8080"), 403);
}

#[test]
fn cross_origin_is_403_by_default() {
    let test = TestServer::start();
    let port = test.addr.port();
    for origin in [
        "https://elsewhere.example",
        &format!("http://127.0.0.1:{}", port ^ 1),
        &format!("http://127.0.0.1.elsewhere.example:{port}"),
        &format!("http://{}@elsewhere.example", test.addr),
        &format!("http://elsewhere.example/{}", test.addr),
        "null",
        "",
    ] {
        let answer = HttpRequest::upgrade(test.addr).add("Origin", origin).rejected(test.addr);
        assert_eq!(answer.status, 403, "{origin}");
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    }
}

#[test]
fn request_without_origin_is_allowed() {
    let test = TestServer::start();
    assert_eq!(HttpRequest::upgrade(test.addr).head(test.addr).status, 101);
}

#[test]
fn listed_origins_are_allowed() {
    let test = TestServer::with(|builder| {
        builder.allow_origin("https://a.example").allow_origin("http://b.example:8000")
    });
    for origin in ["https://a.example", "https://A.example:443", "http://b.example:8000"] {
        assert_eq!(status(&test, origin), 101, "{origin}");
    }
    assert_eq!(status(&test, &format!("http://{}", test.addr)), 101, "the same host still may");
    for origin in ["http://a.example", "https://b.example:8000", "https://x.a.example"] {
        assert_eq!(status(&test, origin), 403, "{origin}");
    }
}

#[test]
fn compat_keeps_listed_origins() {
    for test in [
        TestServer::with(|builder| builder.allow_origin("https://a.example").compat()),
        TestServer::with(|builder| builder.compat().allow_origin("https://a.example")),
    ] {
        assert_eq!(status(&test, "https://a.example"), 101);
        assert_eq!(status(&test, "https://b.example"), 403);
    }
}

#[test]
fn any_origin_can_be_allowed() {
    for test in [TestServer::with(|builder| builder.allow_origin("any")), TestServer::compat()] {
        for origin in ["https://elsewhere.example", "null", ""] {
            assert_eq!(status(&test, origin), 101, "{origin}");
        }
    }
}

#[test]
fn duplicate_origin_header_is_rejected() {
    let test = TestServer::start();
    let own = format!("http://{}", test.addr);
    let ask = HttpRequest::upgrade(test.addr)
        .add("Origin", &own)
        .add("Origin", "https://elsewhere.example");
    assert_eq!(ask.rejected(test.addr).status, 403);
}
