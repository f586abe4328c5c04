//! Tests the selection of a subprotocol, and tokens among the subprotocols that a client offers.

use roomer_engine::{Builder, Claims, Rejection};

use super::test_server::TestServer;
use roomer_conformance::client::Client;
use roomer_conformance::http::{ACCEPT, HttpRequest, dial};

const PROTOCOL: &str = "Sec-WebSocket-Protocol";

/// Returns the subprotocol that the server selects if a client offers these.
fn selected(test: &TestServer, offers: &[&str]) -> Option<String> {
    let ask =
        offers.iter().fold(HttpRequest::upgrade(test.addr), |ask, line| ask.add(PROTOCOL, line));
    let answer = ask.head(test.addr);
    assert_eq!((answer.status, answer.header("sec-websocket-accept")), (101, Some(ACCEPT)));
    answer.header("sec-websocket-protocol").map(str::to_owned)
}

#[test]
fn only_roomer_subprotocol_is_selected_by_default() {
    let test = TestServer::start();
    assert_eq!(selected(&test, &["chat, superchat"]), None);
    assert_eq!(selected(&test, &[]), None);
    assert_eq!(selected(&test, &["roomer"]).as_deref(), Some("roomer"));
    assert_eq!(selected(&test, &["token.c2VjcmV0"]), None, "a token is never sent back");
    assert_eq!(selected(&test, &["token.c2VjcmV0, roomer"]).as_deref(), Some("roomer"));
}

#[test]
fn first_offered_known_subprotocol_is_selected() {
    let test = TestServer::with(|builder| builder.subprotocol("chat.v1").subprotocol("chat.v2"));
    assert_eq!(selected(&test, &["chat.v3, chat.v2, chat.v1"]).as_deref(), Some("chat.v2"));
    assert_eq!(selected(&test, &["chat.v1", "chat.v2"]).as_deref(), Some("chat.v1"));
    assert_eq!(selected(&test, &["CHAT.V1"]), None, "names are case-sensitive");
}

/// Configures a server that accepts one token, and reports every token that it receives.
fn guarded(builder: Builder) -> Builder {
    builder
        .authorize(|request| match request.token().as_deref() {
            Some(token @ ("süß&?" | "secret")) => Ok(Claims::from([("t".into(), token.into())])),
            _ => Err(Rejection::unauthorized("a token, please")),
        })
        .on("who", |conn, message| {
            let token = &conn.claims().ok_or("no claims")?["t"];
            conn.send_to_client(message.src, "you", token.as_bytes());
            Ok(())
        })
}

#[test]
fn token_is_read_from_query_header_and_subprotocol() {
    let test = TestServer::with(guarded);
    let plain = HttpRequest::upgrade(test.addr);
    for (ask, token) in [
        (plain.clone().add(PROTOCOL, "roomer, token.c8O8w58mPw"), "süß&?"),
        (plain.clone().add(PROTOCOL, "roomer").add(PROTOCOL, "token.c2VjcmV0"), "secret"),
        (plain.clone().target("/ws?token=s%C3%BC%C3%9F%26?"), "süß&?"),
        (plain.clone().add("Authorization", "Bearer secret"), "secret"),
        (plain.clone().add("Authorization", "Basic c2VjcmV0").target("/ws?token=secret"), "secret"),
    ] {
        let mut client = Client::upgrade(dial(test.addr), &ask);
        client.send_to_room("root", "who", b"");
        assert_eq!(client.expect_packet().payload, token.as_bytes());
        client.close();
    }
    for offers in ["roomer", "roomer, token.", "roomer, token.c2VjcmV", "roomer, token.c2VjcmV0="] {
        let answer = plain.clone().add(PROTOCOL, offers).rejected(test.addr);
        assert_eq!(answer.status, 401, "{offers}");
        assert_eq!(answer.header("sec-websocket-protocol"), None);
    }
}
