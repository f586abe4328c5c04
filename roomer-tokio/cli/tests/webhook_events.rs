//! Tests the events that `roomer serve` sends to a webhook.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::support::hook::{Asked, Hook, Reply};
use crate::support::socket::Socket;
use crate::support::{self, Serving, Tail, TempFile, handshake, run, succeeds};
use roomer_proto::PacketRef;
use rustix::process::Signal;
use serde_json::{Value, json};

const SECRET: &str = "a-secret-that-both-sides-know-----";

fn start(hook: &Hook, args: &[&str]) -> (TempFile, Serving) {
    let secret = TempFile::new("webhooks", SECRET);
    let own = ["--webhooks-secret", secret.path(), "--webhooks-events", &hook.address];
    let serving = Serving::start(&[&own[..], args].concat());
    (secret, serving)
}

/// Waits until a metric has this value.
fn wait_for(serving: &Serving, metric: &str, value: u64) {
    let line = format!("{metric} {value}");
    while !serving.get("/metrics").text().lines().any(|found| found == line) {
        std::thread::yield_now();
    }
}

const DROPPED: &str = "roomer_webhook_events_total{result=\"dropped\"}";
const DELIVERED: &str = "roomer_webhook_events_total{result=\"delivered\"}";
const WAITING: &str = "roomer_webhook_events_waiting";

fn ok() -> Reply {
    Reply::Json(200, json!({}))
}

/// Receives batches until `is_last` returns true for the last event. Returns all events.
fn events_until(hook: &Hook, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut events = Vec::new();
    while !events.last().is_some_and(&is_last) {
        let batch = hook.next();
        assert!(batch.is_signed_with(SECRET.as_bytes()));
        events.extend(batch.json()["events"].as_array().unwrap().iter().cloned());
    }
    events
}

/// Formats the fields of an event that are the same in each run: event, room, user and code.
fn outline(event: &Value) -> String {
    let text = |key: &str| match &event[key] {
        Value::Null => String::new(),
        Value::String(text) => format!(" {text}"),
        other => format!(" {other}"),
    };
    ["event", "room", "address", "by", "code"].map(text).concat().trim().to_owned()
}

#[test]
fn events_of_connection_arrive_in_order() {
    let hook = Hook::start(|_| ok());
    let (_secret, mut serving) = start(&hook, &["--webhooks-rooms", "lobby,team-*"]);
    succeeds(&run(&["send", &serving.url, "lobby", "chat", "hello"]));
    let events = events_until(&hook, |event| event["event"] == "disconnected");
    let outlines: Vec<_> = events.iter().map(outline).collect();
    let last = outlines.last().unwrap();
    assert_eq!(outlines[..3], ["connected 127.0.0.1", "joined lobby", "left lobby"]);
    assert!(last.starts_with("disconnected client"), "{last}");
    let id = &events[0]["id"];
    assert!(events.iter().all(|event| event["id"] == *id && event["at"].is_u64()));
    // The room does not match the patterns, so only the connection and its end are reported.
    succeeds(&run(&["send", &serving.url, "other", "chat", "hello"]));
    let more = events_until(&hook, |event| event["event"] == "disconnected");
    assert_eq!(more.len(), 2, "{more:?}");
    let numbers: Vec<_> =
        events.iter().chain(&more).map(|event| event["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=6).collect::<Vec<_>>());
    wait_for(&serving, DELIVERED, 6);
    wait_for(&serving, WAITING, 0);
    // Connections that a shutdown ends are reported too.
    let tail = Tail::start(&serving, "team-1", &[]);
    let id = tail.id();
    serving.signal(Signal::TERM);
    let is_end = |event: &Value| event["event"] == "disconnected" && event["id"] == id.as_str();
    let events = events_until(&hook, is_end);
    assert_eq!(outline(events.last().unwrap()), "disconnected server 1012");
    let log = serving.rest_of_log();
    assert!(!log.contains("dropped") && log.contains("stopped"), "{log}");
    assert!(serving.wait().success());
}

#[test]
fn only_configured_kinds_of_events_are_sent() {
    let hook = Hook::start(|_| ok());
    let (_secret, serving) = start(&hook, &["--webhooks-kinds", "joined"]);
    for room in ["a", "b"] {
        succeeds(&run(&["send", &serving.url, room, "chat", "hello"]));
        let events = events_until(&hook, |_| true);
        assert_eq!(outline(&events[0]), format!("joined {room}"));
        assert_eq!(events.len(), 1);
    }
}

#[test]
fn failed_request_is_retried_before_later_events() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let hook = Hook::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::Close,
        1 => Reply::Json(500, json!({})),
        2 => Reply::Raw(b"HTTP/1.1 302 X\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n".into()),
        3 => Reply::Raw(b"garbage\r\n\r\n".into()),
        4 => Reply::Hang,
        // The response has too many bytes, but the receiver has accepted the events.
        5 => Reply::Json(202, json!("x".repeat(200_000))),
        _ => ok(),
    });
    let args = [
        "--webhooks-timeout",
        "300ms",
        "--webhooks-retry-after",
        "1ms",
        "--webhooks-retries",
        "50",
    ];
    let (_secret, serving) = start(&hook, &args);
    assert_eq!(handshake(&serving, "", "").0, 101);
    let first = hook.next();
    // A batch does not grow while its delivery is repeated.
    for _ in 0..5 {
        let again = hook.next().json();
        assert_eq!(again, first.json());
    }
    // The client's end may be reported late, so that no event waits before.
    wait_for(&serving, DELIVERED, 2);
    let mut batches = vec![first.json()];
    batches.extend(hook.arrived().iter().map(Asked::json));
    // If the answer is late on a busy machine, the delivery is repeated.
    batches.dedup();
    let events = batches.iter().flat_map(|batch| batch["events"].as_array().unwrap());
    let numbers: Vec<_> = events.map(|event| event["number"].clone()).collect();
    assert_eq!(numbers, [1, 2]);
    wait_for(&serving, DROPPED, 0);
}

