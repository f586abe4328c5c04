//! The examples, run as they are, over real sockets. That of TLS is in `tls.rs`.
#![cfg(feature = "json")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../examples/smol_ticker.rs"]
mod ticker;

use std::thread;

use smol::channel;
use smol::net::TcpListener;

#[test]
fn the_ticker_ticks() {
    let listener = smol::block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = channel::bounded::<()>(1);
    let example = thread::spawn(move || {
        smol::block_on(ticker::run(listener, stopped.recv())).map_err(|error| error.to_string())
    });
    roomer_conformance::game::play(addr);
    stop.try_send(()).unwrap();
    example.join().unwrap().unwrap();
}
