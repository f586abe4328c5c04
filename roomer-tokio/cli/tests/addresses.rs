//! Tests of the clients' addresses.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::support::hook::{Asked, Hook, Reply};
use crate::support::{Serving, TempFile, roomer};

#[test]
fn ipv4_client_of_listener_for_both_has_ipv4_address() {
    let hook = Hook::start(|_: &Asked| Reply::Json(200, json!({})));
    let secret = TempFile::new("webhooks", "a-secret-that-both-sides-know-----");
    let events = Hook::start(|_: &Asked| Reply::Json(200, json!({})));
    let webhooks = ["--webhooks-secret", secret.path(), "--webhooks-authorize", &hook.address];
    let mut command = roomer(&["serve", "--webhooks-events", &events.address]);
    let serving = Serving::start_at("[::]:0", command.args(webhooks));
    let port = serving.url.trim_end_matches("/ws").rsplit_once(':').unwrap().1.to_owned();
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    write!(
        stream,
        "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .unwrap();
    stream.read_exact(&mut [0; 12]).unwrap();
    assert_eq!(hook.next().json()["address"], "127.0.0.1");
    assert_eq!(events.next().json()["events"][0]["address"], "127.0.0.1");
}
