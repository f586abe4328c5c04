//! Tests the webhooks through which `roomer serve` authorizes clients and joins.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::support::hook::{Asked, Hook, Reply};
use crate::support::tokens::now;
use crate::support::{self, Serving, TempFile, handshake, roomer, run, succeeds};
use roomer_conformance::http::refusing_port;
use roomer_tokio::rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustix::process::Signal;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

const SECRET: &str = "a-secret-that-both-sides-know-----";

fn secret_file() -> TempFile {
    TempFile::new("webhooks", format!("{SECRET}\n"))
}

fn start(secret: &TempFile, args: &[&str]) -> Serving {
    Serving::start(&[&["--webhooks-secret", secret.path()], args].concat())
}

/// Requests an upgrade.
fn connect(serving: &Serving, query: &str) -> TcpStream {
    let host = serving.url.trim_start_matches("ws://").trim_end_matches("/ws");
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET /ws{query} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .unwrap();
    stream
}

/// Returns the value of a metric.
fn metric(serving: &Serving, name: &str) -> u64 {
    let page = serving.get("/metrics");
    let line = page.text().lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name}: {}", page.text())).parse().unwrap()
}

fn requests(serving: &Serving, webhook: &str, result: &str) -> u64 {
    let labels = format!("{{webhook=\"{webhook}\",result=\"{result}\"}}");
    metric(serving, &format!("roomer_webhook_requests_total{labels}"))
}

#[test]
fn webhook_answer_becomes_login() {
    let secret = secret_file();
    let hook = Hook::start(|asked: &Asked| match asked.json()["token"].as_str() {
        Some("ann") => Reply::Json(
            200,
            json!({ "user": "ann", "info": { "name": "Ann" }, "exp": now(600), "rooms": ["lobby"] }),
        ),
        Some("guest") => Reply::Json(200, json!({})),
        Some("nulls") => {
            Reply::Json(200, json!({ "user": null, "info": null, "exp": null, "rooms": null }))
        }
        Some("late") => Reply::Json(200, json!({ "exp": now(-1) })),
        _ => Reply::Json(401, json!({ "message": "who\u{1b}\n are you?" })),
    });
    let args = ["--webhooks-authorize", &hook.address, "--webhooks-headers", "Cookie,X-None"];
    let serving = start(&secret, &args);
    let query = "?a=1&a=2&b=%C3%A4&%74oken=ann&roomer=1&session=secret&received=0";
    let headers = "Cookie: sid=1\r\nX-Other: 2\r\n";
    assert_eq!(handshake(&serving, query, headers).0, 101);
    let asked = hook.next();
    assert!(asked.is_signed_with(SECRET.as_bytes()) && !asked.is_signed_with(b"another"));
    assert!(asked.head.starts_with("POST /hook HTTP/1.1\r\n"), "{}", asked.head);
    assert_eq!(asked.header("content-type"), Some("application/json"));
    let expected = json!({
        "type": "authorize", "address": "127.0.0.1", "path": "/ws", "token": "ann",
        "query": { "a": "1", "b": "ä" }, "headers": { "cookie": "sid=1" },
    });
    assert_eq!(asked.json(), expected);
    // The login follows from the webhook's answer.
    let _tail = support::Tail::start(&serving, "lobby", &["--token", "ann"]);
    let listed = run(&["members", &serving.url, "lobby", "--json", "--token", "guest"]);
    let listed: Value = serde_json::from_str(&succeeds(&listed)).unwrap();
    assert_eq!((&listed["user"], &listed["info"]["name"]), (&json!("ann"), &json!("Ann")));
    let elsewhere = run(&["send", &serving.url, "other", "x", "y", "--token", "ann"]);
    let error = String::from_utf8(elsewhere.stderr).unwrap();
    assert!(error.contains("rejected the join"), "{error}");
    assert_eq!(handshake(&serving, "?token=nulls", "").0, 101);
    // The webhook rejects these clients.
    assert_eq!(handshake(&serving, "?token=bob", ""), (401, "who are you?".into()));
    assert_eq!(handshake(&serving, "?token=late", "").0, 401);
    for status in [403, 429] {
        hook.decides(move |_| Reply::Json(status, json!("no object")));
        assert_eq!(handshake(&serving, "", "").0, status);
    }
    // A time above a day is a mistake of the webhook, and would keep clients from returning.
    for (after, passed) in [(77, 77), (u64::MAX, 86_400)] {
        let busy =
            format!("HTTP/1.1 429 X\r\nRetry-After: {after}\r\nContent-Length: 2\r\n\r\n{{}}");
        hook.decides(move |_| Reply::Raw(busy.clone().into()));
        let answer = support::Answer::read(&mut connect(&serving, ""));
        let expected = format!("retry-after: {passed}\r\n");
        assert!(answer.status == 429 && answer.head.contains(&expected), "{}", answer.head);
    }
    assert_eq!(requests(&serving, "authorize", "refused"), 5);
    assert_eq!(requests(&serving, "authorize", "failed"), 0);
}

