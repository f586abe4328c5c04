//! Tests the webhook that decides about joins.

use std::process::Stdio;
use std::sync::Mutex;

use crate::support::hook::{Asked, Hook, Reply};
use crate::support::{Serving, TempFile, roomer, run, succeeds};
use serde_json::{Value, json};

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
    let failures = Mutex::new(5);
    let hook = Hook::start(move |_| {
        let mut left = failures.lock().unwrap();
        if *left == 0 {
            return Reply::Json(200, json!({ "allow": true }));
        }
        *left -= 1;
        Reply::Json(503, json!({}))
    });
    let serving = start(&secret, &["--webhooks-may-join", &hook.address]);
    let mut tail = roomer(&["tail", &serving.url, "lobby"]).stdout(Stdio::null()).spawn().unwrap();
    let ids: Vec<_> = (0..6).map(|_| hook.next().json()["id"].clone()).collect();
    // After the fifth failure the client was closed, and has returned.
    assert!(ids[..5].iter().all(|id| *id == ids[0]) && ids[5] != ids[0], "{ids:?}");
    let listed = || succeeds(&run(&["members", &serving.url, "lobby", "--json"]));
    while !listed().contains(ids[5].as_str().unwrap()) {}
    tail.kill().unwrap();
    tail.wait().unwrap();
}
