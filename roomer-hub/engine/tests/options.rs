//! Tests that `build` rejects invalid options with an error that describes the remedy.

use std::time::Duration;

use roomer_engine::{BuildError, Builder, Claims, Cluster, History, Order, Presence, Server};

fn error(choose: impl FnOnce(Builder) -> Builder) -> BuildError {
    choose(Server::builder()).build().expect_err("invalid options")
}

#[test]
fn limit_of_zero_is_error() {
    let nothing = Duration::ZERO;
    for (option, error) in [
        ("max_rooms", error(|builder| builder.max_rooms(0))),
        ("max_name", error(|builder| builder.max_name(0))),
        ("max_message", error(|builder| builder.max_message(0))),
        ("max_handshakes", error(|builder| builder.max_handshakes(0))),
        ("max_handshakes_per_address", error(|builder| builder.max_handshakes_per_address(0))),
        ("max_connections", error(|builder| builder.max_connections(0))),
        ("max_connections_per_address", error(|builder| builder.max_connections_per_address(0))),
        ("drain", error(|builder| builder.drain(nothing, 1))),
        ("drain", error(|builder| builder.drain(Duration::from_secs(1), 0))),
    ] {
        assert_eq!(error, BuildError::Zero { option });
    }
}

#[test]
fn echo_server_keeps_options_set_earlier() {
    let error = error(|builder| builder.max_rooms(0).echo());
    assert_eq!(error, BuildError::Zero { option: "max_rooms" });
}

#[test]
fn echo_server_echoes_messages() {
    use roomer_testkit::{World, frames::first_byte};

    let mut world = World::new(1, Server::builder().echo());
    let clients = [world.connect(), world.connect()];
    world.settle();
    clients[0].send_frame(first_byte::FINAL | first_byte::BINARY, b"no packet");
    world.settle();
    assert_eq!(clients[0].raw(), [&b"no packet"[..]]);
    assert!(clients[1].raw().is_empty());
}

#[test]
fn limit_per_address_must_not_exceed_total() {
    let error = error(|builder| builder.max_connections(10).max_connections_per_address(11));
    let text = "max_connections_per_address (11) must not be above max_connections (10): lower the \
                first, or raise the second";
    assert_eq!(error.to_string(), text);
    let sound = Server::builder().max_handshakes(10).max_handshakes_per_address(10);
    assert!(sound.build().is_ok());
    // A total below a default limit per address lowers that default.
    assert!(Server::builder().max_handshakes(1).max_connections(1).build().is_ok());
}

#[test]
fn two_authorize_hooks_are_error() {
    let quick = |builder: Builder| builder.authorize(|_| Ok(Claims::new()));
    let slow = |builder: Builder| builder.authorize_async(async |_| Ok(Claims::new()));
    let both = BuildError::Exclusive("authorize", "authorize_async");
    assert_eq!(error(|builder| slow(quick(builder))), both);
    assert_eq!(error(|builder| quick(slow(builder))), both);
    assert_eq!(both.to_string(), "authorize and authorize_async exclude each other; remove one");
    assert!(slow(Server::builder()).build().is_ok());
}

#[test]
fn paths_are_unique_and_begin_with_slash() {
    let taken = |path: &str| BuildError::DuplicatePath(path.into());
    assert_eq!(error(|builder| builder.page("/ws", "text/plain", "")), taken("/ws"));
    assert_eq!(error(|builder| builder.health("/live", "/live")), taken("/live"));
    assert_eq!(error(|builder| builder.health("/ws", "/ready")), taken("/ws"));
    let slashless = error(|builder| builder.health("/live", "ready"));
    assert_eq!(slashless, BuildError::Path("ready".into()));
    for path in ["/a?b", "/a#b"] {
        assert_eq!(error(|builder| builder.path(path)), BuildError::Path(path.into()));
    }
}

#[test]
fn path_has_no_parameters_or_wildcards() {
    for path in ["/ws/{id}", "/ws/:id", "/ws/*", "/*rest/ws"] {
        let refused = error(|builder| builder.path(path));
        let encoded = path.replace('{', "%7B").replace('}', "%7D");
        assert_eq!(refused, BuildError::PathPattern(encoded));
    }
    assert!(Server::builder().path("/a:b/c*").build().is_ok());
}

