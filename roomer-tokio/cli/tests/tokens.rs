//! Tests logins to `roomer serve` with JSON Web Tokens, and the rights of clients in rooms.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::tokens::{SECRET, Signer, now, pem};
use crate::support::{self, Serving, TempFile, handshake, run, succeeds};
use serde_json::{Value, json};

fn with_token(serving: &Serving, token: &str) -> (u16, String) {
    handshake(serving, &format!("?token={token}"), "")
}

fn secret_file() -> TempFile {
    TempFile::new("secret", format!("{SECRET}\n"))
}

#[track_caller]
fn rejected(done: &Output, words: &str) {
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && error.contains(words), "{error}");
}

#[test]
fn token_is_read_from_query_header_and_subprotocol() {
    let secret = secret_file();
    let serving = Serving::start(&["--jwt-secret", secret.path()]);
    let token = Signer::secret().token(&json!({ "exp": now(600) }));
    assert_eq!(with_token(&serving, &token).0, 101);
    assert_eq!(handshake(&serving, "", &format!("Authorization: Bearer {token}\r\n")).0, 101);
    let encoded = data_encoding::BASE64URL_NOPAD.encode(token.as_bytes());
    let offer = format!("Sec-WebSocket-Protocol: roomer, token.{encoded}\r\n");
    assert_eq!(handshake(&serving, "", &offer).0, 101);
    assert_eq!(handshake(&serving, "", ""), (401, "a token is required".into()));
}

