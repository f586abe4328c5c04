//! Tests of resuming a session on a framework's connection.

use std::future::Future;
use std::task::{Context, Waker};

use http::Request;
use roomer_engine::Server;
use roomer_testkit::frames::{self, Frame};
use roomer_testkit::socket;

/// The framework has already sent the response, so the rejection must be reported in a close frame.
#[test]
fn full_server_closes_resume_of_ended_session() {
    assert_eq!(close_of_return(1011), (Some(1013), Vec::new()));
    // The application's word is final, and does not depend on the server's load.
    assert_eq!(close_of_return(4000), (Some(4000), b"bye".to_vec()));
}

/// Returns the close frame of a client that returns to a full server while the application closes
/// its session.
fn close_of_return(code: u16) -> (Option<u16>, Vec<u8>) {
    let server = Server::builder().max_connections(1).build().unwrap();
    let connect = |query: &str| {
        let request = Request::get(format!("/?roomer=2{query}"))
            .header("Host", "chat.example")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        let upgrade = server.upgrade(request.body(()).unwrap(), None).unwrap();
        let (socket, peer) = socket();
        (Box::pin(upgrade.connect(socket, b"")), peer)
    };
    let mut cx = Context::from_waker(Waker::noop());
    let (mut first, peer) = connect("");
    assert!(first.as_mut().poll(&mut cx).is_pending());
    let mut bytes = Vec::new();
    peer.take(usize::MAX, &mut bytes);
    let hello = String::from_utf8_lossy(&bytes);
    let token = hello.split("\"session\":\"").nth(1).unwrap().split('"').next().unwrap();
    let (mut second, peer) = connect(&format!("&session={token}&received=0"));
    assert!(second.as_mut().poll(&mut cx).is_pending());
    // The old socket stays counted until its closing handshake is complete.
    server.conn(&token[..36]).unwrap().close(code, "bye");
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(second.as_mut().poll(&mut cx).is_ready());
    bytes.clear();
    peer.take(usize::MAX, &mut bytes);
    assert_eq!((server.stats().sockets, server.stats().opened), (1, 1));
    match frames::read(&bytes).unwrap() {
        Some((Frame::Close(code, reason), _)) => (code, reason.to_vec()),
        other => panic!("no close frame: {other:?}"),
    }
}
