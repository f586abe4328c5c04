//! Tests of upgrade requests that a framework has parsed.
//!
//! The same rules apply as on the server's own port, and responses are returned as values.
#![allow(clippy::unwrap_used, clippy::result_large_err, reason = "test helpers")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Method, Request, Response, Version};
use roomer_engine::{Builder, Claims, Rejection, Server, Upgrade};

fn server(choose: impl FnOnce(Builder) -> Builder) -> Server {
    choose(Server::builder()).build().unwrap()
}

fn request() -> Request<()> {
    Request::get("/chat/7?token=secret")
        .header("Host", "chat.example")
        .header("Connection", "keep-alive, Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(())
        .unwrap()
}

fn ask(
    server: &Server,
    change: impl FnOnce(&mut Request<()>),
) -> Result<Upgrade, Response<String>> {
    let mut request = request();
    change(&mut request);
    server.upgrade(request, None)
}

fn status(server: &Server, change: impl FnOnce(&mut Request<()>)) -> u16 {
    match ask(server, change) {
        Ok(upgrade) => upgrade.response().status().as_u16(),
        Err(refused) => refused.status().as_u16(),
    }
}

#[test]
fn response_contains_accept_value() {
    let server = server(|builder| builder);
    let response = ask(&server, |_| {}).unwrap().response();
    assert_eq!(response.status(), 101);
    let header = |name| response.headers()[name].to_str().unwrap();
    assert_eq!(header("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(header("upgrade"), "websocket");
    assert_eq!(header("connection"), "Upgrade");
}

#[test]
fn response_is_bounded_by_handshake_timeout() {
    let server = server(|builder| builder.handshake_timeout(Duration::from_secs(7)));
    let limit = ask(&server, |_| {}).unwrap().handshake_timeout();
    assert_eq!((limit, server.handshake_timeout()), (Duration::from_secs(7), limit));
}

#[test]
fn debug_output_identifies_builder_server_and_upgrade() {
    let builder = Server::builder().on("chat", |_, _| Ok(()));
    assert_eq!(format!("{builder:?}"), r#"Builder { events: ["chat"], .. }"#);
    let server = builder.build().unwrap();
    assert!(format!("{server:?}").starts_with("Server { stats: Stats { connections: 0"));
    let peer = "10.0.0.7:80".parse().ok();
    let upgrade = server.upgrade(request(), peer).unwrap();
    assert_eq!(format!("{upgrade:?}"), "Upgrade { peer: Some(10.0.0.7:80), .. }");
}

#[test]
fn drain_timeout_adds_second_to_close_timeout() {
    let server = server(|builder| builder.close_timeout(Duration::from_secs(3)));
    assert_eq!(server.drain_timeout(), Duration::from_secs(4));
}

#[test]
fn invalid_upgrade_is_rejected_as_on_own_port() {
    let server = server(|builder| builder);
    let without =
        |name: &'static str| status(&server, |request| drop(request.headers_mut().remove(name)));
    for name in ["connection", "upgrade", "sec-websocket-version", "sec-websocket-key"] {
        assert_eq!(without(name), 400, "{name}");
    }
    assert_eq!(status(&server, |request| *request.method_mut() = Method::POST), 405);
    assert_eq!(status(&server, |request| *request.version_mut() = Version::HTTP_10), 400);
    let origin = |request: &mut Request<()>| {
        request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    };
    assert_eq!(status(&server, origin), 403);
    let refused = ask(&server, origin).unwrap_err();
    assert_eq!(refused.headers()["sec-websocket-version"], "13");
    // Clients distinguish the server's own rejection from a proxy's.
    assert_eq!(refused.headers()["roomer-status"], "403");
    assert_eq!(refused.headers()["x-content-type-options"], "nosniff");
    assert_eq!(refused.body(), "pages from this origin may not connect\n");
    let refused = ask(&server, |request| *request.method_mut() = Method::PUT).unwrap_err();
    assert_eq!(refused.headers()["allow"], "GET");
}

#[test]
fn authorize_hook_is_called() {
    let server = server(|builder| {
        builder.authorize(|request| match request.query("token").as_deref() {
            Some("secret") => Ok(Claims::new()),
            Some("panic") => panic!("the hook panics"),
            _ => Err(Rejection::unauthorized("a token, please")),
        })
    });
    let with = |uri: &'static str| {
        status(&server, move |request| *request.uri_mut() = uri.parse().unwrap())
    };
    assert_eq!(with("/?token=secret"), 101);
    assert_eq!(with("/?token=guess"), 401);
    assert_eq!(with("/?token=panic"), 500);
}

#[test]
fn upgrade_counts_until_dropped() {
    let server = server(|builder| builder);
    let upgrade = ask(&server, |_| {}).unwrap();
    assert_eq!(server.stats().sockets, 1);
    drop(upgrade);
    assert_eq!(server.stats().sockets, 0);
    assert!(ask(&server, |request| *request.method_mut() = Method::POST).is_err());
    assert_eq!(server.stats().sockets, 0);
}

#[test]
fn upgrade_counts_towards_limits_until_dropped() {
    let server = server(|builder| builder.max_connections(2).max_connections_per_address(1));
    let from = |peer: &str| {
        let refused = |refused: Response<String>| refused.status().as_u16();
        server.upgrade(request(), Some(peer.parse().unwrap())).map_err(refused)
    };
    let one = from("10.0.0.1:1").unwrap();
    assert_eq!(from("10.0.0.1:2").unwrap_err(), 429);
    let _two = from("10.0.0.2:1").unwrap();
    assert_eq!(from("10.0.0.3:1").unwrap_err(), 503);
    assert!(!server.is_ready());
    drop(one);
    assert!(server.is_ready() && from("10.0.0.1:2").is_ok());
    let refused = server.stats().rejected_requests;
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), [(429, 1), (503, 1)]);
}

#[test]
fn async_hook_requires_upgrade_async() {
    let server = server(|builder| {
        builder.authorize_async(async |request| match request.query("token").as_deref() {
            Some("secret") => Ok(Claims::new()),
            _ => Err(Rejection::unauthorized("a token, please")),
        })
    });
    let ask = |uri: &str| {
        let mut request = request();
        *request.uri_mut() = uri.parse().unwrap();
        let mut upgrade = pin!(server.upgrade_async(request, None));
        match upgrade.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(upgrade)) => upgrade.response().status().as_u16(),
            Poll::Ready(Err(refused)) => refused.status().as_u16(),
            Poll::Pending => panic!("the hook is ready immediately"),
        }
    };
    assert_eq!((ask("/?token=secret"), ask("/?token=guess")), (101, 401));
    assert_eq!(status(&server, |_| {}), 500, "a synchronous upgrade cannot wait for it");
    assert_eq!(server.stats().sockets, 0);
}