#[test]
fn webhook_renews_expiring_login() {
    let secret = secret_file();
    let hook = Hook::start(|_| Reply::Json(200, json!({ "user": "ann", "exp": now(6) })));
    let serving = start(&secret, &["--webhooks-authorize", &hook.address]);
    let tail = support::Tail::start(&serving, "lobby", &["--token", "of-ann"]);
    let renewal = loop {
        let asked = hook.next().json();
        if asked["type"] == "renew" {
            break asked;
        }
    };
    let id = &renewal["id"];
    assert_eq!(renewal, json!({ "type": "renew", "id": id, "user": "ann", "token": "of-ann" }));
    drop(tail);
}

/// Returns replies that do not contain a decision.
fn failures(elsewhere: &str) -> Vec<Reply> {
    let raw = |text: String| Reply::Raw(text.into_bytes());
    let moved = |status: u16| {
        raw(format!(
            "HTTP/1.1 {status} X\r\nLocation: {elsewhere}\r\nContent-Length: 2\r\n\r\n{{}}"
        ))
    };
    let ok = "HTTP/1.1 200 OK\r\n";
    let long = "x".repeat(200_000);
    vec![
        Reply::Hang,
        Reply::Close,
        Reply::Json(200, json!([])),
        Reply::Json(200, json!("secret-text")),
        Reply::Json(200, json!({ "room": ["lobby"] })),
        Reply::Json(200, json!({ "rooms": "lobby" })),
        Reply::Json(200, json!({ "exp": "soon" })),
        // This time is in milliseconds: read as seconds, it would be thousands of years from now.
        Reply::Json(200, json!({ "exp": now(600) * 1000 })),
        Reply::Json(200, json!({ "user": "" })),
        Reply::Json(200, json!({ "user": "u".repeat(300) })),
        Reply::Json(200, json!({ "info": "i".repeat(3000) })),
        Reply::Json(200, json!({ "user": long })),
        Reply::Json(201, json!({})),
        Reply::Json(204, json!({})),
        Reply::Json(404, json!({})),
        Reply::Json(500, json!({})),
        moved(301),
        moved(302),
        moved(307),
        raw("garbage\r\n\r\n{}".into()),
        raw(format!("{ok}Content-Length: 2\r\n\r\n{{")),
        raw(format!("{ok}X: {long}\r\n\r\n{{}}")),
        raw(format!("{ok}Content-Length: 2\r\n\r\n[[").replace("[[", "\u{7}}")),
        raw(ok.into()),
    ]
}

