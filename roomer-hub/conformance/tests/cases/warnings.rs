//! Tests the warnings about rejected handshakes.
//!
//! Each is one line with the reason and the remedy; its rate is limited, and it contains no tokens.

use std::io::Write;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use roomer_engine::{Builder, Claims, Rejection, Warning, WarningReason};

use super::memory;
use super::test_server::TestServer;
use roomer_conformance::client::TIMEOUT;
use roomer_conformance::http::{HttpRequest, HttpResponse, KEY, dial};
use roomer_conformance::programs::until;

/// A server, and the receiver of its warnings.
struct Watched {
    test: TestServer,
    warnings: Receiver<Warning>,
}

impl Watched {
    fn with(choose: impl FnOnce(Builder) -> Builder) -> Watched {
        let (sender, warnings) = channel();
        let test = TestServer::with(|builder| {
            choose(builder).on_warning(move |warning| {
                // Ignore warnings about the limit on descriptors, which depends on the machine.
                if !matches!(warning.reason, WarningReason::Descriptors { .. }) {
                    let _ = sender.send(warning.clone());
                }
            })
        });
        Watched { test, warnings }
    }

    fn upgrade(&self) -> HttpRequest {
        HttpRequest::upgrade(self.test.addr)
    }

    /// Sends a request and checks the status of the response. Returns the text of the warning.
    #[track_caller]
    fn rejected(&self, ask: &HttpRequest, status: u16) -> String {
        assert_eq!(ask.head(self.test.addr).status, status);
        self.next()
    }

    #[track_caller]
    fn next(&self) -> String {
        let text = self.warnings.recv_timeout(TIMEOUT).expect("a warning in time").to_string();
        assert!(!text.contains("s3cret") && !text.contains("czNjcmV0"), "{text}");
        assert!(text.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "one line: {text:?}");
        text
    }

    /// Checks that no warning is pending.
    #[track_caller]
    fn silent(&self) {
        assert_eq!(self.warnings.try_recv(), Err(TryRecvError::Empty));
    }
}

