//! Tests the connections of a `serve` future that was dropped.

use std::io::Write;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use roomer_conformance::client::{Client, Received};
use roomer_conformance::http::{HttpResponse, dial};
use roomer_engine::Server;

/// `serve` runs the server in a `serve` future, and returns its address and a function that drops
/// the future.
pub(crate) fn connections_keep_timers<D: FnOnce()>(serve: impl FnOnce(Server) -> (SocketAddr, D)) {
    let server = Server::builder()
        .ping_interval(Duration::from_millis(500))
        // On a busy machine, it may take a while until both clients are connected.
        .pong_timeout(Duration::from_secs(5))
        .handshake_timeout(Duration::from_secs(5));
    let server = server.build().unwrap();
    let (addr, end) = serve(server.clone());
    let mut client = Client::connect(addr);
    let mut idler = dial(addr);
    idler.write_all(b"GET /ws HTTP/1.1\r\nHost: ").unwrap();
    while server.stats().sockets < 2 {
        thread::yield_now();
    }
    end();
    let mut pings = 0;
    let close = loop {
        match client.receive() {
            Received::Ping(_) => pings += 1,
            Received::Close(code, reason) => break (code, reason),
            _ => {}
        }
    };
    assert_eq!(close, (Some(1013), "no sign of life".into()));
    assert!(pings >= 1);
    assert_eq!(HttpResponse::read(&mut idler, false).status, 408);
}
