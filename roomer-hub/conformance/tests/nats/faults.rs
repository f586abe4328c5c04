//! Tests links to NATS servers that disappear, refuse connections or use another protocol.

use roomer_conformance::http::refusing_port;

use super::*;

#[test]
fn server_restart_is_detected() {
    each_server(async |program| {
        let mut server = Nats::start(program, &[]);
        let (mut a, mut b) =
            (Node::up(1, &server.address("")).await, Node::up(2, &server.address("")).await);
        for _ in 0..3 {
            server.kill();
            for node in [&mut a, &mut b] {
                let reason = node.expect_down().await;
                assert!(reason.starts_with(&server.address("")), "{reason}");
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
fn second_server_takes_over() {
    each_server(async |program| {
        let (mut first, second) = (Nats::start(program, &[]), Nats::start(program, &[]));
        let address = format!("{},{}", first.address(""), second.address(""));
        let mut a = Node::up(1, &address).await;
        let mut b = Node::up(2, &second.address("")).await;
        first.kill();
        a.expect_down().await;
        a.expect_up().await;
        a.publish(Subject::Node(b.id), "here").await;
        a.flush().await;
        assert_eq!(b.frame().await, "here");
    });
}

#[test]
fn refused_connection_error_names_remedy() {
    let (_held, port) = refusing_port();
    let address = format!("nats://u:secret@127.0.0.1:{port}");
    let reason = Runtime::run(async { Node::new(1, &address).expect_down().await });
    let due = format!("nats://127.0.0.1:{port}: it refuses connections: is it running?");
    assert_eq!(reason, due);
}

#[test]
fn unknown_host_error_names_remedy() {
    let reason = Runtime::run(async { Node::new(1, "nats://broker.invalid").expect_down().await });
    assert!(reason.starts_with("nats://broker.invalid:4222: "), "{reason}");
}

#[test]
fn non_nats_server_error_names_remedy() {
    let found = reason_of("nats", b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(found, "this is not a NATS server: it sends \"HTTP/1.1 400 Bad Request\"");
    assert_eq!(reason_of("nats", b""), "it has sent no greeting within 2 s: is this NATS?");
}
