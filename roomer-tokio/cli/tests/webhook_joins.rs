//! Tests the webhook that permits or denies joins.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::{Mutex, mpsc};

use roomer_conformance::client::{Client, Received};
use roomer_conformance::http::HttpRequest;
use serde_json::{Value, json};

use crate::support::hook::{Asked, Hook, Reply};
use crate::support::{Serving, TempFile, roomer, run, succeeds};

const SECRET: &str = "a-secret-that-both-sides-know-----";

fn secret_file() -> TempFile {
    TempFile::new("joins", format!("{SECRET}\n"))
}

fn start(secret: &TempFile, args: &[&str]) -> Serving {
    Serving::start(&[&["--webhooks-secret", secret.path()], args].concat())
}

/// Returns the number of the webhook's requests with this result.
fn requests(serving: &Serving, result: &str) -> u64 {
    let name =
        format!("roomer_webhook_requests_total{{webhook=\"may_join\",result=\"{result}\"}} ");
    let page = serving.get("/metrics");
    page.text().lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

/// Joins a room, and returns false if the join was rejected.
fn joins(serving: &Serving, room: &str) -> bool {
    let done = run(&["send", &serving.url, room, "chat", "hello"]);
    let error = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success() || error.contains("rejected the join"), "{room}: {error}");
    done.status.success()
}

fn address(serving: &Serving) -> SocketAddr {
    let url = serving.url.trim_start_matches("ws://");
    url.split('/').next().unwrap().parse().unwrap()
}

/// Connects a client with the extended protocol.
fn connected(serving: &Serving) -> Client {
    let addr = address(serving);
    let mut stream = TcpStream::connect(addr).unwrap();
    let request = HttpRequest::upgrade(addr).target("/ws?roomer=2");
    stream.write_all(&request.bytes()).unwrap();
    Client::unread(stream)
}

/// Connects a client with the extended protocol, and sends a join.
fn joining(serving: &Serving, room: &str) -> Client {
    let mut client = connected(serving);
    client.send_to_room(room, "join", b"");
    client
}

/// Returns the code and reason of the server's close.
fn close_of(client: &mut Client) -> (Option<u16>, String) {
    loop {
        match client.receive() {
            Received::Close(code, reason) => return (code, reason),
            Received::Packet(packet) => assert_ne!(packet.room, "lobby", "{packet:?}"),
            _ => {}
        }
    }
}

#[test]
fn join_needs_rules_and_webhook() {
    let secret = secret_file();
    let hook = Hook::start(|asked: &Asked| {
        Reply::Json(200, json!({ "allow": asked.json()["room"] == "team-open" }))
    });
    let file = TempFile::new("rules.toml", "[[room]]\npattern = \"team-none\"\njoin = \"none\"\n");
    let args = [file.path(), "--webhooks-may-join", &hook.address, "--webhooks-rooms", "team-*"];
    let serving = start(&secret, &args);
    assert!(joins(&serving, "team-open"));
    let asked = hook.next();
    assert!(asked.is_signed_with(SECRET.as_bytes()));
    let question = asked.json();
    assert_eq!((&question["type"], &question["user"]), (&json!("may_join"), &Value::Null));
    assert_eq!(question["id"].as_str().unwrap().len(), 36);
    assert!(!joins(&serving, "team-closed"));
    assert_eq!(hook.next().json()["room"], "team-closed");
    // The webhook is not called for joins that a rule denies, nor for other rooms.
    assert!(!joins(&serving, "team-none") && joins(&serving, "lobby"));
    assert!(hook.arrived().is_empty());
    let count = |result| requests(&serving, result);
    assert_eq!((count("accepted"), count("refused"), count("failed")), (1, 1, 0));
}

#[test]
fn undecided_join_is_asked_again() {
    let secret = secret_file();
    let hook = Hook::start(|_| Reply::Hang);
    let args = ["--webhooks-may-join", &hook.address, "--webhooks-timeout", "1s"];
    let serving = start(&secret, &args);
    let failures = [
        Reply::Hang,
        Reply::Json(200, json!({ "allow": "true" })),
        Reply::Json(200, json!({ "allow": true, "until": 1 })),
        Reply::Json(403, json!({ "allow": true })),
        Reply::Json(302, json!({ "allow": true })),
        Reply::Json(503, json!({ "allow": false })),
        Reply::Raw(b"{\"allow\": true}".into()),
    ];
    let count = failures.len() as u64;
    for (index, failure) in failures.into_iter().enumerate() {
        let failure = Mutex::new(Some(failure));
        hook.decides(move |_| match failure.lock().unwrap().take() {
            Some(failure) => failure,
            None => Reply::Json(200, json!({ "allow": index % 2 == 0 })),
        });
        assert_eq!(joins(&serving, "lobby"), index % 2 == 0, "{index}");
    }
    assert!(requests(&serving, "failed") >= count);
}

