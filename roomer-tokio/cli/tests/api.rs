//! Tests the HTTP API of `roomer serve`: its routes, and attacks on it.

use std::io::Write;
use std::net::TcpStream;

use crate::support::tokens::{SECRET, Signer, now};
use crate::support::{Answer, Serving, Tail, TempFile, roomer};
use serde_json::{Value, json};

const KEY: &str = "the-key-of-the-backend-1";
const OTHER: &str = "another-key-of-a-reader-2";

/// Starts a server with two keys. One has all rights; the other may read and publish, in rooms whose
/// names begin with `a`.
fn start() -> (Serving, TempFile) {
    let key = TempFile::new("key", format!("{KEY}\n"));
    let secret = TempFile::new("secret", SECRET);
    let hash = ring::digest::digest(&ring::digest::SHA256, OTHER.as_bytes());
    let hash = data_encoding::HEXLOWER.encode(hash.as_ref());
    let file = TempFile::new(
        "api.toml",
        format!(
            "anonymous = true\n[jwt]\nsecret = {:?}\n[[room]]\npattern = \"past*\"\nhistory = 2\n[limits]\nmax_message = 1000\nmax_name = 50\n\
             [[api_key]]\nname = \"backend\"\nfile = {:?}\n\
             [[api_key]]\nname = \"reader\"\nsha256 = \"{hash}\"\nrights = [\"read\", \"publish\"]\n\
             rooms = [\"a*\"]\n",
            secret.path(),
            key.path()
        ),
    );
    (Serving::start_with(roomer(&["serve"]).arg(file.path())), file)
}

fn call(serving: &Serving, method: &str, path: &str, body: &[u8]) -> Answer {
    call_as(serving, KEY, method, path, body)
}

fn call_as(serving: &Serving, key: &str, method: &str, path: &str, body: &[u8]) -> Answer {
    serving.request(method, path, &[&format!("Authorization: Bearer {key}")], body)
}

#[track_caller]
fn good(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[track_caller]
fn bad(answer: &Answer, status: u16, code: &str, words: &str) {
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["code"]), (status, &json!(code)), "{error}");
    assert!(error["message"].as_str().unwrap().contains(words), "{error}");
}

fn ann(serving: &Serving, room: &str) -> Tail {
    let claims = json!({ "exp": now(600), "sub": "ann", "info": { "name": "Ann" } });
    Tail::start(serving, room, &["--token", &Signer::secret().token(&claims)])
}

