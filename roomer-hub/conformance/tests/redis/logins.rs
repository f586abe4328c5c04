//! Tests Redis passwords, users and permissions.

use super::*;

/// The users of a server: the first has all permissions that a node needs, the second must not
/// publish, and the third has no channels.
const USERS: [&str; 3] = [
    "all on >p:w &chat.* +hello +subscribe +publish +ping",
    "listener on >p &chat.* +hello +subscribe +ping",
    "outsider on >p resetchannels +hello +subscribe +publish +ping",
];

#[test]
fn passwords_are_checked() {
    Runtime::run(async {
        let server = Redis::start(&["--requirepass", "s@cret"]);
        Node::up(1, &server.address(":s%40cret@")).await;
        Node::up(1, &server.address("default:s%40cret@")).await;
        for login in [":secret@", "default@", "ann:s%40cret@"] {
            assert_eq!(reason(&server.address(login)).await, "it rejects the login", "{login}");
        }
        let due = "it requires a login: write user:password@ or :password@ before the host";
        assert_eq!(reason(&server.address("")).await, due);
    });
}

#[test]
fn missing_permissions_error_names_remedy() {
    let users = USERS.map(|user| format!("--user {user}"));
    let args: Vec<&str> = users.iter().flat_map(|user| user.split(' ')).collect();
    Runtime::run(async {
        let server = Redis::start(&args);
        let mut node = Node::up(1, &server.address("all:p%3Aw@")).await;
        let due = "allow the user the commands hello, subscribe, publish and ping, and the channels \
                   chat.*";
        let found = reason(&server.address("outsider:p@")).await;
        assert!(found.contains("channels used as arguments") && found.ends_with(due), "{found}");
        // The server checks the permission to publish only when it receives the first frame.
        let mut listener = Node::up(2, &server.address("listener:p@")).await;
        node.publish(Subject::Node(listener.id), "hello").await;
        node.flush().await;
        assert_eq!(listener.frame().await, "hello");
        listener.publish(Subject::All, "hello").await;
        let found = listener.expect_down().await;
        assert!(found.contains("'publish' command") && found.ends_with(due), "{found}");
    });
}
