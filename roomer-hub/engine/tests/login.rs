//! Tests of claims (user, extensions, expiry), and of handles to all of a user's connections.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomer_engine::{
    AuthResult, Builder, Claims, DisconnectReason, HandshakeRequest, Rejection, Server, close,
};
use roomer_testkit::{Client, World};

const SECOND: Duration = Duration::from_secs(1);

/// The application's data about a client.
#[derive(Clone, Debug, PartialEq)]
struct Account {
    number: u64,
}

/// Builds the claims from the query parameters `user`, and `valid_for` in seconds.
fn log_in(request: &HandshakeRequest) -> AuthResult {
    let Some(user) = request.query("user") else {
        return Err(Rejection::unauthorized("who are you?"));
    };
    let claims = Claims::new().user(&user).with(Account { number: user.len() as u64 });
    Ok(match request.query("valid_for").and_then(|seconds| seconds.parse().ok()) {
        Some(seconds) => claims.valid_for(Duration::from_secs(seconds)),
        None => claims,
    })
}

fn world(choose: impl FnOnce(Builder) -> Builder) -> World {
    World::new(1, choose(Server::builder().authorize(log_in)))
}

fn is_closed(client: &Client, row: &close::Close) -> bool {
    has_end(client, row.frame())
}

fn has_end(client: &Client, (code, reason): (u16, &str)) -> bool {
    client.closed().is_some_and(|end| end.code == Some(code) && end.reason == reason)
}