#[test]
fn invalid_token_is_rejected_with_reason_and_not_logged() {
    let secret = secret_file();
    let rsa = TempFile::new("rsa.pem", include_bytes!("support/keys/rsa.pem"));
    let args = ["--jwt-secret", secret.path(), "--jwt-keys", rsa.path(), "--log-level", "debug"];
    let claims = ["--jwt-issuer", "me", "--jwt-audience", "chat"];
    let mut serving = Serving::start(&[&args[..], &claims].concat());
    let good = || json!({ "exp": now(600), "iss": "me", "aud": "chat", "sub": "ann" });
    let with = |name: &str, value: Value| {
        let mut claims = good();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let key = Signer::secret();
    assert_eq!(with_token(&serving, &key.token(&good())).0, 101);
    // The end of the year 9999, which some issuers use for "never".
    assert_eq!(with_token(&serving, &key.token(&with("exp", json!(253_402_300_799_u64)))).0, 101);
    let wrong = "the signature of the token is wrong";
    let mut forged: Vec<u8> = key.token(&good()).into();
    let dot = forged.iter().rposition(|byte| *byte == b'.').unwrap();
    forged[dot + 1] = if forged[dot + 1] == b'A' { b'B' } else { b'A' };
    // A token that is signed with HMAC, with the public key as the secret, must be rejected.
    let confused = Signer::Secret(include_bytes!("support/keys/rsa.pem").to_vec());
    let rejected: Vec<(String, &str)> = vec![
        (String::from_utf8(forged).unwrap(), wrong),
        (Signer::Secret(vec![b'x'; 32]).token(&good()), wrong),
        (confused.token(&good()), wrong),
        (Signer::None.token(&good()), "not a JSON Web Token"),
        (Signer::p256().token(&good()), "the key of the token is unknown"),
        (key.token_with(&json!({ "alg": "HS512" }), &good()), "the key of the token is unknown"),
        (key.token_with(&json!({ "alg": "RS256" }), &good()), wrong),
        (key.token(&with("exp", json!(now(-60)))), "has expired"),
        (key.token(&with("exp", json!(now(600) * 1000))), "divide milliseconds by 1000"),
        (key.token_with(&json!({ "alg": "HS256", "crit": ["x"], "x": 1 }), &good()), "(crit)"),
        (key.token(&with("exp", json!(-1))), "no time at which it expires"),
        (key.token(&with("exp", json!("later"))), "no time at which it expires"),
        (key.token(&without("exp")), "no time at which it expires"),
        (key.token(&with("nbf", json!(now(600)))), "not valid yet"),
        (key.token(&with("iss", json!("you"))), "another issuer"),
        (key.token(&without("iss")), "lacks its issuer"),
        (key.token(&with("aud", json!(["mail"]))), "another audience"),
        (key.token(&without("aud")), "lacks its issuer or its audience"),
        (key.token(&with("sub", json!({}))), "not a JSON Web Token"),
        (key.token(&with("sub", json!("x".repeat(300)))), "not a short text"),
        (key.token(&with("info", json!("x".repeat(2000)))), "too long or too deep"),
        (key.token(&with("rooms", json!({ "a": ["rule"] }))), "the rooms of the login"),
        (key.token(&with("x", json!("x".repeat(9000)))), "the token is too long"),
        ("x".into(), "not a JSON Web Token"),
        ("..".into(), "not a JSON Web Token"),
        (String::new(), "not a JSON Web Token"),
    ];
    for (token, words) in &rejected {
        let (status, body) = with_token(&serving, token);
        assert!(status == 401 && body.contains(words), "{words}: {status} {body}");
    }
    serving.signal(rustix::process::Signal::TERM);
    let log = serving.rest_of_log();
    // The body of the response is hidden by browsers, so the reason must be in the log.
    let is_warned = |line: &&str| line.contains("\"WARN\"") && line.contains(wrong);
    assert_eq!(log.lines().filter(is_warned).count(), 1, "one warning in ten seconds, {log}");
    for (_, words) in &rejected {
        let is_it = |line: &str| line.contains("handshake rejected") && line.contains(words);
        assert!(log.lines().any(is_it), "{words}: {log}");
    }
    for (token, _) in rejected.iter().filter(|(token, _)| token.len() > 9) {
        assert!(!log.contains(token), "{log}");
    }
}

#[test]
fn pem_keys_of_each_kind_are_read() {
    let (p256, ed25519) = (Signer::p256(), Signer::ed25519());
    let rsa = TempFile::new("rsa.pem", include_bytes!("support/keys/rsa.pem"));
    let files = [rsa, p256.public(), ed25519.public()];
    let paths: Vec<&str> = files.iter().map(TempFile::path).collect();
    let serving = Serving::start(&["--jwt-keys", &paths.join(",")]);
    for signer in [Signer::rsa(), p256, ed25519] {
        let token = signer.token(&json!({ "exp": now(600) }));
        assert_eq!(with_token(&serving, &token).0, 101, "{}", signer.algorithm());
    }
    let other = Signer::p256().token(&json!({ "exp": now(600) }));
    assert_eq!(with_token(&serving, &other).1, "the signature of the token is wrong");
}

#[test]
fn unusable_keys_are_rejected_at_start() {
    let short = TempFile::new("short", "secret");
    rejected(&run(&["check", "--jwt-secret", short.path()]), "HS256 needs 32 or more");
    rejected(&run(&["check", "--jwt-secret", "/nowhere"]), "No such file");
    rejected(&run(&["check", "--jwt-keys", short.path()]), "no public key in PEM");
    // Publish a key of a kind that is not supported, keys that are cut off, and one that has
    // trailing bytes.
    let Signer::Ed25519(key) = Signer::ed25519() else { panic!() };
    let key = ring::signature::KeyPair::public_key(&key).as_ref().to_vec();
    let start = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
    let whole = [&start[..], &key].concat();
    let other = [&start[..6], b"\x2b\x65\x6f\x03\x21\x00", &key].concat();
    let longer = [&whole[..], b"\0"].concat();
    let cuts = (0..whole.len()).map(|end| whole[..end].to_vec());
    for bytes in cuts.chain([other, longer, b"\x30\x81".into(), b"\x30\x82\x00".into()]) {
        let file = TempFile::new("key.pem", pem(&bytes));
        rejected(&run(&["check", "--jwt-keys", file.path()]), "--jwt-keys: jwt.keys: ");
    }
    rejected(&run(&["check", "--jwt-jwks", "/nowhere"]), "No such file");
    let set = TempFile::new("set.json", json!({ "keys": [Signer::secret().jwk("a")] }).to_string());
    rejected(&run(&["check", "--jwt-jwks", set.path()]), "no key for RS256");
    rejected(&run(&["check", "--jwt-jwks", short.path()]), "not a set of JSON Web Keys");
    rejected(&run(&["check", "--jwt-jwks", "http://keys.example/"]), "write https://");
    rejected(&run(&["check", "--jwt-jwks", "ftp://keys.example/"]), "write https://HOST/PATH");
}

#[test]
fn members_see_user_and_info_of_token() {
    let secret = secret_file();
    let serving = Serving::start(&["--jwt-secret", secret.path()]);
    let token = |user: &str| {
        let claims = json!({ "exp": now(600), "sub": user, "info": { "name": user } });
        Signer::secret().token(&claims)
    };
    let tail = support::Tail::start(&serving, "lobby", &["--token", &token("ann")]);
    let listed = run(&["members", &serving.url, "lobby", "--json", "--token", &token("bob")]);
    let listed: Value = serde_json::from_str(&succeeds(&listed)).unwrap();
    assert_eq!((&listed["user"], &listed["info"]["name"]), (&json!("ann"), &json!("ann")));
    drop(tail);
}

#[test]
fn login_expires_with_token() {
    let secret = secret_file();
    let serving = Serving::start(&["--jwt-secret", secret.path(), "--jwt-leeway", "0"]);
    let token = Signer::secret().token(&json!({ "exp": now(2) }));
    let tail = run(&["tail", &serving.url, "lobby", "--token", &token]);
    assert_eq!(tail.status.code(), Some(3));
    let error = String::from_utf8(tail.stderr).unwrap();
    assert!(error.contains("login expired") || error.contains("has expired"), "{error}");
}

#[test]
fn rules_and_rights_both_apply_per_room() {
    let secret = secret_file();
    let file = TempFile::new(
        "rules.toml",
        format!(
            "anonymous = true\n[jwt]\nsecret = {:?}\n\
             [[room]]\npattern = \"news*\"\njoin = \"all\"\npublish = \"none\"\n\
             [[room]]\npattern = \"users\"\njoin = \"users\"\n\
             [[room]]\npattern = \"vip*\"\njoin = \"token\"\n\
             [[room]]\npattern = \"quiet\"\nwhisper = \"none\"\n",
            secret.path()
        ),
    );
    let serving = Serving::start(&[file.path()]);
    let url = &*serving.url;
    let token = |rooms: Option<Value>| {
        let mut claims = json!({ "exp": now(600), "sub": "ann" });
        if let Some(rooms) = rooms {
            claims["rooms"] = rooms;
        }
        Signer::secret().token(&claims)
    };
    let (plain, limited) =
        (token(None), token(Some(json!({ "vip-a": ["join"], "lobby": ["join", "publish"] }))));
    let send = |room: &str, token: Option<&str>| {
        let mut args = vec!["send", url, room, "chat", "x"];
        args.extend(token.iter().flat_map(|token| ["--token", token]));
        run(&args)
    };
    succeeds(&send("lobby", None));
    succeeds(&send("lobby", Some(&plain)));
    succeeds(&send("lobby", Some(&limited)));
    rejected(&send("users", None), "rejected the join");
    succeeds(&send("users", Some(&plain)));
    rejected(&send("users", Some(&limited)), "rejected the join");
    rejected(&send("vip-a", Some(&plain)), "rejected the join");
    rejected(&send("vip-b", Some(&limited)), "rejected the join");
    // The client is permitted to join, but not to send.
    rejected(&send("vip-a", Some(&limited)), "forbids it");
    rejected(&send("news", Some(&plain)), "forbids it");
    let tail = support::Tail::start(&serving, "quiet", &["--token", &plain]);
    let id = tail.id();
    let whisper = |room: &str| run(&["send", url, room, "chat", "x", "--to", &id]);
    rejected(&whisper("quiet"), "forbids it");
    // The sender may name a room that permits the message, but the receiver is not in it.
    rejected(&whisper("lobby"), "forbids it");
}

/// Presents a token until the response is not 503. Until a pause has passed, the server does not fetch
/// the keys again, and cannot reject unknown keys.
fn final_status(serving: &Serving, token: &str) -> u16 {
    loop {
        let (status, _) = with_token(serving, token);
        if status != 503 {
            return status;
        }
        thread::yield_now();
    }
}

/// Starts a server that publishes a set of keys, and counts the requests for it. If there is no
/// set, it responds with 500.
fn keys(set: Arc<Mutex<Option<Value>>>, asked: Arc<AtomicU32>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/keys.json", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
            while head.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let (status, body) = match &*set.lock().unwrap() {
                Some(set) => ("200 OK", set.to_string()),
                None => ("500 No", String::new()),
            };
            asked.fetch_add(1, Ordering::Relaxed);
            let length = body.len();
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n");
            let _ = write!(stream, "{head}\r\n{body}");
        }
    });
    address
}

