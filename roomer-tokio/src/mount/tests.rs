//! Tests that the socket is found inside the wrappers of hyper and hyper-util.

use std::future::{Ready, ready};
use std::io::Write;
use std::sync::Mutex;

use hyper::server::conn::http1;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::*;

const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nbehind";

/// A service that passes the upgraded stream to the test.
#[derive(Clone)]
struct Catch(std::sync::Arc<Mutex<Option<oneshot::Sender<Upgraded>>>>);

impl<B> Service<http::Request<B>> for Catch {
    type Response = http::Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let (stream, sender) = (hyper::upgrade::on(&mut request), self.0.lock().unwrap().take());
        tokio::spawn(async move { drop(sender.unwrap().send(stream.await.unwrap())) });
        let mut response = http::Response::new(String::new());
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        ready(Ok(response))
    }
}

/// Upgrades one connection. Returns hyper's stream, and the client.
async fn upgraded(is_auto: bool) -> (Upgraded, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.write_all(REQUEST).unwrap();
    let io = TokioIo::new(listener.accept().await.unwrap().0);
    let (sender, receiver) = oneshot::channel();
    let service = TowerToHyperService::new(Catch(std::sync::Arc::new(Mutex::new(Some(sender)))));
    tokio::spawn(async move {
        if is_auto {
            let auto = auto::Builder::new(TokioExecutor::new());
            let _ = auto.serve_connection_with_upgrades(io, service).await;
        } else {
            let _ = http1::Builder::new().serve_connection(io, service).with_upgrades().await;
        }
    });
    (receiver.await.unwrap(), client)
}

#[tokio::test]
async fn socket_and_bytes_after_request_are_found() {
    for is_auto in [false, true] {
        let (stream, client) = upgraded(is_auto).await;
        let (socket, leftover) = unwrap(stream).unwrap_or_else(|_| panic!("auto: {is_auto}"));
        assert_eq!(socket.peer_addr().unwrap(), client.local_addr().unwrap());
        assert_eq!(leftover, b"behind");
    }
}
