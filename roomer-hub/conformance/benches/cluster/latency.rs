//! Measures the latency of messages to members on the same node and on another one.
//!
//! The latency of the broker alone is measured for comparison.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use roomer_conformance::broker::{Broker, Nats};
use roomer_conformance::client::Client;
use roomer_conformance::programs::until;
use roomer_engine::cluster::Cluster;
use roomer_tokio::Server;

use crate::bare::{self, Messages};
use crate::load;

const MESSAGES: usize = 3000;

pub(crate) fn compare(broker: &Nats) {
    let [first, second] = ["a", "b"].map(|name| start(name, &broker.address("")));
    let mut a = Client::connect(first.1);
    let mut here = Client::connect(first.1);
    until("the nodes do not find each other", || {
        (second.0.member_count("root") == 2).then_some(())
    });
    let mut there = Client::connect(second.1);
    a.expect_new_member("root", &here.id);
    for client in [&mut a, &mut here] {
        client.expect_new_member("root", &there.id);
    }
    let mut messages = Messages::subscribe(bare::connect(broker.port), "latency");
    let mut stream = bare::connect(broker.port);
    let mut times = [(); 3].map(|()| Vec::new());
    for _ in 0..MESSAGES {
        let start = Instant::now();
        stream.write_all(b"PUB latency 2\r\nhi\r\n").unwrap();
        messages.next();
        times[0].push(start.elapsed());
        times[1].push(pass(&mut a, &mut here));
        times[2].push(pass(&mut a, &mut there));
    }
    println!("time of a message in µs, p50 and p99; load of the machine {}", load());
    for (name, times) in ["the broker alone", "on one node", "to the other node"].iter().zip(times)
    {
        let mut times: Vec<u128> = times.iter().map(Duration::as_micros).collect();
        times.sort_unstable();
        println!("{name}: {}, {}", times[MESSAGES / 2], times[MESSAGES * 99 / 100]);
    }
}

/// Sends a direct message. Returns the time until the receiver has read it.
fn pass(from: &mut Client, to: &mut Client) -> Duration {
    let dst = to.id.clone();
    let start = Instant::now();
    from.send_to_client(&dst, "root", "chat", b"hi");
    to.expect("root", "chat", &dst, &from.id, b"hi");
    start.elapsed()
}

/// Starts a node, whose thread ends together with the process.
fn start(name: &str, broker: &str) -> (Server, SocketAddr) {
    let server = Server::builder().cluster(Cluster::named("latency").node(name)).build().unwrap();
    let (own, broker) = (server.clone(), broker.parse().unwrap());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            tokio::spawn(roomer_tokio::cluster(server.clone(), broker));
            roomer_tokio::serve(listener, server).await.unwrap();
        });
    });
    (own, receiver.recv().unwrap())
}