#[test]
fn events_are_dropped_after_last_retry() {
    let hook = Hook::start(|_| Reply::Json(503, json!({})));
    let args = ["--webhooks-retries", "2", "--webhooks-retry-after", "1ms"];
    let more = ["--webhooks-kinds", "connected", "--webhooks-batch", "1"];
    let (_secret, mut serving) = start(&hook, &[&args[..], &more].concat());
    assert_eq!(handshake(&serving, "", "").0, 101);
    wait_for(&serving, DROPPED, 1);
    assert_eq!(hook.arrived().len(), 3);
    let logged = serving.logged("events dropped after the last repetition");
    assert_eq!(logged["dropped"], 1, "{logged}");
    hook.decides(|_| ok());
    assert_eq!(handshake(&serving, "", "").0, 101);
    assert_eq!(hook.next().json()["events"][0]["number"], 2);
    wait_for(&serving, DELIVERED, 1);
}

#[test]
fn full_queue_drops_events_without_delaying_clients() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let closed = gate.clone();
    let hook = Hook::start(move |_| {
        let (is_open, opened) = &*closed;
        drop(opened.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
        ok()
    });
    let args = ["--webhooks-queue", "3", "--webhooks-timeout", "1m"];
    let (_secret, mut serving) =
        start(&hook, &[&args[..], &["--webhooks-kinds", "connected"]].concat());
    assert_eq!(handshake(&serving, "", "").0, 101);
    let first = hook.next().json();
    assert_eq!(first["events"].as_array().unwrap().len(), 1);
    for _ in 0..10 {
        assert_eq!(handshake(&serving, "", "").0, 101);
    }
    wait_for(&serving, DROPPED, 7);
    wait_for(&serving, WAITING, 4);
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    let second = hook.next().json();
    let numbers: Vec<_> =
        second["events"].as_array().unwrap().iter().map(|event| &event["number"]).collect();
    assert_eq!(numbers, [2, 3, 4]);
    assert_eq!(first["process"], second["process"]);
    let logged = serving.logged("events dropped, since webhooks.queue or queue_bytes was full");
    assert_eq!(logged["dropped"], 7, "{logged}");
    assert_eq!(handshake(&serving, "", "").0, 101);
    // The gap between the numbers is the number of events that were dropped.
    assert_eq!(hook.next().json()["events"][0]["number"], 12);
}