#[test]
fn join_succeeds_after_long_webhook_outage() {
    let secret = secret_file();
    // The webhook fails until the client has returned, with another id.
    let first = Mutex::new(None);
    let hook = Hook::start(move |asked: &Asked| {
        let id = asked.json()["id"].clone();
        match *first.lock().unwrap().get_or_insert_with(|| id.clone()) == id {
            true => Reply::Json(503, json!({})),
            false => Reply::Json(200, json!({ "allow": true })),
        }
    });
    let serving = start(&secret, &["--webhooks-may-join", &hook.address]);
    let mut tail = roomer(&["tail", &serving.url, "lobby"]).stdout(Stdio::null()).spawn().unwrap();
    let mut ids = vec![hook.next().json()["id"].clone()];
    while ids.last() == ids.first() {
        ids.push(hook.next().json()["id"].clone());
    }
    assert!(ids.len() > 3, "the join was not asked again: {ids:?}");
    let listed = || succeeds(&run(&["members", &serving.url, "lobby", "--json"]));
    while !listed().contains(ids.last().unwrap().as_str().unwrap()) {}
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn clients_of_undecided_joins_return_at_different_times() {
    let secret = secret_file();
    let hook = Hook::start(|_| Reply::Hang);
    let mut serving = start(&secret, &["--webhooks-may-join", &hook.address]);
    let close = |client: &mut Client| {
        let (code, reason) = close_of(client);
        assert_eq!(code, Some(1013));
        reason.strip_prefix("retry=").map(|wait| wait.parse::<u32>().unwrap())
    };
    // The clients wait at the same time, each for at most 10 s: for a request that takes 5 s, and for
    // a part of a second one.
    let mut first: Vec<_> = (0..10).map(|_| joining(&serving, "lobby")).collect();
    let mut waits: Vec<_> = first.iter_mut().filter_map(close).collect();
    waits.sort_unstable();
    waits.dedup();
    assert_eq!(waits.len(), first.len(), "{waits:?}");
    assert!(waits[0] < 2_000 && waits[9] > 8_000, "{waits:?}");
    let asked = hook.arrived().len();
    assert!(asked <= 2 * first.len(), "{asked} requests");
    serving.logged("joins do not wait for this webhook until it answers");
    // Since the webhook is down, only a few of these are sent to it. They are sent together, since
    // the webhook is tried again every 300 ms.
    let mut more: Vec<_> = (0..50).map(|_| connected(&serving)).collect();
    more.iter_mut().for_each(|client| client.send_to_room("lobby", "join", b""));
    assert_eq!(more.iter_mut().filter_map(close).count(), more.len());
    let asked = hook.arrived().len();
    assert!(asked < 10, "{asked} requests");
    hook.decides(|_| Reply::Json(200, json!({ "allow": true })));
    // One of these is sent to the webhook, and the others wait for the answer to it.
    let mut more: Vec<_> = (0..20).map(|_| joining(&serving, "lobby")).collect();
    for client in &mut more {
        while client.expect_packet().room != "lobby" {}
    }
    serving.logged("this webhook answers again");
}

#[test]
fn unanswerable_question_does_not_make_webhook_count_as_down() {
    let secret = secret_file();
    let hook = Hook::start(|asked: &Asked| match asked.json()["room"].as_str() {
        // This is the head of an answer whose body never arrives.
        Some("endless") => Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n".into()),
        _ => Reply::Json(200, json!({ "allow": true })),
    });
    let serving = start(&secret, &["--webhooks-may-join", &hook.address]);
    let mut client = joining(&serving, "endless");
    assert_eq!(close_of(&mut client).0, Some(1013));
    let mut client = joining(&serving, "lobby");
    while client.expect_packet().room != "lobby" {}
}

#[test]
fn kick_cancels_undecided_join() {
    let secret = secret_file();
    let (decide, decided) = mpsc::channel::<()>();
    let decided = Mutex::new(decided);
    let hook = Hook::start(move |_| {
        let _ = decided.lock().unwrap().recv();
        Reply::Json(200, json!({ "allow": true }))
    });
    let key = TempFile::new("key", "the-key-of-the-backend-1\n");
    let keys = format!("[[api_key]]\nname = \"backend\"\nfile = {:?}\n", key.path());
    let file = TempFile::new("keys.toml", keys);
    let serving = start(&secret, &[file.path(), "--webhooks-may-join", &hook.address]);
    let mut client = joining(&serving, "lobby");
    let id = hook.next().json()["id"].as_str().unwrap().to_owned();
    let kick = |room: &str| {
        let path = format!("/v1/rooms/{room}/members/{id}");
        let login = "Authorization: Bearer the-key-of-the-backend-1";
        serving.request("DELETE", &path, &[login], b"").status
    };
    assert_eq!((kick("other"), kick("lobby"), kick("lobby")), (404, 200, 404));
    drop(decide);
    // Packets that follow the join are handled after the decision.
    client.send_to_room("root", "leave", b"");
    let mut left = Vec::new();
    while left.last().is_none_or(|room| room != "root") {
        let packet = client.expect_packet();
        assert!(packet.room != "lobby" || packet.event == "leave_ack", "{packet:?}");
        if packet.event == "leave_ack" {
            left.push(packet.room);
        }
    }
    assert_eq!(left, ["lobby", "root"]);
}