#[test]
fn upgrades_after_shutdown_are_rejected() {
    let server = server(|builder| builder);
    server.shutdown();
    assert_eq!(status(&server, |_| {}), 503);
}

#[test]
fn trusted_proxy_reports_client_address() {
    let server = server(|builder| {
        builder.trust_proxy("10.0.0.0/8").authorize(|request| {
            match request.peer().map(|peer| peer.ip().to_string()).as_deref() {
                Some("1.2.3.4") => Ok(Claims::new()),
                _ => Err(Rejection::forbidden("not you")),
            }
        })
    });
    let accepts = |peer: &str| {
        let mut request = request();
        request.headers_mut().insert("x-forwarded-for", "6.6.6.6, 1.2.3.4".parse().unwrap());
        server.upgrade(request, Some(peer.parse().unwrap())).is_ok()
    };
    assert!(accepts("10.1.2.3:99"));
    assert!(!accepts("11.1.2.3:99"));
    assert!(accepts("1.2.3.4:99"), "the header of an untrusted peer is ignored");
}

#[test]
fn invalid_proxy_is_build_error() {
    let error = Server::builder().trust_proxy("proxy.example").build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"proxy.example\" is not a proxy; write it as 10.0.0.1, 10.0.0.0/8, fd00::/8 or unix"
    );
}
