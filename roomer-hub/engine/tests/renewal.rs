//! Tests of renewing logins before they expire.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomer_engine::{AuthResult, Builder, Claims, Rejection, Server, close};
use roomer_proto::extended::{EXPIRING, TOKEN};
use roomer_testkit::{Client, Handshake, World};

const SECOND: Duration = Duration::from_secs(1);

/// Parses a token of the form `USER:ROLE:SECONDS`.
fn log_in(token: &str) -> AuthResult {
    let mut parts = token.split(':');
    let (Some(user), Some(role), Some(seconds)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Rejection::unauthorized("a token, please"));
    };
    let seconds =
        seconds.parse().map_err(|_| Rejection::forbidden(format!("{token} has no number")))?;
    let claims = Claims::from([("role".to_owned(), role.to_owned())]).user(user);
    Ok(claims.valid_for(Duration::from_secs(seconds)))
}

fn builder() -> Builder {
    Server::builder().authorize(|request| log_in(&request.token().unwrap_or_default())).on(
        "role",
        |conn, message| {
            let role = conn.claims().and_then(|claims| claims.get("role"));
            conn.reply(message, "role", role.unwrap_or_default());
        },
    )
}

fn connect(world: &mut World, token: &str) -> Client {
    let client = world.connect_extended(Handshake::new().query("token", token));
    world.settle();
    client
}

/// Returns the payloads of the token requests that a client has received.
fn renewal_requests(client: &Client) -> Vec<String> {
    client.texts("root", EXPIRING)
}

fn role(world: &mut World, client: &Client) -> String {
    client.send("root", "role", "");
    world.settle();
    client.texts("root", "role").pop().unwrap_or_default()
}

fn has_expired(client: &Client) -> bool {
    let (code, reason) = close::LOGIN_EXPIRED.frame();
    client.closed().is_some_and(|end| end.code == Some(code) && end.reason == reason)
}

