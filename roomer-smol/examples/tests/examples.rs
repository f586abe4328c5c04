//! Tests the examples over real sockets. The conformance tests cover the TLS example.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::thread;

use roomer_smol_examples::smol_ticker as ticker;
use smol::channel;
use smol::net::TcpListener;

#[test]
fn ticker_sends_ticks() {
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