#[test]
fn undecided_webhook_rejects_client_and_logs_no_secrets() {
    let secret = secret_file();
    let other = Hook::start(|_| Reply::Json(200, json!({})));
    let hook = Hook::start(|_| Reply::Hang);
    let args = ["--webhooks-authorize", &hook.address, "--webhooks-timeout", "4s"];
    let mut serving = start(&secret, &[&args[..], &["--log-level", "debug"]].concat());
    let failures = failures(&other.address);
    let count = failures.len() as u64;
    for (index, reply) in failures.into_iter().enumerate() {
        let reply = Mutex::new(Some(reply));
        // If the service closes the connection, the request is repeated.
        hook.decides(move |_| reply.lock().unwrap().take().unwrap_or(Reply::Close));
        let answer = handshake(&serving, "?token=token-of-a-client", "");
        assert_eq!(answer, (503, "the login cannot be checked now".into()), "{index}");
    }
    assert_eq!(requests(&serving, "authorize", "failed"), count);
    assert!(other.arrived().is_empty(), "a redirection was followed");
    // The webhook is called for every client.
    hook.decides(|_| Reply::Json(200, json!({})));
    assert_eq!(handshake(&serving, "", "").0, 101);
    serving.signal(Signal::TERM);
    let log = serving.rest_of_log();
    assert!(log.contains("a webhook failed"), "{log}");
    for word in ["token-of-a-client", SECRET, "secret-text", "roomer-signature"] {
        assert!(!log.contains(word), "{log}");
    }
}

/// A service may close an idle connection at the moment when the next request is sent on it.
#[test]
fn request_on_closed_connection_is_repeated() {
    let (secret, is_kept) = (secret_file(), AtomicBool::new(false));
    let hook = Hook::start(move |_| match is_kept.fetch_not(Ordering::Relaxed) {
        true => Reply::Close,
        false => Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".into()),
    });
    let serving = start(&secret, &["--webhooks-authorize", &hook.address]);
    for requests in [1, 2, 2] {
        assert_eq!(handshake(&serving, "", ""), (101, String::new()));
        assert_eq!(hook.arrived().len(), requests);
    }
    assert_eq!(self::requests(&serving, "authorize", "failed"), 0);
}

#[test]
fn unreachable_webhook_rejects_clients() {
    let secret = secret_file();
    let (_held, port) = refusing_port();
    let address = format!("http://127.0.0.1:{port}/");
    let serving =
        start(&secret, &["--webhooks-authorize", &address, "--webhooks-may-join", &address]);
    assert_eq!(handshake(&serving, "", "").0, 503);
    assert_eq!(requests(&serving, "authorize", "failed"), 1);
}

#[test]
fn webhook_certificate_is_verified() {
    let (secret, (certificate, key)) = (secret_file(), support::certificate());
    let chain = vec![CertificateDer::from_pem_file(certificate.path()).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key.path()).unwrap();
    let tls = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let tls = Arc::new(tls);
    let accept = move |stream: TcpStream| {
        Some(StreamOwned::new(ServerConnection::new(tls.clone()).unwrap(), stream))
    };
    let hook = Hook::start_with(|_| Reply::Json(200, json!({})), accept);
    let address = hook.address.replace("http://127.0.0.1", "https://localhost");
    let start = |authority: Option<&str>| {
        let args = ["serve", "--webhooks-secret", secret.path(), "--webhooks-authorize", &address];
        let mut command = roomer(&args);
        authority.map(|file| command.env("SSL_CERT_FILE", file));
        Serving::start_with(&mut command)
    };
    assert_eq!(handshake(&start(None), "", "").0, 503);
    assert!(hook.arrived().is_empty(), "a request was sent");
    assert_eq!(handshake(&start(Some(certificate.path())), "", "").0, 101);
    assert!(hook.next().is_signed_with(SECRET.as_bytes()));
}