#[test]
fn shutdown_wait_for_webhook_is_bounded() {
    let hook = Hook::start(|_| Reply::Hang);
    let (_secret, mut serving) = start(&hook, &["--webhooks-timeout", "300ms"]);
    assert_eq!(handshake(&serving, "", "").0, 101);
    hook.next();
    serving.signal(Signal::TERM);
    let logged = serving.logged("events dropped, since the server ended");
    assert!(logged["dropped"].as_u64().unwrap() >= 2, "{logged}");
    assert!(serving.wait().success());
}

#[test]
fn second_signal_ends_delivery_of_last_events() {
    let hook = Hook::start(|_| Reply::Hang);
    let (_secret, mut serving) = start(&hook, &["--webhooks-timeout", "10m"]);
    assert_eq!(handshake(&serving, "", "").0, 101);
    hook.next();
    serving.signal(Signal::TERM);
    serving.logged("drain ended");
    serving.signal(Signal::TERM);
    assert_eq!(serving.wait().code(), Some(128 + 15));
}

#[test]
fn message_events_are_sent_if_configured() {
    let hook = Hook::start(|_| ok());
    let file = TempFile::new(
        "messages.toml",
        "[webhooks]\nkinds = [\"message\"]\nmessage_events = [\"order*\"]\nrooms = [\"shop*\"]\n\
         [[room]]\npattern = \"shop-closed\"\npublish = \"none\"\n",
    );
    let (_secret, serving) = start(&hook, &[file.path()]);
    let send =
        |room: &str, event: &str, text: &str| run(&["send", &serving.url, room, event, text]);
    succeeds(&send("lobby", "order", "of another room"));
    succeeds(&send("shop-1", "chat", "another event"));
    assert!(!send("shop-closed", "order", "which a rule forbids").status.success());
    succeeds(&send("shop-1", "order-new", "a \"book\""));
    let raw = ["send", &serving.url, "shop-1", "order"];
    succeeds(&support::run_with(&[&raw[..], &["-"]].concat(), &[0xff, 0]));
    let told = events_until(&hook, |event| event["base64"] == "/wA=");
    assert_eq!(told.len(), 2, "{told:?}");
    let expected = [("event", "message"), ("room", "shop-1"), ("name", "order-new")];
    for (key, value) in expected {
        assert_eq!(told[0][key], value);
    }
    assert_eq!((&told[0]["text"], &told[0]["number"]), (&json!("a \"book\""), &json!(1)));
    assert!(told[0]["id"].is_string() && told[1]["name"] == "order");
}

#[test]
fn compat_reports_messages_of_non_members_in_rated_rooms() {
    let hook = Hook::start(|_| ok());
    let file = TempFile::new(
        "compat.toml",
        "compat = true\n[webhooks]\nkinds = [\"message\"]\n\
         [[room]]\npattern = \"shop\"\nrate = \"100 burst 1\"\n",
    );
    let (_secret, serving) = start(&hook, &[file.path()]);
    let socket = &mut Socket::open(&serving);
    for payload in [b"1", b"2"] {
        socket.send(&PacketRef { room: "shop", event: "order", dst: "", src: "", payload });
    }
    let told = events_until(&hook, |event| event["text"] == "2");
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn waiting_messages_are_limited_in_bytes() {
    let hook = Hook::start(|_| Reply::Hang);
    let args = ["--webhooks-kinds", "message", "--webhooks-queue-bytes", "1000"];
    let (_secret, serving) = start(&hook, &[&args[..], &["--webhooks-timeout", "10m"]].concat());
    let send =
        |bytes: usize| succeeds(&run(&["send", &serving.url, "a", "chat", &"x".repeat(bytes)]));
    send(500);
    hook.next();
    send(400);
    wait_for(&serving, WAITING, 2);
    send(400);
    wait_for(&serving, DROPPED, 1);
    send(50);
    wait_for(&serving, WAITING, 3);
}