#[test]
fn login_is_renewed_repeatedly() {
    let mut world = World::new(1, builder().renew_login(|_, token| log_in(token)));
    let ann = connect(&mut world, "ann:guest:120");
    world.advance(59 * SECOND);
    assert!(renewal_requests(&ann).is_empty());
    world.advance(SECOND);
    assert_eq!(renewal_requests(&ann), [r#"{"in":60000}"#]);
    assert_eq!(role(&mut world, &ann), "guest");
    ann.send("root", TOKEN, "ann:host:200");
    world.settle();
    assert_eq!(role(&mut world, &ann), "host");
    let found = world.server().conn(ann.id()).unwrap();
    assert_eq!(&found.claims().unwrap()["role"], "host");
    world.advance(139 * SECOND);
    assert_eq!(renewal_requests(&ann).len(), 1);
    world.advance(SECOND);
    assert_eq!(renewal_requests(&ann).len(), 2);
    // The client does not answer this time.
    world.advance(59 * SECOND);
    assert!(ann.is_open());
    world.advance(2 * SECOND);
    assert!(has_expired(&ann));
}

#[test]
fn short_login_is_renewed_at_half_time() {
    let hook = |_: &_, token: &str| match token {
        "ann:endless" => Ok(Claims::new().user("ann")),
        _ => log_in(token),
    };
    let mut world = World::new(1, builder().renew_login(hook));
    let ann = connect(&mut world, "ann:guest:20");
    world.advance(9 * SECOND);
    assert!(renewal_requests(&ann).is_empty());
    world.advance(SECOND);
    assert_eq!(renewal_requests(&ann), [r#"{"in":10000}"#]);
    ann.send("root", TOKEN, "ann:endless");
    world.advance(1000 * SECOND);
    assert!(ann.is_open());
    assert_eq!(renewal_requests(&ann).len(), 1);
}

#[test]
fn renewal_requests_are_bounded() {
    // The token always expires at the same time, regardless of when it is sent.
    let passed = Arc::new(AtomicU64::new(0));
    let clock = passed.clone();
    let hook = move |_: &_, token: &str| {
        log_in(&format!("{token}:{}", 61_u64.saturating_sub(clock.load(Relaxed))))
    };
    let mut world = World::new(1, builder().renew_login(hook));
    let ann = connect(&mut world, "ann:guest:61");
    ann.on(EXPIRING, |ann, _| {
        // Without a limit, a server that asks without a pause would never let the test end.
        if renewal_requests(ann).len() < 100 {
            ann.send("root", TOKEN, "ann:guest");
        }
    });
    for second in 1..=61 {
        passed.store(second, Relaxed);
        world.advance(SECOND);
    }
    let left = renewal_requests(&ann);
    assert!((3..=8).contains(&left.len()), "{left:?}");
    assert!(has_expired(&ann));
}

#[test]
fn invalid_renewals_keep_login_and_are_reported() {
    for (token, reason) in [
        (&b"nonsense"[..], ": a token, please"),
        (b"ann:host:s3cret", ""),
        (b"bob:host:900", ": it is another user's"),
        (b"ann:host:0", ": it has expired"),
        (b"\xff", ": the token is not text"),
    ] {
        let calls = Arc::new(AtomicU32::new(0));
        let counter = calls.clone();
        let hook = move |_: &_, token: &str| {
            counter.fetch_add(1, Relaxed);
            log_in(token)
        };
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let kept = warnings.clone();
        let builder = builder()
            .renew_login(hook)
            .on_warning(move |warning| kept.lock().unwrap().push(warning.to_string()));
        let mut world = World::new(1, builder);
        let ann = connect(&mut world, "ann:guest:60");
        world.advance(30 * SECOND);
        ann.send("root", TOKEN, token);
        // The server has not requested a second token, so it does not call the hook.
        ann.send("root", TOKEN, "ann:host:900");
        world.settle();
        assert_eq!(role(&mut world, &ann), "guest");
        assert_eq!(calls.load(Relaxed), u32::from(token != b"\xff"), "{token:?}");
        assert_eq!(world.server().stats().rejected_packets.reserved, 1);
        let due = format!("a client's new token did not renew its login{reason}");
        assert_eq!(*warnings.lock().unwrap(), [due]);
        world.advance(31 * SECOND);
        assert!(has_expired(&ann), "{token:?}");
    }
}

#[test]
fn messages_behind_token_wait_for_async_hook() {
    let hook = async |_, token: String| {
        std::future::ready(()).await;
        log_in(&token)
    };
    let mut world = World::new(1, builder().renew_login_async(hook));
    let ann = connect(&mut world, "ann:guest:60");
    world.advance(30 * SECOND);
    assert_eq!(renewal_requests(&ann).len(), 1);
    ann.send("root", TOKEN, "ann:host:900");
    ann.send("root", "role", "");
    world.settle();
    assert_eq!(ann.texts("root", "role"), ["host"]);
    world.advance(839 * SECOND);
    assert_eq!((renewal_requests(&ann).len(), ann.is_open()), (1, true));
    world.advance(SECOND);
    assert_eq!(renewal_requests(&ann).len(), 2);
}

#[test]
fn renewal_requires_extended_client_and_hook() {
    let mut world = World::new(1, builder().renew_login(|_, token| log_in(token)));
    let plain = world.connect_to("/ws?token=ann:guest:60", "");
    world.settle();
    plain.send("root", TOKEN, "ann:host:900");
    world.settle();
    assert!(renewal_requests(&plain).is_empty());
    assert_eq!(role(&mut world, &plain), "guest");
    world.advance(61 * SECOND);
    assert!(has_expired(&plain));

    let mut world = World::new(1, builder());
    let ann = connect(&mut world, "ann:guest:60");
    world.advance(59 * SECOND);
    assert!(renewal_requests(&ann).is_empty() && ann.is_open());
    world.advance(2 * SECOND);
    assert!(has_expired(&ann));
}

#[test]
fn hook_panic_closes_connection() {
    let mut world = World::new(1, builder().renew_login(|_, _| panic!("the hook panics")));
    world.allow_panics();
    let ann = connect(&mut world, "ann:guest:60");
    let bob = connect(&mut world, "bob:guest:600");
    world.advance(30 * SECOND);
    ann.send("root", TOKEN, "ann:host:900");
    world.settle();
    let code = ann.closed().and_then(|end| end.code);
    assert_eq!((code, bob.is_open()), (Some(close::HANDLER_FAILED.frame().0), true));
}

#[test]
fn renewal_request_lost_with_socket_is_repeated() {
    let mut world = World::new(1, builder().renew_login(|_, token| log_in(token)));
    let ann = connect(&mut world, "ann:guest:60");
    ann.unplug();
    world.advance(31 * SECOND);
    assert!(renewal_requests(&ann).is_empty());
    let again = world.reconnect_with(&ann, Handshake::new().query("token", "ann:guest:600"));
    world.settle();
    assert!(again.is_resumed());
    assert_eq!(renewal_requests(&again), [r#"{"in":30000}"#]);
    // The next token is requested before the login of the new socket expires.
    world.advance(539 * SECOND);
    assert_eq!(renewal_requests(&again).len(), 1);
    world.advance(SECOND);
    assert_eq!(renewal_requests(&again).len(), 2);
    again.send("root", TOKEN, "ann:host:900");
    world.settle();
    assert_eq!(role(&mut world, &again), "host");
    world.advance(700 * SECOND);
    assert!(again.is_open());
}

#[test]
fn renewal_request_waits_for_stalled_client() {
    let builder = builder().renew_login(|_, token| log_in(token)).max_backlog(100_000);
    let mut world = World::new(1, builder);
    let ann = connect(&mut world, "ann:guest:122");
    let bob = connect(&mut world, "bob:guest:600");
    world.advance(60 * SECOND);
    ann.stall(0);
    // Send a single message above the high-water mark, whose receiver may take as long as
    // necessary.
    bob.send("root", "chat", [b'x'; 200_000]);
    bob.send("root", "chat", "behind it");
    world.advance(5 * SECOND);
    assert_eq!(world.server().stats().sessions.detached, 0);
    ann.resume();
    world.advance(2 * SECOND);
    assert_eq!(renewal_requests(&ann).len(), 1);
    let left: u64 = renewal_requests(&ann)[0][6..].trim_end_matches('}').parse().unwrap();
    assert!(left < 58_000, "{left}");
}