#[track_caller]
fn assert_says<const N: usize>(text: &str, parts: [&str; N]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

#[test]
fn rejected_origin_warning_names_remedy() {
    let watched = Watched::with(|builder| builder);
    let host = watched.test.addr.to_string();
    let page = |origin| watched.upgrade().add("Origin", origin).target("/ws?token=s3cret");
    let text = watched.rejected(&page("http://localhost:5173"), 403);
    assert_says(&text, ["403", &host, "allow_origin(\"http://localhost:5173\")"]);
    // A warning that is repeated is reported only once.
    for _ in 0..5 {
        assert_eq!(page("http://localhost:5173").head(watched.test.addr).status, 403);
    }
    watched.silent();
}

#[test]
fn rejected_origin_is_reported() {
    let watched = Watched::with(|builder| builder);
    let text = watched.rejected(&watched.upgrade().add("Origin", "null"), 403);
    assert_says(&text, ["403", "sandboxed", "allow_origin(\"any\")"]);
}

#[test]
fn client_supplied_values_are_escaped_and_truncated() {
    let watched = Watched::with(|builder| builder);
    let origin = format!("http://a\u{e9}\t\"{}", "x".repeat(5_000));
    let text = watched.rejected(&watched.upgrade().add("Origin", &origin), 403);
    assert!(text.len() < 1_000, "{} bytes", text.len());
    let path = format!("/{}\\\"", "y".repeat(5_000));
    let text = watched.rejected(&watched.upgrade().target(&path), 404);
    assert!(text.len() < 1_000, "{} bytes", text.len());
}

#[test]
fn upgrade_at_wrong_path_names_right_path() {
    let watched = Watched::with(|builder| builder.path("/rooms"));
    // Requests for icons and similar files cause no warning.
    let icon = HttpRequest::plain(watched.test.addr).target("/favicon.ico");
    assert_eq!(icon.rejected(watched.test.addr).status, 404);
    watched.silent();
    let text = watched.rejected(&watched.upgrade().target("/chat?token=s3cret"), 404);
    assert_says(&text, ["404", "/chat", "/rooms"]);
}

#[test]
fn stripped_upgrade_header_warning_names_proxy_setting() {
    for ask in [
        |ask: HttpRequest| ask.without("Upgrade").set("Connection", "close"),
        |ask: HttpRequest| ask.without("Connection"),
        |ask: HttpRequest| ask.set("Connection", "keep-alive"),
    ] {
        let watched = Watched::with(|builder| builder);
        let text = watched.rejected(&ask(watched.upgrade()), 400);
        assert_says(&text, ["400", "proxy_set_header Upgrade $http_upgrade", "proxy_http_version"]);
    }
    // A browser that opens the address as a page causes no warning.
    let watched = Watched::with(|builder| builder);
    assert_eq!(HttpRequest::plain(watched.test.addr).rejected(watched.test.addr).status, 400);
    watched.silent();
    let old = format!("GET /ws HTTP/1.0\r\nHost: a\r\nSec-WebSocket-Key: {KEY}\r\n\r\n");
    std::io::Write::write_all(&mut dial(watched.test.addr), old.as_bytes()).unwrap();
    assert_says(&watched.next(), ["proxy_http_version 1.1"]);
}

#[test]
fn authorize_rejection_warning_omits_token() {
    let hook = |builder: Builder| {
        builder.authorize(|_| Err(Rejection::unauthorized("the card has expired")))
    };
    for (ask, with) in [
        ((|ask| ask) as fn(HttpRequest) -> HttpRequest, "without a token"),
        (|ask| ask.target("/ws?token=s3cret"), "with a token"),
        (|ask| ask.add("Authorization", "Bearer s3cret"), "with a token"),
        (|ask| ask.add("Sec-WebSocket-Protocol", "roomer, token.czNjcmV0"), "with a token"),
    ] {
        let watched = Watched::with(hook);
        let text = watched.rejected(&ask(watched.upgrade()), 401);
        assert_says(&text, ["401", "authorize", with, "the card has expired"]);
    }
    let later = Watched::with(|builder| {
        builder.authorize_async(async |_| Err(Rejection::new(402.try_into().unwrap(), "pay")))
    });
    let text = later.rejected(&later.upgrade().target("/ws?token=s3cret"), 402);
    assert_says(&text, ["402", "with a token"]);
}

#[test]
fn slow_hook_is_reported() {
    let watched = Watched::with(|builder| {
        let builder = builder.handshake_timeout(std::time::Duration::from_secs(2));
        builder.authorize_async(async |_| std::future::pending().await)
    });
    let status = until("no request arrives in time", || {
        let status = watched.upgrade().head(watched.test.addr).status;
        // A request that arrives after the timeout, as on a busy machine, gets 408, and there is no
        // warning.
        (status != 408).then_some(status)
    });
    assert_eq!(status, 503);
    let text = watched.next();
    assert_says(&text, ["503", "authorize_async", "handshake_timeout"]);
}

#[test]
fn reached_limits_are_reported() {
    let watched = Watched::with(|builder| builder.max_connections(1));
    let client = watched.test.client();
    let text = watched.rejected(&watched.upgrade(), 503);
    assert_says(&text, ["503", "max_connections(1)"]);
    drop(client);

    let watched = Watched::with(|builder| builder.max_connections_per_address(1));
    let client = watched.test.client();
    let retry = watched.upgrade().head(watched.test.addr).header("retry-after").map(str::to_owned);
    assert_eq!(retry.as_deref(), Some("5"));
    let text = watched.next();
    assert_says(&text, ["429", "max_connections_per_address(1)"]);
    assert!(!text.contains("trust_proxy"), "{text}");
    drop(client);

    let watched = Watched::with(|builder| builder.max_connections_per_address(1));
    let client = watched.test.client();
    let text = watched.rejected(&watched.upgrade().add("X-Forwarded-For", "1.2.3.4"), 429);
    assert_says(&text, ["429", "trust_proxy(\"127.0.0.1\")"]);
    drop(client);

    let watched = Watched::with(|builder| builder.max_handshakes_per_address(1));
    let silent = dial(watched.test.addr);
    while watched.test.server.stats().handshakes < 1 {
        std::thread::yield_now();
    }
    let text = watched.rejected(&watched.upgrade(), 429);
    assert_says(&text, ["429", "max_handshakes_per_address(1)"]);
    drop(silent);
}

#[test]
fn rejections_during_shutdown_are_not_reported() {
    let watched = Watched::with(|builder| builder);
    watched.test.server.shutdown();
    // If a request arrives a little later than its connection, the connection may already be cut,
    // and there is no response.
    let answer = until("no request is answered", || {
        let mut stream = dial(watched.test.addr);
        stream.write_all(&watched.upgrade().bytes()).ok()?;
        let has_answer = stream.peek(&mut [0]).is_ok_and(|size| size > 0);
        has_answer.then(|| HttpResponse::read_head(&mut stream).0)
    });
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
    watched.silent();
}

#[test]
fn missing_forwarded_address_is_reported_at_limit() {
    let watched =
        Watched::with(|builder| builder.trust_proxy("127.0.0.1").max_connections_per_address(1));
    let named = watched.upgrade().add("X-Forwarded-For", "1.2.3.4");
    assert_eq!(named.head(watched.test.addr).status, 101);
    watched.silent();
    assert_eq!(watched.upgrade().head(watched.test.addr).status, 101);
    assert_says(&watched.next(), ["127.0.0.1", "X-Forwarded-For", "max_connections_per_address"]);
}

#[test]
fn proxy_header_without_address_warning_has_own_remedy() {
    let watched = Watched::with(|builder| {
        builder.trust_proxy("127.0.0.1").proxy_protocol().max_connections_per_address(1)
    });
    let mut stream = dial(watched.test.addr);
    stream.write_all(&[b"PROXY UNKNOWN\r\n", &watched.upgrade().bytes()[..]].concat()).unwrap();
    assert_eq!(HttpResponse::read_head(&mut stream).0.status, 101);
    let text = watched.next();
    assert_says(&text, ["127.0.0.1", "PROXY header", "max_connections_per_address"]);
    assert!(!text.contains("X-Forwarded-For"), "{text}");
}

#[test]
fn unknown_subprotocol_warning_omits_names() {
    let watched = Watched::with(|builder| builder.subprotocol("chat.v2"));
    let ask = watched.upgrade().add("Sec-WebSocket-Protocol", "s3cret, chat.v1");
    assert_eq!(ask.head(watched.test.addr).status, 101);
    let text = watched.next();
    assert_says(&text, ["2 subprotocol", "subprotocol(\""]);
    assert!(!text.contains("chat.v1"), "{text}");
}

#[test]
fn missing_user_is_reported_once_if_users_are_limited() {
    let watched = Watched::with(|builder| {
        builder.max_connections_per_user(1).authorize(|request| {
            let claims = Claims::new();
            Ok(if request.token().is_some() { claims.user("ann") } else { claims })
        })
    });
    let ask = watched.upgrade().add("Authorization", "Bearer t");
    assert_eq!(ask.head(watched.test.addr).status, 101);
    watched.silent();
    let _both = [(); 2].map(|()| watched.test.client());
    assert_says(&watched.next(), ["max_connections_per_user", "user("]);
    watched.silent();
}

#[test]
fn failing_listener_is_reported() {
    let watched = Watched::with(|builder| builder);
    for _ in 0..3 {
        watched.test.server.record_accept_error(&std::io::Error::from_raw_os_error(24));
    }
    assert_says(&watched.next(), ["cannot accept", "os error 24"]);
    watched.silent();
}

#[test]
fn memory_budget_closes_are_reported() {
    let watched = Watched::with(memory::tight);
    let mut hoarders = Vec::new();
    while watched.test.server.stats().closes.is_empty() {
        assert!(hoarders.len() < 40, "{:?}", watched.test.server.stats());
        let mut client = watched.test.roomless_client();
        client.send(&memory::half(70_000));
        hoarders.push(client);
        watched.test.roomless_client().expect_nothing();
    }
    let budget = format!("memory_budget({})", memory::BUDGET);
    assert_says(&watched.next(), ["closed", "max_backlog", &budget]);
}

#[test]
fn panicking_hook_affects_no_other_connection() {
    let test = TestServer::with(|builder| {
        builder.authorize(|_| Ok(Claims::new())).on_warning(|_| panic!("a bug in the hook"))
    });
    let ask = HttpRequest::upgrade(test.addr).add("Origin", "http://elsewhere.example");
    assert_eq!(ask.rejected(test.addr).status, 403);
    test.client().close();
}
