//! Tests two `roomer serve` processes that share their rooms.
//!
//! The HTTP API and the webhooks of one node are tested with connections to the other.

use std::net::SocketAddr;

use crate::support::hook::{Hook, Reply};
use crate::support::tokens::{SECRET, Signer, now};
use crate::support::{Answer, Serving, TempFile, roomer};
use roomer_conformance::broker::Broker;
use roomer_conformance::broker_kind::BrokerKind;
use roomer_conformance::client::Client;
use roomer_conformance::http::{HttpRequest, dial};
use roomer_conformance::parallel::at_once;
use roomer_conformance::programs::until;
use serde_json::{Value, json};

const KEY: &str = "the-key-of-the-backend-1";
const HOOK_SECRET: &str = "a-secret-that-both-sides-know-----";

/// A node, and the service to which it sends events.
struct Node {
    serving: Serving,
    hook: Hook,
    _files: Vec<TempFile>,
}

impl Node {
    fn start(broker: &dyn Broker, name: &str) -> Node {
        let hook = Hook::start(|_| Reply::Json(200, json!({})));
        let key = TempFile::new("key", KEY);
        let secret = TempFile::new("secret", SECRET);
        let shared = TempFile::new("webhooks", HOOK_SECRET);
        let text = format!(
            "[jwt]\nsecret = {:?}\n[webhooks]\nsecret = {:?}\nevents = {:?}\n\
             [limits]\nmax_message = 1000\n[[room]]\npattern = \"hall\"\npresence = \"count\"\n\
             [cluster]\nurl = {:?}\nnode = {name:?}\n[[api_key]]\nname = \"backend\"\nfile = {:?}\n",
            secret.path(),
            shared.path(),
            hook.address,
            broker.address(""),
            key.path()
        );
        let file = TempFile::new("cluster.toml", text);
        let serving = Serving::start_with(roomer(&["serve"]).arg(file.path()));
        Node { serving, hook, _files: vec![key, secret, shared, file] }
    }

    fn call(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let key = format!("Authorization: Bearer {KEY}");
        self.serving.request(method, path, &[&key], body)
    }

    #[track_caller]
    fn good(&self, method: &str, path: &str, body: &[u8]) -> Value {
        let answer = self.call(method, path, body);
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        answer.json()
    }

    /// Waits until this node counts this number of members in a room.
    #[track_caller]
    fn counts(&self, room: &str, members: usize) {
        until("a node counts other members", || {
            let counted = self.good("GET", &format!("/v1/rooms/{room}"), b"");
            (counted["members"] == members).then_some(())
        });
    }

    fn client(&self, user: &str) -> Client {
        let token = Signer::secret().token(&json!({ "exp": now(600), "sub": user }));
        let host = self.serving.url.trim_start_matches("ws://").trim_end_matches("/ws");
        let addr: SocketAddr = host.parse().unwrap();
        let request = HttpRequest::upgrade(addr).add("Authorization", &format!("Bearer {token}"));
        Client::upgrade(dial(addr), &request)
    }
}

#[test]
fn api_of_one_node_covers_connections_of_all() {
    at_once(BrokerKind::all().into_iter().map(|kind| (kind.to_string(), kind)), |kind| {
        let broker = kind.start();
        about_all(["a", "b"].map(|name| Node::start(&*broker, name)));
    });
}