#[test]
fn jwks_is_refetched_for_unknown_key() {
    let set = Arc::new(Mutex::new(None));
    let asked = Arc::new(AtomicU32::new(0));
    let address = keys(set.clone(), asked.clone());
    let mut serving = Serving::start(&["--jwt-jwks", &address]);
    let (first, second) = (Signer::p256(), Signer::rsa());
    let claims = json!({ "exp": now(600) });
    serving.logged("cannot read the keys of tokens");
    assert_eq!(with_token(&serving, &first.token_of("1", &claims)).0, 503);
    *set.lock().unwrap() = Some(json!({ "keys": [first.jwk("1")] }));
    serving.logged("keys of tokens read");
    assert_eq!(with_token(&serving, &first.token_of("1", &claims)).0, 101);
    // A key is tried only if its id is the one in the token.
    assert_eq!(final_status(&serving, &first.token_of("x", &claims)), 401);
    // Replace the keys one by one. Keys of unknown kinds are ignored.
    let unknown = json!({ "kty": "new", "kid": "3" });
    *set.lock().unwrap() = Some(json!({ "keys": [unknown, second.jwk("2")] }));
    let token = second.token_of("2", &claims);
    // The server has just fetched the keys for another token. It must not reject this one.
    assert_eq!(final_status(&serving, &token), 101);
    assert_eq!(final_status(&serving, &first.token_of("1", &claims)), 401);
    // If a fetch fails, the previous keys stay valid.
    *set.lock().unwrap() = None;
    let before = asked.load(Ordering::Relaxed);
    while asked.load(Ordering::Relaxed) == before {
        // The key may be valid. Clients would treat 401 as final.
        assert_eq!(with_token(&serving, &first.token_of("4", &claims)).0, 503);
    }
    serving.logged("cannot read the keys of tokens");
    assert_eq!(with_token(&serving, &token).0, 101);
}

