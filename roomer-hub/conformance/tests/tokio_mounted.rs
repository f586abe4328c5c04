//! Tests a server that is mounted in an axum application.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::tokio_runtime::{in_time, runtime};
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use roomer_tokio::{Builder, Claims, Rejection, Server, WarningReason, mount};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use roomer_conformance::client::{Client, Received, TIMEOUT};
use roomer_conformance::http::{HttpRequest, dial};
use roomer_conformance::wire;

/// An axum application that contains a server. It runs on its own runtime.
struct TestServer {
    server: Server,
    addr: SocketAddr,
    runtime: Runtime,
}

impl TestServer {
    fn start(choose: impl FnOnce(Builder) -> Builder) -> TestServer {
        let server = choose(Server::builder()).build().unwrap();
        let app = Router::new()
            .route("/", get(async || "hello"))
            .route_service("/chat/{room}", mount(server.clone()))
            .route_service("/ws", mount(server.clone()))
            .layer(from_fn(async |mut request: Request, next: Next| {
                let address = request.extensions().get::<ConnectInfo<SocketAddr>>().copied();
                request.extensions_mut().insert(address.unwrap().0);
                if let Some(name) = request.headers().get("x-name") {
                    let name = name.to_str().unwrap().to_owned();
                    let by = ("by".to_owned(), "middleware".to_owned());
                    request.extensions_mut().insert(Claims::from([("name".into(), name), by]));
                }
                next.run(request).await
            }))
            .into_make_service_with_connect_info::<SocketAddr>();
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        runtime.spawn(async { axum::serve(listener, app).await });
        TestServer { server, addr, runtime }
    }

    fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Waits until no connection is left.
    fn drained(&self) {
        in_time(&self.runtime, self.server.drained());
        assert_eq!(self.server.stats().sockets, 0);
    }
}

#[test]
fn members_of_mounted_server_receive_messages() {
    let test = TestServer::start(|builder| builder);
    let mut ann = test.client();
    let mut bob = test.client();
    ann.expect_new_member("root", &bob.id);
    for length in [0, 100, 70_000, 2_000_000] {
        let payload = wire::filler(length);
        ann.send_to_room("root", "note", &payload);
        bob.expect("root", "note", "", &ann.id, &payload);
    }
    let id = ann.id.clone();
    ann.close();
    bob.expect_member_left("root", &id);
    bob.close();
    test.drained();
}

#[test]
fn other_routes_are_left_to_framework() {
    let test =
        TestServer::start(|builder| builder.path("/elsewhere").page("/page", "text/plain", "page"));
    let plain = |target| HttpRequest::plain(test.addr).target(target).add("Connection", "close");
    let answer = plain("/").rejected(test.addr);
    assert_eq!((answer.status, &*answer.body), (200, &b"hello"[..]));
    assert_eq!(plain("/page").rejected(test.addr).status, 404);
    assert_eq!(plain("/elsewhere").rejected(test.addr).status, 404);
    let ask = HttpRequest::upgrade(test.addr).target("/chat/lobby");
    Client::upgrade(dial(test.addr), &ask).close();
}

#[test]
fn non_handshake_requests_are_rejected() {
    let test = TestServer::start(|builder| {
        builder.authorize(|request| match request.header("x-token") {
            Some("wrong") => Err(Rejection::unauthorized("a token, please")),
            _ => Ok(Claims::new()),
        })
    });
    let close = |ask: HttpRequest| ask.add("Connection", "close").rejected(test.addr);
    assert_eq!(close(HttpRequest::plain(test.addr)).status, 400);
    assert_eq!(close(HttpRequest::plain(test.addr).add("X-Token", "wrong")).status, 401);
    let post = close(HttpRequest::upgrade(test.addr).method("POST"));
    assert_eq!((post.status, post.header("allow")), (405, Some("GET")));
    assert_eq!(
        close(HttpRequest::upgrade(test.addr).add("Origin", "https://evil.example")).status,
        403
    );
    assert_eq!(close(HttpRequest::upgrade(test.addr).without("Sec-WebSocket-Key")).status, 400);
    let head = HttpRequest::upgrade(test.addr).head(test.addr);
    assert_eq!(head.header("sec-websocket-accept"), Some(roomer_conformance::http::ACCEPT));
    test.drained();
}

