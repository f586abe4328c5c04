//! Tests pages that are served over plain HTTP, on the same port as the WebSocket.

use super::test_server::TestServer;
use roomer_conformance::http::HttpRequest;

fn test() -> TestServer {
    TestServer::with(|builder| {
        builder
            .page("/", "text/html; charset=utf-8", "<h1>é</h1>")
            .page("/app.js", "text/javascript", "go()")
            .page("/empty", "text/plain", "")
    })
}

#[test]
fn page_is_served_completely_with_its_type() {
    let test = test();
    for (target, kind, body) in [
        ("/", "text/html; charset=utf-8", "<h1>é</h1>"),
        ("/app.js?v=1", "text/javascript", "go()"),
        ("/empty", "text/plain", ""),
    ] {
        let answer = HttpRequest::plain(test.addr).target(target).rejected(test.addr);
        assert_eq!((answer.status, &*answer.body), (200, body.as_bytes()), "{target}");
        assert_eq!(answer.header("content-type"), Some(kind));
    }
}

#[test]
fn head_request_gets_no_body() {
    let test = test();
    let answer = HttpRequest::plain(test.addr).target("/").method("HEAD").rejected(test.addr);
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("11")));
}

#[test]
fn page_rejects_other_methods() {
    let test = test();
    for method in ["POST", "PUT", "DELETE"] {
        let answer = HttpRequest::plain(test.addr).target("/").method(method).rejected(test.addr);
        assert_eq!(answer.status, 405, "{method}");
    }
}

#[test]
fn unknown_paths_are_404() {
    let test = test();
    for target in ["/ws/", "/WS", "/wss", "/app", "//", "/app.js/"] {
        assert_eq!(
            HttpRequest::upgrade(test.addr).target(target).rejected(test.addr).status,
            404,
            "{target}"
        );
        assert_eq!(
            HttpRequest::plain(test.addr).target(target).rejected(test.addr).status,
            404,
            "{target}"
        );
    }
}

#[test]
fn websocket_path_is_configurable() {
    let test = TestServer::with(|builder| builder.path("/rooms"));
    assert_eq!(HttpRequest::upgrade(test.addr).target("/rooms").head(test.addr).status, 101);
    assert_eq!(HttpRequest::upgrade(test.addr).rejected(test.addr).status, 404);
}

#[test]
fn percent_encoded_path_matches_raw_path() {
    for path in ["/é {x}", "/%C3%A9%20%7Bx%7D"] {
        let test = TestServer::with(|builder| {
            builder.path(path).page(format!("{path}/"), "text/plain", "p").health("/ä", "/ö")
        });
        let get = |target: &str| HttpRequest::plain(test.addr).target(target).rejected(test.addr);
        for target in ["/%C3%A9%20%7Bx%7D", "/é%20{x}"] {
            assert_eq!(HttpRequest::upgrade(test.addr).target(target).head(test.addr).status, 101);
            assert_eq!(&*get(&format!("{target}/")).body, b"p", "{target}");
        }
        assert_eq!((get("/%C3%A4").status, get("/ö").status), (200, 200));
    }
}

#[test]
fn folder_path_without_slash_redirects() {
    let test = TestServer::with(|builder| {
        builder.page("/gallery/", "text/plain", "g").page("/both", "text/plain", "b").page(
            "/both/",
            "text/plain",
            "c",
        )
    });
    let get = |target| HttpRequest::plain(test.addr).target(target).rejected(test.addr);
    for (target, location) in [("/gallery", "/gallery/"), ("/gallery?a=b&c", "/gallery/?a=b&c")] {
        let answer = get(target);
        assert_eq!((answer.status, answer.header("location")), (308, Some(location)));
    }
    assert_eq!((get("/gallery/").status, &*get("/both").body), (200, &b"b"[..]));
    for target in ["/galler", "//gallery", "/gallery//"] {
        assert_eq!(get(target).status, 404, "{target}");
    }
    let post = HttpRequest::plain(test.addr).target("/gallery").method("POST").rejected(test.addr);
    assert_eq!(post.status, 405);
}

#[test]
fn options_request_is_answered_for_load_balancers() {
    let test = TestServer::with(|builder| {
        builder.page("/page", "text/plain", "").health("/live", "/ready").max_connections(1)
    });
    let options =
        |target| HttpRequest::plain(test.addr).target(target).method("OPTIONS").rejected(test.addr);
    for target in ["/", "*", "/page", "/live", "/ready"] {
        let answer = options(target);
        assert_eq!(answer.status, 200, "{target}");
        assert!(answer.header("allow").unwrap().contains("OPTIONS"), "{target}");
    }
    assert_eq!(options("/nowhere").status, 404);
    assert_eq!(options("/ws").status, 405);
    let _last = test.client();
    let answer = options("/ready");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "it is full");
    assert_eq!(options("/live").status, 200);
}
