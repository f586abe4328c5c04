//! Tests of upgrade requests: their contents, and requests through a framework.

use std::net::SocketAddr;

use super::*;
use roomer_engine::Claims;

const HOME: ([u8; 4], u16) = ([192, 0, 2, 1], 50_000);

/// A user that an application's middleware has identified.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User(u32);

/// Builds a server that accepts a known user, identified by query, header and address or by the
/// extension that the middleware set.
fn strict() -> Builder {
    Server::builder().path("/rooms").authorize(|request| {
        let is_known = request.query("name").as_deref() == Some("ann & bob=?")
            && request.header("cookie") == Some("session=1")
            && request.peer() == Some(SocketAddr::from(HOME));
        let user = request.head().extensions().get::<User>();
        match user {
            Some(user) if *user == User(7) => Ok(Claims::default()),
            None if is_known => Ok(Claims::default()),
            _ => Err(Rejection::unauthorized("who are you?")),
        }
    })
}

fn ann() -> Handshake {
    let ann = Handshake::new().path("/rooms").query("name", "ann & bob=?");
    ann.header("Cookie", "session=1").address(HOME)
}

#[test]
fn server_sees_all_parts_of_handshake() {
    run(0..20, |seed| {
        let mut world = World::new(seed, strict());
        let status = |world: &mut World, handshake| {
            let client = world.connect_with(handshake);
            world.settle();
            client.status()
        };
        assert_eq!(status(&mut world, ann()), Some(101));
        assert_eq!(status(&mut world, ann().query("more", "1")), Some(101));
        assert_eq!(status(&mut world, ann().address(([192, 0, 2, 2], 1))), Some(401));
        assert_eq!(status(&mut world, Handshake::new().path("/rooms")), Some(401));
        assert_eq!(status(&mut world, ann().path("/elsewhere")), Some(404));
    });
}

#[test]
fn framework_extensions_are_available() {
    run(0..20, |seed| {
        let mut world = World::new(seed, strict());
        let seven = world.connect_with(Handshake::new().extension(User(7)));
        let eight = world.connect_with(ann().extension(User(8)));
        // Frames may follow the request immediately, as with a client that has its own socket.
        seven.send("root", "chat", "hello");
        world.settle();
        assert_eq!((seven.status(), eight.status()), (Some(101), Some(401)));
        assert!(seven.is_open() && !eight.is_open());
        let also = world.connect_with(Handshake::new().extension(User(7)));
        world.settle();
        also.send("root", "chat", "hello");
        world.settle();
        assert_eq!(seven.texts("root", "chat"), ["hello"]);
        world.advance(10 * MINUTE);
        assert!(seven.is_open() && also.is_open());
    });
}

#[test]
fn middleware_claims_become_connection_claims() {
    let builder = Server::builder().may_join(|conn, _| conn.extension() == Some(&User(7)));
    let mut world = World::new(3, builder);
    let claims = Claims::new().user("ann").with(User(7)).valid_for(MINUTE);
    let known = world.connect_with(Handshake::new().extension(claims));
    let unknown = world.connect();
    known.join("lobby");
    unknown.join("lobby");
    world.settle();
    assert_eq!(world.server().member_count("lobby"), 1);
    assert_eq!(known.members("lobby").unwrap(), [known.id()]);
    world.server().user("ann").send("mail", "from bob");
    world.settle();
    assert_eq!(known.texts("root", "mail"), ["from bob"]);
    // The claims expire in virtual time, too.
    world.advance(MINUTE);
    assert_eq!(known.closed().unwrap().code, Some(code::POLICY));
    assert!(unknown.is_open());
}

#[test]
fn framework_client_is_counted_by_address() {
    let mut world = World::new(4, Server::builder().max_connections_per_address(2));
    let visit = || Handshake::new().address(HOME).extension(User(1));
    let clients: Vec<Client> = (0..3).map(|_| world.connect_with(visit())).collect();
    world.settle();
    assert_eq!(clients.iter().filter(|client| client.status() == Some(429)).count(), 1);
}

#[test]
fn slow_authorize_hook_works_in_framework() {
    let builder = Server::builder().authorize_async(|_| std::future::pending());
    let message = panics(|| {
        let mut world = World::new(5, builder);
        world.connect_with(Handshake::new().extension(User(1)));
        world.settle();
    });
    assert!(message.contains("the hook `authorize` waits"), "{message}");
}

#[test]
fn invalid_header_fails_test() {
    let message = panics(|| {
        let mut world = World::new(6, Server::builder());
        world.connect_with(Handshake::new().header("no header", "1").extension(User(1)));
    });
    assert!(message.contains("under seed 6") && message.contains("cannot be written"), "{message}");
}

#[test]
fn subprotocol_is_offered_and_selected() {
    for through in [Handshake::new(), Handshake::new().extension(User(1))] {
        let mut world = World::new(7, Server::builder().subprotocol("chat.v2"));
        let offer = through.clone().header("Sec-WebSocket-Protocol", "chat.v1, chat.v2");
        let (offering, plain) = (world.connect_with(offer), world.connect_with(through));
        world.settle();
        assert_eq!(offering.subprotocol().as_deref(), Some("chat.v2"));
        assert_eq!(plain.subprotocol(), None);
        assert!(offering.is_open() && plain.is_open());
    }
}
