//! Tests NATS users, tokens and permissions.

use super::*;

const PERMISSIONS: &str = r#"
authorization {
    users = [
        { user: "all", password: "p", permissions: { publish: ["chat.>"], subscribe: ["chat.>"] } }
        { user: "listener", password: "p", permissions: { publish: ["other"], subscribe: ["chat.>"] } }
        { user: "speaker", password: "p", permissions: { publish: ["chat.>"], subscribe: ["other"] } }
    ]
}
"#;

/// Returns the reason for which a link with this login goes down, without the address in it.
async fn reason(server: &Nats, login: &str) -> String {
    let reason = rejection(&server.address(login)).await;
    reason.strip_prefix(&format!("{}: ", server.address(""))).unwrap().to_owned()
}

#[test]
fn users_and_passwords_are_checked() {
    each_server(async |program| {
        let server = Nats::start(program, &["--user", "a@b", "--pass", "p:\"s"]);
        Node::up(1, &server.address("a%40b:p%3A%22s@")).await;
        assert_eq!(reason(&server, "a%40b:p@").await, "it rejects the login");
        assert_eq!(reason(&server, "p%3As@").await, "it rejects the login");
        let due = "it requires a login: write user:password@ or token@ before the host";
        assert_eq!(reason(&server, "").await, due);
    });
}

#[test]
fn tokens_are_checked() {
    each_server(async |program| {
        let server = Nats::start(program, &["--auth", "t/k"]);
        Node::up(1, &server.address("t%2Fk@")).await;
        assert_eq!(reason(&server, "t@").await, "it rejects the login");
        assert_eq!(reason(&server, "t%2Fk:x@").await, "it rejects the login");
    });
}

#[test]
fn missing_permissions_error_names_remedy() {
    each_server(async |program| {
        let server = Nats::configured(program, PERMISSIONS);
        let mut node = Node::up(1, &server.address("all:p@")).await;
        let due = "allow the user to publish and to subscribe to chat.>";
        let found = reason(&server, "speaker:p@").await;
        let subject = "Permissions Violation for Subscription to \"chat.all\"";
        assert_eq!(found, format!("{subject}: {due}"));
        // The server checks the permission to publish only when it receives the first frame.
        let mut listener = Node::up(2, &server.address("listener:p@")).await;
        node.publish(Subject::Node(listener.id), "hello").await;
        node.flush().await;
        assert_eq!(listener.frame().await, "hello");
        listener.publish(Subject::All, "hello").await;
        let found = listener.expect_down().await;
        assert!(found.contains("Publish to \"chat.all\"") && found.ends_with(due), "{found}");
    });
}
