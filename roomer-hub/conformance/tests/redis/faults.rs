//! Tests links to Redis servers that disappear or refuse connections, and to other servers.

use roomer_conformance::http::refusing_port;

use super::*;

#[test]
fn server_restart_is_detected() {
    Runtime::run(async {
        let mut server = Redis::start(&[]);
        let address = server.address("");
        let (mut a, mut b) = (Node::up(1, &address).await, Node::up(2, &address).await);
        for _ in 0..3 {
            server.kill();
            for node in [&mut a, &mut b] {
                let reason = node.expect_down().await;
                assert!(reason.starts_with(&address), "{reason}");
                assert!(!node.carrier.publish(Subject::All, "lost".into()));
            }
            server.restart();
            for node in [&mut a, &mut b] {
                node.expect_up().await;
            }
            a.publish(Subject::Node(b.id), "back").await;
            a.flush().await;
            assert_eq!(b.frame().await, "back");
        }
    });
}

#[test]
fn refused_connection_error_names_remedy() {
    let (_held, port) = refusing_port();
    let address = format!("redis://u:secret@127.0.0.1:{port}");
    let reason = Runtime::run(async { Node::new(1, &address).expect_down().await });
    let due = format!("redis://127.0.0.1:{port}: it refuses connections: is it running?");
    assert_eq!(reason, due);
}

#[test]
fn non_redis_server_error_names_remedy() {
    let found = reason_of("redis", b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(found, "this is not a Redis server: it sends \"HTTP/1.1 400 Bad Request\"");
    assert_eq!(reason_of("redis", b""), "it does not answer within 2 s: is this Redis?");
}