#[test]
fn room_patterns_have_star_only_at_end() {
    type Set = fn(Builder, &str) -> Builder;
    let options: &[(&str, Set)] = &[
        ("presence", |it, pattern| it.presence(pattern, Presence::Off)),
        ("history", |it, pattern| it.history(pattern, History::last(1))),
        ("announce_away", |it, pattern| it.announce_away(pattern)),
        #[cfg(feature = "deflate")]
        ("deflate", |it, pattern| it.deflate(pattern, 512)),
        ("order", |it, pattern| it.cluster(Cluster::named("chess").order(pattern, Order::Room))),
    ];
    for &(option, set) in options {
        for pattern in ["a*b", "*b", "**", "a*b*"] {
            let refused = error(|builder| set(builder, pattern));
            let pattern = pattern.to_owned();
            assert!(refused.to_string().contains("* at the end"), "{refused}");
            assert_eq!(refused, BuildError::RoomPattern { option, pattern });
        }
        for pattern in ["a", "a*", "*", ""] {
            assert!(set(Server::builder(), pattern).build().is_ok(), "{option}: {pattern}");
        }
    }
}

#[test]
fn packets_fit_in_max_message() {
    let refused = error(|builder| builder.max_message(63));
    assert_eq!(refused, BuildError::MaxMessage { bytes: 63, least: 64 });
    assert!(Server::builder().max_message(64).build().is_ok());
}

#[test]
fn origin_with_invalid_port_is_error() {
    for origin in ["http://localhost:*", "http://localhost:99999", "http://localhost:"] {
        assert_eq!(
            error(|builder| builder.allow_origin(origin)),
            BuildError::Origin(origin.into())
        );
    }
}

#[test]
fn proxy_protocol_requires_trusted_proxy() {
    assert_eq!(error(|builder| builder.proxy_protocol()), BuildError::ProxyProtocol);
    assert!(Server::builder().trust_proxy("unix").proxy_protocol().build().is_ok());
}

#[test]
fn subprotocol_name_must_be_http_token() {
    for name in ["", "a b", "token.x"] {
        assert_eq!(
            error(|builder| builder.subprotocol(name)),
            BuildError::Subprotocol(name.into())
        );
    }
}

#[test]
fn debug_output_of_error_is_sentence() {
    let error = error(|builder| builder.max_message(0));
    assert_eq!(
        format!("{error:?}"),
        "max_message must not be zero: leave it out to use its default"
    );
}

/// Applications usually write `Duration::MAX` for no limit.
#[test]
fn unlimited_times_do_not_overflow() {
    use roomer_testkit::{Handshake, World};

    let (forever, hour) = (Duration::MAX, Duration::from_secs(3600));
    let builder = Server::builder()
        .handshake_timeout(forever)
        .pong_timeout(forever)
        .write_timeout(forever)
        .message_timeout(forever)
        .close_timeout(forever)
        .resume_window(forever)
        .retry_window(forever)
        .coalesce(forever)
        .renew_login_before_expiry(forever)
        .drain(forever, 1000)
        .authorize(|_| Ok(Claims::new().valid_for(Duration::MAX)));
    let mut world = World::new(1, builder);
    let (ann, bob) = (world.connect(), world.connect());
    let eve = world.connect_extended(Handshake::new());
    // Send only the beginning of a request and of a message.
    let late = world.connect_raw(b"GET /ws".to_vec());
    world.settle();
    ann.send_bytes(&[0x82, 0xff]);
    bob.stall(0);
    eve.send("root", "chat", [b'x'; 5000]);
    eve.reset();
    world.advance(hour);
    bob.close(1000, "");
    bob.resume();
    let eve = world.reconnect(&eve);
    world.advance(hour);
    assert!(ann.is_open() && eve.is_resumed());
    assert_eq!((bob.closed().and_then(|end| end.code), late.status()), (Some(1000), None));
    world.server().shutdown();
    world.settle();
    assert_eq!(ann.closed().and_then(|end| end.code), Some(1001));
}
