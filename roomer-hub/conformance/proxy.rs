//! Who a client is behind a proxy: what `X-Forwarded-For` is worth.

use roomer_hub::server::{Builder, Claims};

use super::client::Client;
use super::http::{Ask, dial};
use super::site::Site;

/// Where the server takes this client to come from.
fn seen(choose: impl FnOnce(Builder) -> Builder, forwarded: &[&str]) -> String {
    let site = Site::with(|builder| {
        choose(builder)
            .authorize(|request| {
                let peer = request.peer().map_or("nobody".into(), |peer| peer.ip().to_string());
                Ok(Claims::from([("peer".into(), peer)]))
            })
            .on("who", |conn, message| {
                let peer = &conn.claims().expect("claims")["peer"];
                conn.send_to_client(message.src, "you", peer.as_bytes());
                Ok(())
            })
    });
    let ask = forwarded
        .iter()
        .fold(Ask::upgrade(site.addr), |ask, line| ask.add("X-Forwarded-For", line));
    let mut client = Client::upgrade(dial(site.addr), &ask);
    client.say("root", "who", b"");
    let peer = String::from_utf8(client.packet().payload).unwrap();
    client.goodbye();
    peer
}

#[test]
fn by_default_what_is_forwarded_is_not_believed() {
    assert_eq!(seen(|builder| builder, &["1.2.3.4"]), "127.0.0.1");
}

#[test]
fn a_trusted_proxy_is_believed_about_its_own_caller_only() {
    let local = |builder: Builder| builder.trust_proxy("127.0.0.0/8");
    assert_eq!(seen(local, &["1.2.3.4"]), "1.2.3.4");
    assert_eq!(seen(local, &["6.6.6.6, 1.2.3.4"]), "1.2.3.4");
    assert_eq!(seen(local, &["6.6.6.6", "1.2.3.4, 127.0.0.2"]), "1.2.3.4");
    assert_eq!(seen(local, &[]), "127.0.0.1");
}

#[test]
fn who_is_no_trusted_proxy_is_not_believed() {
    let elsewhere = |builder: Builder| builder.trust_proxy("10.0.0.1").trust_proxy("unix");
    assert_eq!(seen(elsewhere, &["1.2.3.4"]), "127.0.0.1");
}