#[test]
fn rules_handlers_and_hooks_see_claims() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = seen.clone();
    let mut world = world(|builder| {
        builder
            .may_join(|conn, room| {
                conn.extension::<Account>().is_some_and(|account| account.number == 3)
                    && room != "closed"
            })
            .on("who", |conn, message| {
                let account = conn.extension::<Account>().ok_or("no account")?;
                assert_eq!(conn.extension::<String>(), None);
                conn.reply(message, "you", format!("{:?} {}", conn.user(), account.number));
                Ok(())
            })
            .on_disconnect(move |conn, _| {
                note.lock().unwrap().push(conn.extension::<Account>().cloned());
            })
    });
    let ann = world.connect_to("/ws?user=ann", "");
    let zoe = world.connect_to("/ws?user=zoey", "");
    let anonymous = world.connect_to("/ws", "");
    world.settle();
    assert_eq!(anonymous.status(), Some(401));
    ann.join("open");
    zoe.join("open");
    ann.send("root", "who", "");
    world.settle();
    assert_eq!(ann.texts("root", "you"), [r#"Some("ann") 3"#]);
    assert!(ann.members("open").is_some() && zoe.members("open").is_none());
    ann.close(1000, "");
    world.settle();
    assert_eq!(*seen.lock().unwrap(), [Some(Account { number: 3 })]);
}

#[test]
fn connection_is_closed_when_its_claims_expire() {
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let note = reasons.clone();
    let mut world = world(|builder| {
        builder
            .on_disconnect(move |_, reason| note.lock().unwrap().push(reason))
            .on_async("wait", async |_, _| pending::<()>().await)
    });
    world.allow_waiting();
    let ann = world.connect_to("/ws?user=ann&valid_for=90", "");
    let busy = world.connect_to("/ws?user=bob&valid_for=90", "");
    let stuck = world.connect_to("/ws?user=eve&valid_for=90", "");
    let unlimited = world.connect_to("/ws?user=zoe", "");
    world.settle();
    stuck.send("root", "wait", "");
    for _ in 0..89 {
        busy.send("root", "chat", "still here");
        world.advance(SECOND);
    }
    assert!(ann.is_open() && busy.is_open() && stuck.is_open());
    world.advance(2 * SECOND);
    for client in [&ann, &busy, &stuck] {
        assert!(is_closed(client, &close::LOGIN_EXPIRED), "{:?}", client.closed());
    }
    assert!(unlimited.is_open() && close::LOGIN_EXPIRED.is_final());
    assert_eq!(*reasons.lock().unwrap(), [DisconnectReason::ByServer(1008); 3]);
    assert_eq!(world.server().stats().closes[&1008], 3);
}

#[test]
fn expired_claims_are_rejected() {
    let mut world = world(|builder| builder);
    let late = world.connect_to("/ws?user=ann&valid_for=0", "");
    world.settle();
    assert_eq!(late.status(), Some(401));
    assert_eq!(world.server().stats().opened, 0);
}

#[test]
fn expiry_starts_when_async_hook_resolves() {
    let builder = Server::builder().authorize_async(async |request| log_in(&request));
    let mut world = World::new(1, builder);
    let ann = world.connect_to("/ws?user=ann&valid_for=10", "");
    world.advance(9 * SECOND);
    assert!(ann.is_open());
    world.advance(2 * SECOND);
    assert!(is_closed(&ann, &close::LOGIN_EXPIRED));
}

#[test]
fn user_is_reachable_on_all_connections() {
    let mut world = world(|builder| builder);
    let [one, two] = [(); 2].map(|()| world.connect_to("/ws?user=ann", ""));
    let bob = world.connect_to("/ws?user=bob", "");
    for client in [&one, &two, &bob] {
        client.join("lobby");
    }
    two.leave("lobby");
    world.settle();
    let (ann, absent) = (world.server().user("ann"), world.server().user("eve"));
    assert_eq!((ann.name(), ann.count(), absent.count()), ("ann", 2, 0));
    let ids: Vec<String> = ann.conns().iter().map(|conn| conn.id().to_string()).collect();
    assert!(ids.contains(&one.id()) && ids.contains(&two.id()));

    assert_eq!((ann.send("mail", "from bob"), absent.send("mail", "")), (2, 0));
    world.settle();
    for (client, mail) in [(&one, 1), (&two, 1), (&bob, 0)] {
        assert_eq!(client.texts("root", "mail").len(), mail);
    }
    assert_eq!((ann.kick("lobby"), ann.kick("lobby"), ann.kick("no such room")), (1, 0, 0));
    world.settle();
    assert!(one.members("lobby").is_none() && bob.members("lobby").is_some());

    assert_eq!((ann.disconnect(4000, "banned"), absent.disconnect(4000, "banned")), (2, 0));
    world.settle();
    for client in [&one, &two] {
        assert!(has_end(client, (4000, "banned")), "{:?}", client.closed());
    }
    assert!(bob.is_open());
    assert_eq!((ann.count(), ann.send("mail", "")), (0, 0));
}

#[test]
fn user_is_removed_with_last_connection() {
    let mut world = world(|builder| builder);
    let clients = [(); 3].map(|()| world.connect_to("/ws?user=ann", ""));
    world.settle();
    let ann = world.server().user("ann");
    let [closes, breaks, is_ended] = &clients;
    closes.close(1000, "");
    breaks.reset();
    world.server().disconnect(is_ended.id(), 4000, "");
    world.settle();
    assert_eq!((ann.count(), ann.conns().len()), (0, 0));
}

#[test]
fn excess_user_connection_closes_oldest() {
    let mut world = world(|builder| builder.max_connections_per_user(2));
    let mut connect = |user: &str| {
        let client = world.connect_to(&format!("/ws?user={user}"), "");
        world.settle();
        client
    };
    let [first, second] = [connect("ann"), connect("ann")];
    let bob = connect("bob");
    assert!(first.is_open() && second.is_open());
    let third = connect("ann");
    assert!(is_closed(&first, &close::REPLACED), "{:?}", first.closed());
    let fourth = connect("ann");
    assert!(is_closed(&second, &close::REPLACED), "{:?}", second.closed());
    assert!(third.is_open() && fourth.is_open() && bob.is_open());
    assert_eq!(world.server().user("ann").count(), 2);
    let error = Server::builder().max_connections_per_user(0).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "max_connections_per_user must not be zero: leave it out to use its default"
    );
}