fn about_all([one, two]: [Node; 2]) {
    let (mut ann, mut bob) = (one.client("ann"), two.client("bob"));
    let (ann_id, bob_id) = (ann.id.clone(), bob.id.clone());
    ann.join("lobby");
    [&one, &two].iter().for_each(|node| node.counts("lobby", 1));
    bob.join("lobby");
    [&one, &two].iter().for_each(|node| node.counts("lobby", 2));
    ann.expect_new_member("lobby", &bob_id);

    // Send messages to rooms.
    let publish = "/v1/rooms/lobby/messages/news";
    assert_eq!(one.good("POST", publish, b"one"), json!({ "members": 2 }));
    let but = format!("{publish}?except={bob_id}");
    one.good("POST", &but, b"not for bob");
    bob.expect("lobby", "news", "", "", b"one");
    ann.expect("lobby", "news", "", "", b"one");
    ann.expect("lobby", "news", "", "", b"not for bob");
    let body = json!({ "rooms": ["lobby"], "event": "news", "text": "two" }).to_string();
    let sent = two.good("POST", "/v1/broadcast", body.as_bytes());
    assert_eq!(sent, json!({ "members": { "lobby": 2 } }));
    for client in [&mut ann, &mut bob] {
        client.expect("lobby", "news", "", "", b"two");
    }

    // Send messages to a connection on the other node, and to a user. The counts that are returned
    // are those of this node.
    let mail = format!("/v1/connections/{bob_id}/messages/mail");
    let to_bob = "/v1/users/bob/messages/mail";
    for (node, path, text, here) in
        [(&one, &*mail, b"1", 1), (&one, to_bob, b"2", 0), (&two, to_bob, b"3", 1)]
    {
        assert_eq!(node.good("POST", path, text), json!({ "connections": here }));
        bob.expect("root", "mail", &bob_id, "", text);
    }
    // Other nodes would reject a message above the limit. The names count too.
    let fits = vec![b'x'; 1000];
    for path in [publish, &mail, to_bob] {
        let answer = one.call("POST", path, &fits);
        assert_eq!(answer.status, 413, "{path}: {}", answer.text());
        assert!(answer.text().contains("names included"), "{}", answer.text());
    }

    // List rooms and members.
    assert_eq!(one.good("GET", "/v1/rooms", b""), two.good("GET", "/v1/rooms", b""));
    let listed = one.good("GET", "/v1/rooms/lobby/members", b"");
    let mut members = [json!({ "id": ann_id, "user": "ann" }), json!({ "id": bob_id })];
    members.sort_unstable_by_key(|member| member["id"].as_str().unwrap().to_owned());
    assert_eq!(listed, json!({ "members": members, "more": false }));
    let elsewhere = one.call("GET", &format!("/v1/connections/{bob_id}"), b"");
    assert_eq!(elsewhere.status, 404, "{}", elsewhere.text());
    assert!(elsewhere.text().contains("on this node"), "{}", elsewhere.text());

    // Remove members, including from rooms whose members only their own node knows.
    let kick = |node: &Node, room: &str| {
        node.good("DELETE", &format!("/v1/rooms/{room}/members/{bob_id}"), b"")
    };
    assert_eq!(kick(&one, "lobby"), json!({ "connections": 1 }));
    bob.expect_left("lobby");
    ann.expect_member_left("lobby", &bob_id);
    bob.send_to_room("hall", "join", b"");
    bob.expect("hall", "join_ack", "", &bob_id, b"1");
    one.counts("hall", 1);
    assert_eq!(kick(&one, "hall"), json!({ "connections": 1 }));
    bob.expect_left("hall");
    assert_eq!(kick(&one, "root"), json!({ "connections": 1 }));
    bob.expect_left("root");
    bob.join("lobby");
    ann.expect_new_member("lobby", &bob_id);
    let removed = one.good("DELETE", "/v1/rooms/lobby/users/bob", b"");
    assert_eq!(removed, json!({ "connections": 0 }));
    bob.expect_left("lobby");
    ann.expect_member_left("lobby", &bob_id);
    for path in [format!("lobby/members/{bob_id}"), format!("root/members/{bob_id}")] {
        // Only the node of a connection knows the rooms that the connection is in.
        let answer = two.call("DELETE", &format!("/v1/rooms/{path}"), b"");
        assert_eq!(answer.status, 404, "{}", answer.text());
    }
    let stranger = format!("/v1/rooms/lobby/members/{}", "0".repeat(8) + &bob_id[8..]);
    assert_eq!(one.call("DELETE", &stranger, b"").status, 404);

    // Close connections.
    let end = format!("/v1/connections/{bob_id}?code=4321&reason=enough");
    assert_eq!(one.good("DELETE", &end, b""), json!({ "connections": 1 }));
    assert_eq!(bob.expect_close(4321), "enough");
    assert_eq!(two.good("DELETE", "/v1/users/ann?code=4322", b""), json!({ "connections": 0 }));
    ann.expect_close(4322);

    // Each node reports only its own connections.
    for (node, user, code) in [(&one, "ann", 4322), (&two, "bob", 4321)] {
        let mut events: Vec<Value> = Vec::new();
        while !events.iter().any(|event| event["event"] == "disconnected") {
            let batch = node.hook.next();
            assert!(batch.is_signed_with(HOOK_SECRET.as_bytes()));
            events.extend(batch.json()["events"].as_array().unwrap().iter().cloned());
        }
        assert!(events.iter().all(|event| event["user"] == user), "{events:?}");
        assert_eq!(events.last().unwrap()["code"], code);
    }
}