#[test]
fn jwks_is_refetched_for_unknown_key_despite_key_from_file() {
    let (own, first, second) = (Signer::p256(), Signer::p256(), Signer::p256());
    let set = Arc::new(Mutex::new(Some(json!({ "keys": [first.jwk("1")] }))));
    let address = keys(set.clone(), Arc::default());
    let file = own.public();
    let mut serving = Serving::start(&["--jwt-jwks", &address, "--jwt-keys", file.path()]);
    serving.logged("keys of tokens read");
    let claims = json!({ "exp": now(600) });
    for (signer, id, status) in [(&own, "own", 101), (&first, "1", 101), (&second, "1", 401)] {
        assert_eq!(with_token(&serving, &signer.token_of(id, &claims)).0, status, "{id}");
    }
    *set.lock().unwrap() = Some(json!({ "keys": [second.jwk("2")] }));
    assert_eq!(final_status(&serving, &second.token_of("2", &claims)), 101);
}

#[test]
fn token_without_key_id_is_not_rejected_before_first_fetch() {
    let (own, fetched) = (Signer::p256(), Signer::p256());
    let set = Arc::new(Mutex::new(None));
    let address = keys(set.clone(), Arc::default());
    let file = own.public();
    let mut serving = Serving::start(&["--jwt-jwks", &address, "--jwt-keys", file.path()]);
    serving.logged("cannot read the keys of tokens");
    let claims = json!({ "exp": now(600) });
    let token = fetched.token(&claims);
    // The URL may have its key.
    assert_eq!(with_token(&serving, &token).0, 503);
    assert_eq!(with_token(&serving, &own.token(&claims)).0, 101);
    *set.lock().unwrap() = Some(json!({ "keys": [fetched.jwk("1")] }));
    assert_eq!(final_status(&serving, &token), 101);
    assert_eq!(with_token(&serving, &Signer::p256().token(&claims)).0, 401);
}

