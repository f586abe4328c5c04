//! Tests a server that is mounted as a hyper service, over TCP and over other streams.

use crate::tokio_runtime::{in_time, runtime};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use roomer_tokio::{Mount, Server, mount};
use tokio::net::{TcpListener, UnixListener};

use roomer_conformance::client::Client;
use roomer_conformance::http::HttpRequest;
use roomer_conformance::wire;

#[test]
fn hyper_service_can_supply_address() {
    let server = Server::builder().max_connections_per_address(1).build().unwrap();
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    let shared = server.clone();
    runtime.spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let service = mount(shared.clone()).peer_from(move |_| Some(peer));
            let service = TowerToHyperService::new(service);
            tokio::spawn(async move {
                let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                let _ = http.with_upgrades().await;
            });
        }
    });
    let client = Client::connect(addr);
    assert_eq!(HttpRequest::upgrade(addr).head(addr).status, 429);
    client.close();
    in_time(&runtime, server.drained());
}

/// Serves one stream, either with hyper's `http1` or with hyper-util's `auto`.
fn serve_one<S>(io: S, server: &Server, is_auto: bool)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (io, service): (_, TowerToHyperService<Mount>) =
        (TokioIo::new(io), TowerToHyperService::new(mount(server.clone())));
    tokio::spawn(async move {
        if is_auto {
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection_with_upgrades(io, service)
                .await;
        } else {
            let _ = http1::Builder::new().serve_connection(io, service).with_upgrades().await;
        }
    });
}

#[test]
fn server_is_served_by_hyper_without_framework() {
    for is_auto in [false, true] {
        let server = Server::builder().build().unwrap();
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = server.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve_one(stream, &shared, is_auto);
            }
        });
        let (mut ann, mut bob) = (Client::connect(addr), Client::connect(addr));
        let payload = wire::filler(3_000_000);
        bob.send_to_room("root", "note", &payload);
        ann.expect_new_member("root", &bob.id);
        ann.expect("root", "note", "", &bob.id, &payload);
        ann.close();
        drop(bob);
        in_time(&runtime, server.drained());
    }
}

#[test]
fn non_tcp_sockets_are_served() {
    for is_auto in [false, true] {
        let server = Server::builder().build().unwrap();
        let path = format!("{}/mounted-{is_auto}.sock", env!("CARGO_TARGET_TMPDIR"));
        let _ = std::fs::remove_file(&path);
        let runtime = runtime();
        let listener = runtime.block_on(async { UnixListener::bind(&path) }).unwrap();
        let shared = server.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serve_one(stream, &shared, is_auto);
            }
        });
        runtime.block_on(async {
            let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
            let url = "ws://unix.example/ws";
            let (mut socket, _) =
                async_tungstenite::tokio::client_async(url, stream).await.unwrap();
            let welcome = futures_util::StreamExt::next(&mut socket).await.unwrap().unwrap();
            assert!(welcome.into_data().windows(8).any(|bytes| bytes == b"join_ack"));
            socket.close(None).await.unwrap();
        });
        in_time(&runtime, server.drained());
    }
}