#[test]
fn frames_sent_with_request_are_handled_in_order() {
    let test = TestServer::start(|builder| builder);
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
fn middleware_and_hook_may_both_identify_user() {
    let test = TestServer::start(|builder| {
        builder
            .trust_proxy("127.0.0.1")
            .authorize(|request| {
                // The hook can read values that the middleware has added to the request.
                let earlier = request.head().extensions().get::<Claims>();
                assert_eq!(earlier.is_some(), request.header("x-name").is_some());
                let peer = request.peer().map(|peer| peer.ip().to_string());
                let peer = peer.unwrap_or_default();
                Ok(Claims::from([("peer".into(), peer), ("by".into(), "hook".into())]))
            })
            .on("who", |conn, message| {
                let claims = format!("{:?}", conn.claims().expect("claims"));
                conn.send_to_client(message.src, "you", claims.as_bytes());
                Ok(())
            })
    });
    let plain = HttpRequest::upgrade(test.addr);
    for (ask, claims) in [
        (plain.clone(), r#"{"by": "hook", "peer": "127.0.0.1"}"#),
        (
            plain.add("X-Name", "ann").add("X-Forwarded-For", "6.6.6.6, 1.2.3.4"),
            r#"{"by": "hook", "name": "ann", "peer": "1.2.3.4"}"#,
        ),
    ] {
        let mut client = Client::upgrade(dial(test.addr), &ask);
        client.send_to_room("root", "who", b"");
        assert_eq!(client.expect_packet().payload, claims.as_bytes());
        client.close();
        test.drained();
    }
}

#[test]
fn middleware_may_identify_user_without_hook() {
    let test = TestServer::start(|builder| {
        builder.on("who", |conn, message| {
            let claims = format!("{:?}", conn.claims());
            conn.send_to_client(message.src, "you", claims.as_bytes());
            Ok(())
        })
    });
    let plain = HttpRequest::upgrade(test.addr);
    let ann = r#"Some({"by": "middleware", "name": "ann"})"#;
    for (ask, claims) in [(plain.clone(), "None"), (plain.add("X-Name", "ann"), ann)] {
        let mut client = Client::upgrade(dial(test.addr), &ask);
        client.send_to_room("root", "who", b"");
        assert_eq!(client.expect_packet().payload, claims.as_bytes());
        client.close();
    }
}

#[test]
fn timers_run_while_connections_exist() {
    let period = Duration::from_millis(50);
    let test = TestServer::start(|builder| builder.ping_interval(period).pong_timeout(TIMEOUT));
    for _ in 0..3 {
        let mut client = test.client();
        for _ in 0..2 {
            assert_eq!(client.receive(), Received::Ping(Vec::new()));
        }
        client.reset();
        test.drained();
    }
}

#[test]
fn silent_client_is_closed() {
    let ms = Duration::from_millis;
    let test = TestServer::start(|builder| builder.ping_interval(ms(100)).pong_timeout(ms(400)));
    let mut silent = test.client();
    loop {
        match silent.receive() {
            Received::Ping(_) => {}
            Received::Close(code, _) => break assert_eq!(code, Some(1013)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn shutdown_closes_all_and_accepts_none() {
    let test = TestServer::start(|builder| builder);
    let mut client = test.client();
    test.server.shutdown();
    client.send(&wire::close(1000, ""));
    client.expect_close(1001);
    let late = HttpRequest::upgrade(test.addr).head(test.addr);
    assert_eq!(late.status, 503);
    test.drained();
}

#[test]
fn drain_works_with_timers_run_by_connections() {
    let test = TestServer::start(|builder| builder.drain(TIMEOUT * 2, 20).max_connections(3));
    let clients = [(); 3].map(|()| test.client());
    assert_eq!(HttpRequest::upgrade(test.addr).head(test.addr).status, 503, "it is full");
    let drained = std::thread::scope(|scope| {
        let drain = scope.spawn(|| in_time(&test.runtime, test.server.drain()));
        for mut client in clients {
            while let Received::Packet(_) = client.receive() {}
        }
        drain.join().unwrap()
    });
    assert_eq!((drained.closed, drained.aborted), (3, 0));
    assert_eq!(test.server.stats().rejected_requests[&503], 1);
    test.drained();
}

#[test]
fn slow_hook_is_bounded_by_timeout() {
    // A busy machine may need a while, even for hooks that return immediately.
    let [long, short] = [TIMEOUT * 10, Duration::from_secs(1)].map(|limit| {
        TestServer::start(|builder| {
            builder.handshake_timeout(limit).authorize_async(async |request| {
                tokio::task::yield_now().await;
                match request.query("name").as_deref() {
                    Some("ann") => Ok(Claims::new()),
                    Some("bug") => panic!("a bug in the hook"),
                    Some("slow") => std::future::pending().await,
                    _ => Err(Rejection::unauthorized("who are you?")),
                }
            })
        })
    });
    let status = |test: &TestServer, name| {
        let ask = HttpRequest::upgrade(test.addr).target(&format!("/ws?name={name}"));
        ask.head(test.addr).status
    };
    assert_eq!(["ann", "bug", "eve"].map(|name| status(&long, name)), [101, 500, 401]);
    assert_eq!(status(&short, "slow"), 503);
    long.drained();
    short.drained();
}

/// Starts an application like the one in the README, without middleware. Returns the warnings of
/// its server.
fn plain_app(
    choose: impl FnOnce(Builder) -> Builder,
    serve: impl FnOnce(&Runtime, TcpListener, Router),
) -> (SocketAddr, Runtime, Receiver<String>) {
    let (sender, warnings) = channel();
    let builder = choose(Server::builder()).on_warning(move |warning| match warning.reason {
        // Ignore warnings about the limit on descriptors, which depends on the machine.
        WarningReason::Descriptors { .. } => {}
        _ => drop(sender.send(warning.to_string())),
    });
    let app = Router::new().route_service("/ws", mount(builder.build().unwrap()));
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    serve(&runtime, listener, app);
    (addr, runtime, warnings)
}

#[test]
fn axum_connect_info_is_found_without_middleware() {
    let serve = |runtime: &Runtime, listener, app: Router| {
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        runtime.spawn(async { axum::serve(listener, app).await });
    };
    let (addr, _runtime, warnings) =
        plain_app(|builder| builder.max_connections_per_address(2), serve);
    let _in = [(); 2].map(|()| Client::connect(addr));
    for _ in 0..3 {
        assert_eq!(HttpRequest::upgrade(addr).head(addr).status, 429);
    }
    assert!(warnings.try_recv().unwrap().contains("max_connections_per_address(2)"));

    let behind = |builder: Builder| builder.max_connections_per_address(1).trust_proxy("127.0.0.1");
    let (addr, _runtime, _) = plain_app(behind, serve);
    let by = |client| HttpRequest::upgrade(addr).add("X-Forwarded-For", client);
    let _in = ["1.2.3.4", "5.6.7.8"].map(|client| Client::upgrade(dial(addr), &by(client)));
    assert_eq!(by("1.2.3.4").head(addr).status, 429);
}

#[test]
fn address_options_are_rejected_without_addresses() {
    let serve = |runtime: &Runtime, listener, app| {
        runtime.spawn(async { axum::serve(listener, app).await });
    };
    for (option, choose) in [
        (
            "max_connections_per_address",
            (|builder| builder.max_connections_per_address(2)) as fn(Builder) -> Builder,
        ),
        ("trust_proxy", |builder| builder.trust_proxy("127.0.0.1")),
    ] {
        let (addr, _runtime, warnings) = plain_app(choose, serve);
        let answer = HttpRequest::upgrade(addr).add("Connection", "close").rejected(addr);
        let body = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 500, "{body}");
        let warning = warnings.recv_timeout(TIMEOUT).unwrap();
        for text in [body, warning] {
            let remedy = "into_make_service_with_connect_info::<SocketAddr>()";
            assert!(text.contains(option) && text.contains(remedy), "{text}");
        }
    }
    // The limits that apply by default count all clients without an address together.
    let (addr, _runtime, warnings) = plain_app(|builder| builder, serve);
    Client::connect(addr).close();
    assert!(warnings.try_recv().is_err());
}

#[test]
fn inapplicable_options_are_named() {
    let (_, _, warnings) = plain_app(
        |builder| {
            let builder = builder.path("/chat").page("/", "text/plain", "").health("/l", "/r");
            builder.max_handshakes(9).max_handshakes_per_address(9)
        },
        |_, _, _| {},
    );
    let warning = warnings.try_recv().unwrap();
    let options = "ignores path, page, health, max_handshakes, max_handshakes_per_address:";
    assert!(warning.contains(options), "{warning}");
    let (_, _, warnings) = plain_app(|builder| builder, |_, _, _| {});
    assert!(warnings.try_recv().is_err());
}