#[test]
fn messages_reach_rooms_connections_and_users() {
    let (serving, _file) = start();
    let mut tail = ann(&serving, "a/b c");
    let (id, room) = (tail.id(), "/v1/rooms/a%2Fb%20c");
    let publish = |body: &[u8]| call(&serving, "POST", &format!("{room}/messages/chat"), body);
    assert_eq!(good(&publish(&[0, 0xff, 10])), json!({ "members": 1 }));
    let message = tail.message();
    assert_eq!((&message["base64"], &message["event"]), (&json!("AP8K"), &json!("chat")));
    assert_eq!((&message["room"], &message["from"]), (&json!("a/b c"), &json!("")));
    good(&publish(b""));
    assert_eq!(tail.message()["text"], "");

    for (kind, value, text) in [
        ("text", json!("hällo"), "hällo"),
        ("json", json!({ "a": [1, null] }), r#"{"a":[1,null]}"#),
        ("json", json!(null), "null"),
        ("base64", json!("aGk="), "hi"),
    ] {
        let body = json!({ "rooms": ["a/b c", "empty"], "event": "news", kind: value });
        let answer = call(&serving, "POST", "/v1/broadcast", body.to_string().as_bytes());
        assert_eq!(good(&answer), json!({ "members": { "a/b c": 1, "empty": 0 } }));
        assert_eq!(tail.message()["text"], text);
    }
    let twice = br#"{"rooms":["a/b c","a/b c"],"event":"news","text":"once"}"#;
    good(&call(&serving, "POST", "/v1/broadcast", twice));
    assert_eq!(tail.message()["text"], "once");
    let to_conn = format!("/v1/connections/{id}/messages/mail");
    assert_eq!(good(&call(&serving, "POST", &to_conn, b"1")), json!({ "connections": 1 }));
    let to_user =
        |user: &str| call(&serving, "POST", &format!("/v1/users/{user}/messages/mail"), b"2");
    assert_eq!(good(&to_user("ann")), json!({ "connections": 1 }));
    assert_eq!(good(&to_user("bob")), json!({ "connections": 0 }));
    // Send to all clients except Ann.
    let but = format!("{room}/messages/chat?except={id}");
    good(&call(&serving, "POST", &but, b"not for ann"));
    good(&publish(b"last"));
    assert_eq!(tail.message()["text"], "last");
}

#[test]
fn rooms_members_and_connections_are_listed_and_removed() {
    let (serving, _file) = start();
    let tail = ann(&serving, "a1");
    let id = tail.id();
    let get = |path: &str| good(&call(&serving, "GET", path, b""));
    assert_eq!(get("/v1/rooms/a1"), json!({ "room": "a1", "members": 1 }));
    let listed = get("/v1/rooms?limit=1");
    assert_eq!(listed, json!({ "rooms": [{ "room": "a1", "members": 1 }], "more": true }));
    assert_eq!(get("/v1/rooms?after=a1")["rooms"][0]["room"], "root");
    assert_eq!(get("/v1/rooms?prefix=x"), json!({ "rooms": [], "more": false }));
    let other = Tail::start(&serving, "other", &[]);
    let largest = get("/v1/rooms?order=members&limit=2");
    assert_eq!(largest["rooms"][0]["room"], "root", "{largest}");
    assert_eq!(largest["rooms"][1]["room"], "a1", "as many as in other, {largest}");
    drop(other);
    bad(
        &call(&serving, "GET", "/v1/rooms?order=members&after=a", b""),
        400,
        "invalid",
        "order=name",
    );
    bad(&call(&serving, "GET", "/v1/rooms?order=size", b""), 400, "invalid", "unknown variant");
    let member = json!({ "id": id, "user": "ann", "info": { "name": "Ann" } });
    assert_eq!(get("/v1/rooms/a1/members"), json!({ "members": [member], "more": false }));
    let conn = get(&format!("/v1/connections/{id}"));
    assert_eq!((&conn["user"], &conn["rooms"]), (&json!("ann"), &json!(["a1", "root"])));
    assert!(conn["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(get("/v1/stats")["opened"].as_u64().unwrap() >= 1);

    let delete = |path: &str| call(&serving, "DELETE", path, b"");
    assert_eq!(good(&delete(&format!("/v1/rooms/root/members/{id}"))), json!({ "connections": 1 }));
    bad(&delete(&format!("/v1/rooms/root/members/{id}")), 404, "not_found", "not a member");
    assert_eq!(good(&delete("/v1/rooms/a1/users/ann")), json!({ "connections": 1 }));
    assert_eq!(get("/v1/rooms/a1")["members"], 0);
    // `roomer tail` ends when it is removed from its room, so close another client.
    let other = ann(&serving, "a2");
    let end = format!("/v1/connections/{}?code=4321&reason=enough", other.id());
    assert_eq!(good(&delete(&end)), json!({ "connections": 1 }));
    bad(&delete("/v1/users/ann?code=1006"), 400, "invalid", "3000 to 4999");
    bad(&delete(&format!("/v1/users/ann?reason={}", "x".repeat(124))), 400, "invalid", "123");
    bad(&delete("/v1/users/ann?cod=4000"), 400, "invalid", "unknown field");
    assert_eq!(good(&delete("/v1/users/bob")), json!({ "connections": 0 }));
}

#[test]
fn room_with_empty_name_is_addressed_like_others() {
    let (serving, _file) = start();
    let mut tail = ann(&serving, "");
    let get = |path: &str| good(&call(&serving, "GET", path, b""));
    assert_eq!(get("/v1/rooms/"), json!({ "room": "", "members": 1 }));
    assert_eq!(get("/v1/rooms//members")["members"][0]["id"], tail.id());
    assert_eq!(get("/v1/rooms//messages"), json!({ "messages": [] }));
    let publish = |key: &str| call_as(&serving, key, "POST", "/v1/rooms//messages/chat", b"1");
    assert_eq!(good(&publish(KEY)), json!({ "members": 1 }));
    bad(&publish(OTHER), 403, "forbidden", "not for the room");
    let body = br#"{"rooms":[""],"event":"chat","text":"2"}"#;
    good(&call(&serving, "POST", "/v1/broadcast", body));
    assert_eq!([tail.message()["text"].clone(), tail.message()["text"].clone()], ["1", "2"]);
    let kick = format!("/v1/rooms//members/{}", tail.id());
    assert_eq!(good(&call(&serving, "DELETE", &kick, b"")), json!({ "connections": 1 }));
    assert_eq!(get("/v1/rooms/")["members"], 0);
}

#[test]
fn history_of_room_is_listed() {
    let (serving, _file) = start();
    let tail = ann(&serving, "past");
    for body in [&b"1"[..], b"2", &[0xff]] {
        good(&call(&serving, "POST", "/v1/rooms/past/messages/item", body));
    }
    let get = |query: &str| good(&call(&serving, "GET", &format!("/v1/rooms/{query}"), b""));
    let (two, three) = (
        json!({ "number": 2, "event": "item", "from": null, "text": "2" }),
        json!({ "number": 3, "event": "item", "from": null, "base64": "/w==" }),
    );
    assert_eq!(get("past/messages"), json!({ "messages": [two, three] }));
    assert_eq!(get("past/messages?last=1"), json!({ "messages": [three] }));
    assert_eq!(get("lobby/messages"), json!({ "messages": [] }));
    let other = call_as(&serving, OTHER, "GET", "/v1/rooms/past/messages", b"");
    bad(&other, 403, "forbidden", "not for the room");
    drop(tail);
}

#[test]
fn description_matches_routes() {
    let (serving, _file) = start();
    let described = serving.get("/v1/openapi.json").json();
    for (path, methods) in described["paths"].as_object().unwrap() {
        let filled = path.replace(['{', '}'], "");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let is_described = methods.get(method.to_lowercase()).is_some();
            let answer = call(&serving, method, &filled, b"");
            let is_route = answer.status != 405
                && !(answer.status == 404 && answer.json()["error"]["code"] == "no_route");
            assert_eq!(is_route, is_described, "{method} {path}: {}", answer.text());
            if is_described {
                let statuses = methods[method.to_lowercase()]["responses"].as_object().unwrap();
                assert!(statuses.contains_key(&answer.status.to_string()), "{method} {path}");
            }
            if path != "/v1/openapi.json" {
                assert_eq!(serving.request(method, &filled, &[], b"").status, 401, "{path}");
            }
        }
    }
    bad(&call(&serving, "GET", "/v2", b""), 404, "no_route", "no such route");
}

#[test]
fn api_keys_match_fully_and_grant_only_their_rights() {
    let (mut serving, _file) = start();
    let head = |header: &str| serving.request("GET", "/v1/stats", &[header], b"").status;
    let (short, long) = (&KEY[..KEY.len() - 1], format!("{KEY}x"));
    for header in [
        "X: y".to_owned(),
        "Authorization:".into(),
        "Authorization: Bearer".into(),
        "Authorization: Bearer ".into(),
        format!("Authorization: Basic {KEY}"),
        format!("Authorization: Bearer {short}"),
        format!("Authorization: Bearer {long}"),
        format!("Authorization: Bearer {KEY} {KEY}"),
        format!("Authorization: {KEY}"),
        "Authorization: Bearer ä".into(),
        format!("Authorization: Bearer {}", "x".repeat(8000)),
    ] {
        assert_eq!(head(&header), 401, "{header}");
    }
    // Proxies log URLs, so a key in the URL must be rejected.
    assert_eq!(serving.get(&format!("/v1/stats?key={KEY}")).status, 401);
    assert_eq!(head(&format!("authorization: bearer {KEY}")), 200);

    let other = |method: &str, path: &str| call_as(&serving, OTHER, method, path, b"x");
    good(&other("POST", "/v1/rooms/a1/messages/chat"));
    bad(&other("POST", "/v1/rooms/b/messages/chat"), 403, "forbidden", r#"not for the room "b""#);
    bad(
        &other("DELETE", "/v1/rooms/a1/users/ann"),
        403,
        "forbidden",
        r#"lacks the right "manage""#,
    );
    bad(&other("GET", "/v1/stats"), 403, "forbidden", "some rooms only");
    bad(&other("POST", "/v1/users/ann/messages/chat"), 403, "forbidden", "some rooms only");
    let body = br#"{"rooms":["a1","b"],"event":"chat","text":"x"}"#;
    bad(&call_as(&serving, OTHER, "POST", "/v1/broadcast", body), 403, "forbidden", "\"b\"");
    assert_eq!(good(&other("GET", "/v1/rooms")), json!({ "rooms": [], "more": false }));
    serving.signal(rustix::process::Signal::TERM);
    let log = serving.rest_of_log();
    assert!(!log.contains(KEY) && !log.contains(OTHER), "{log}");
}

#[test]
fn invalid_bodies_and_names_are_rejected_with_reason() {
    let (serving, _file) = start();
    let post = |path: &str, body: &[u8]| call(&serving, "POST", path, body);
    let chat = "/v1/rooms/a/messages/chat";
    good(&post(chat, &[0; 1000]));
    bad(&post(chat, &[0; 1001]), 413, "too_large", "limits.max_message is 1000");
    bad(&post(chat, &vec![0; 1 << 20]), 413, "too_large", "limits.max_message");
    let long = "x".repeat(51);
    bad(&post(&format!("/v1/rooms/{long}/messages/chat"), b""), 400, "invalid", "at most 50 bytes");
    bad(&post(&format!("/v1/rooms/a/messages/{long}"), b""), 400, "invalid", "1 to 50 bytes");
    for event in ["join_ack", "leave", "member_left", "roomer:hello", "open", "reopen"]
        .iter()
        .chain(&["member_changed", "count_changed", "history_lost"])
    {
        bad(&post(&format!("/v1/rooms/a/messages/{event}"), b""), 400, "invalid", "reserved");
    }
    bad(&post("/v1/rooms/%ff/messages/chat", b""), 400, "invalid", "UTF-8");
    bad(&post(&format!("{chat}?except=ann"), b""), 400, "invalid", "join_ack");
    bad(&post("/v1/connections/x/messages/chat", b""), 400, "invalid", "join_ack");

    let deep = format!("{{\"rooms\":[\"a\"],\"event\":\"e\",\"json\":{}", "[".repeat(50_000));
    let rooms: Vec<_> = (0..101).map(|n| n.to_string()).collect();
    let many = json!({ "rooms": rooms, "event": "e", "text": "" }).to_string();
    let cases: &[(&str, &str)] = &[
        ("", "not the expected JSON"),
        ("[]", "not the expected JSON"),
        (r#"{"event":"e","text":""}"#, "missing field `rooms`"),
        (r#"{"rooms":["a"],"text":""}"#, "missing field `event`"),
        (r#"{"rooms":["a"],"event":"e"}"#, "one of text, json and base64"),
        (r#"{"rooms":["a"],"event":"e","text":"","base64":""}"#, "one of text, json and base64"),
        (r#"{"rooms":["a"],"event":"e","text":"","x":1}"#, "unknown field `x`"),
        (r#"{"rooms":["a"],"event":"e","base64":"*"}"#, "not Base64"),
        (r#"{"rooms":[],"event":"e","text":""}"#, "1 to 100 rooms"),
        (r#"{"rooms":["a"],"event":"join","text":""}"#, "reserved"),
        (&many, "1 to 100 rooms"),
        (&deep, "not the expected JSON"),
    ];
    for (body, words) in cases {
        bad(&post("/v1/broadcast", body.as_bytes()), 400, "invalid", words);
    }
    for (encoding, status) in [("gzip", 415), ("identity, br", 415), ("identity", 200)] {
        let headers =
            [&*format!("Authorization: Bearer {KEY}"), &*format!("Content-Encoding: {encoding}")];
        assert_eq!(serving.request("POST", chat, &headers, b"x").status, status, "{encoding}");
    }
    let large = json!({ "rooms": ["a"], "event": "e", "text": "x".repeat(1001) }).to_string();
    bad(&post("/v1/broadcast", large.as_bytes()), 413, "too_large", "1001 bytes");
}

#[test]
fn repeated_request_has_one_effect() {
    let (serving, _file) = start();
    let mut tail = ann(&serving, "a");
    let send = |key: &str, idempotency: &str, room: &str, body: &[u8]| {
        let headers =
            [&*format!("Authorization: Bearer {key}"), &*format!("Idempotency-Key: {idempotency}")];
        serving.request("POST", &format!("/v1/rooms/{room}/messages/chat"), &headers, body)
    };
    for _ in 0..3 {
        assert_eq!(good(&send(KEY, "1", "a", b"once")), json!({ "members": 1 }));
    }
    bad(&send(KEY, "1", "a", b"other"), 422, "idempotency", "another request");
    bad(&send(KEY, "1", "b", b"once"), 422, "idempotency", "another request");
    // The requests of another key are independent, and a request that has failed may be repeated.
    good(&send(OTHER, "1", "a", b"of another"));
    bad(&send(KEY, "2", &"x".repeat(51), b""), 400, "invalid", "at most 50 bytes");
    good(&send(KEY, "2", "b", b""));
    bad(&send(KEY, &"x".repeat(129), "a", b""), 400, "invalid", "1 to 128");
    good(&send(KEY, "3", "a", b"last"));
    let texts: Vec<Value> = (0..3).map(|_| tail.message()["text"].clone()).collect();
    assert_eq!(texts, ["once", "of another", "last"]);
}

#[test]
fn repeated_removal_gets_first_answer() {
    let (serving, _file) = start();
    // `roomer tail` ends when it is removed from its room, so close another client.
    let (tail, running) = (ann(&serving, "a"), ann(&serving, "b"));
    let (id, other) = (tail.id(), running.id());
    let delete = |idempotency: &str, path: &str| {
        let headers =
            [&*format!("Authorization: Bearer {KEY}"), &*format!("Idempotency-Key: {idempotency}")];
        serving.request("DELETE", path, &headers, b"")
    };
    let paths = [
        format!("/v1/rooms/a/members/{id}"),
        "/v1/rooms/root/users/ann".into(),
        format!("/v1/connections/{other}?code=4001&reason=a"),
        "/v1/users/ann".into(),
    ];
    for (key, path) in ["1", "2", "3", "4"].iter().zip(&paths) {
        let first = good(&delete(key, path));
        assert_eq!(good(&delete(key, path)), first, "{path}");
        bad(&delete(key, "/v1/users/bob?code=4002"), 422, "idempotency", "another request");
    }
    bad(
        &delete("3", &format!("/v1/connections/{other}?code=4002&reason=a")),
        422,
        "idempotency",
        "",
    );
    bad(&delete("5", &paths[0]), 404, "not_found", "not a member");
}

#[test]
fn flood_of_slow_requests_does_not_block_others() {
    let (serving, _file) = start();
    let head = format!(
        "POST /v1/rooms/a/messages/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
    );
    let open = |rest: &str| {
        let mut stream = TcpStream::connect(&serving.operator).unwrap();
        write!(stream, "{head}{rest}").unwrap();
        stream
    };
    // Send bodies that never arrive, heads that never end, and bodies that have no length or no
    // end.
    let mut streams: Vec<TcpStream> = (0..40).map(|_| open("Content-Length: 9\r\n\r\nx")).collect();
    streams.extend((0..40).map(|_| open("X: y\r\n")));
    let mut endless = open("Transfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    while endless.write_all(chunk.as_bytes()).is_ok() {}
    good(&call(&serving, "GET", "/v1/stats", b""));
    // Send lengths that contradict each other, and a length that is out of range.
    for rest in [
        "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "Content-Length: 99999999999999999999\r\n\r\n",
        "Content-Length: -1\r\n\r\n",
    ] {
        assert_eq!(Answer::read(&mut open(rest)).status, 400, "{rest}");
    }
}

#[test]
fn foreign_names_cannot_forge_metrics_or_log_lines() {
    let (mut serving, _file) = start();
    let evil = "a%0aroomer_opened_total%20666%0a%22%7d%1b%5b2J";
    good(&call(&serving, "POST", &format!("/v1/rooms/{evil}/messages/chat%0aforged"), b"x"));
    let tail = ann(&serving, "a\nroomer_opened_total 666\n\"}");
    let metrics = serving.get("/metrics");
    assert!(!metrics.text().contains("666"), "{}", metrics.text());
    let listed = good(&call(&serving, "GET", "/v1/rooms", b""));
    assert_eq!(listed["rooms"][0]["room"], "a\nroomer_opened_total 666\n\"}");
    drop(tail);
    serving.signal(rustix::process::Signal::TERM);
    for line in serving.rest_of_log().lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
}