#[test]
fn requests_above_limit_wait_and_joins_have_own_limit() {
    let secret = secret_file();
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let closed = gate.clone();
    let hook = Hook::start(move |asked: &Asked| match asked.json() {
        asked if asked["type"] == "may_join" => Reply::Json(200, json!({ "allow": true })),
        asked if asked["token"] == "fast" => Reply::Json(200, json!({})),
        _ => {
            let (is_open, opened) = &*closed;
            drop(opened.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
            Reply::Json(200, json!({}))
        }
    });
    let args = ["--webhooks-authorize", &hook.address, "--webhooks-may-join", &hook.address];
    let more = ["--webhooks-concurrency", "2", "--webhooks-timeout", "1m"];
    let times = ["--timeouts-handshake", "1m"];
    let serving = start(&secret, &[&args[..], &more, &times].concat());
    // Connect before the other clients, and join while they wait.
    let mut talk = roomer(&["send", &serving.url, "lobby", "chat", "--lines", "--token", "fast"]);
    let mut talk = talk.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (first, second) = (hook.next(), hook.next());
    assert_eq!(
        (&first.json()["type"], &second.json()["type"]),
        (&json!("authorize"), &json!("may_join"))
    );
    drop(talk.stdin.take());
    assert!(talk.wait().unwrap().success());
    let waiting = [(); 3].map(|()| connect(&serving, "?token=slow"));
    let both = [hook.next(), hook.next()];
    assert!(both.iter().all(|asked| asked.json()["token"] == "slow"));
    // The server has a single thread. When it has responded to these requests, it must have handled
    // the third client as well.
    for _ in 0..50 {
        serving.get("/metrics");
    }
    assert!(hook.arrived().is_empty(), "the third does not wait");
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for mut client in waiting {
        let mut status = [0; 12];
        client.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 101");
    }
    assert_eq!(hook.next().json()["token"], "slow");
}

#[test]
fn pending_webhook_does_not_delay_other_clients() {
    let secret = secret_file();
    let hook = Hook::start(|asked: &Asked| match asked.json()["token"].as_str() {
        Some("slow") => Reply::Hang,
        _ => Reply::Json(200, json!({})),
    });
    let args = ["--webhooks-authorize", &hook.address, "--webhooks-timeout", "1m"];
    let serving = start(&secret, &args);
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let stream = connect(&serving, "?token=slow");
            assert_eq!(hook.next().json()["token"], "slow");
            stream
        })
        .collect();
    assert_eq!(handshake(&serving, "", "").0, 101);
    drop(waiting);
}

#[test]
fn queueing_does_not_count_towards_webhook_timeout() {
    let secret = secret_file();
    let hook = Hook::start(|asked: &Asked| match asked.json()["token"].as_str() {
        Some("slow") => Reply::Hang,
        _ => Reply::Json(200, json!({})),
    });
    let args = ["--webhooks-authorize", &hook.address, "--webhooks-timeout", "3s"];
    let more = ["--webhooks-concurrency", "1", "--timeouts-handshake", "1m"];
    let serving = start(&secret, &[args, more].concat());
    // These requests run sequentially, and each takes three seconds. The answer to the last request
    // must come within this time, even on a busy machine.
    let waiting = [(); 2].map(|()| connect(&serving, "?token=slow"));
    hook.next();
    assert_eq!(handshake(&serving, "", "").0, 101);
    drop(waiting);
}

#[test]
fn sighup_reloads_webhook_secret() {
    let secret = secret_file();
    let hook = Hook::start(|_| Reply::Json(200, json!({})));
    let mut serving = start(&secret, &["--webhooks-authorize", &hook.address]);
    std::fs::write(secret.path(), "too short").unwrap();
    serving.signal(Signal::HUP);
    let problem = serving.logged("cannot read the configuration again: all of the old one stays");
    assert!(problem["problem"].as_str().unwrap().contains("has 9 bytes"), "{problem}");
    assert_eq!(handshake(&serving, "", "").0, 101);
    assert!(hook.next().is_signed_with(SECRET.as_bytes()));
    std::fs::write(secret.path(), [b'n'; 32]).unwrap();
    serving.signal(Signal::HUP);
    serving.logged("configuration read again");
    assert_eq!(handshake(&serving, "", "").0, 101);
    assert!(hook.next().is_signed_with(&[b'n'; 32]));
}