#[test]
fn sighup_reloads_token_secret() {
    let secret = secret_file();
    let mut serving = Serving::start(&["--jwt-secret", secret.path()]);
    let claims = json!({ "exp": now(600) });
    let (old, new) = (Signer::secret(), Signer::Secret(vec![b'n'; 32]));
    std::fs::write(secret.path(), "too short").unwrap();
    serving.signal(rustix::process::Signal::HUP);
    serving.logged("cannot read the configuration again: all of the old one stays");
    assert_eq!(with_token(&serving, &old.token(&claims)).0, 101);
    std::fs::write(secret.path(), [b'n'; 32]).unwrap();
    serving.signal(rustix::process::Signal::HUP);
    serving.logged("configuration read again");
    assert_eq!(with_token(&serving, &old.token(&claims)).0, 401);
    assert_eq!(with_token(&serving, &new.token(&claims)).0, 101);
}

#[test]
fn history_requires_right() {
    let secret = secret_file();
    let file = TempFile::new(
        "history.toml",
        format!(
            "anonymous = true\n[jwt]\nsecret = {:?}\n\
             [[room]]\npattern = \"team*\"\nhistory_for = \"users\"\n\
             [[room]]\npattern = \"vault\"\nhistory_for = \"token\"\n\
             [[room]]\npattern = \"*\"\nhistory = 1000\n",
            secret.path()
        ),
    );
    let serving = Serving::start(&[file.path()]);
    let url = &*serving.url;
    for room in ["lobby", "team", "vault"] {
        succeeds(&run(&["send", url, room, "chat", "past"]));
    }
    // If the client has no right to read the history, it does not print anything before a new
    // message.
    let reads = |room: &str, claims: Option<Value>| {
        let mut tail = support::roomer(&["tail", url, room, "--history", "900", "--count", "1"]);
        if let Some(mut claims) = claims {
            claims["exp"] = now(600).into();
            tail.args(["--token", &Signer::secret().token(&claims)]);
        }
        let mut tail = tail.arg("--json").stdout(Stdio::piped()).spawn().unwrap();
        while tail.try_wait().unwrap().is_none() {
            succeeds(&run(&["send", url, room, "chat", "now"]));
        }
        let output = tail.wait_with_output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["text"] == "past"
    };
    assert!(reads("lobby", None));
    assert!(!reads("team", None));
    assert!(reads("team", Some(json!({ "sub": "ann" }))));
    assert!(!reads("vault", Some(json!({ "sub": "ann" }))));
    let with = |rights: Value| Some(json!({ "sub": "ann", "rooms": { "vault": rights } }));
    assert!(!reads("vault", with(json!(["join"]))));
    assert!(reads("vault", with(json!(["join", "history"]))));
    // If the claim is a list, the client has all rights in these rooms.
    assert!(reads("vault", Some(json!({ "rooms": ["vault"] }))));
    // A token that lists rights restricts its client, even if the rules do not.
    assert!(!reads("team", Some(json!({ "sub": "ann", "rooms": { "team": ["join"] } }))));
}
