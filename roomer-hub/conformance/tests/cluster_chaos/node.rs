//! Runs a node as a separate process: the test executable, started with an environment variable.

use std::alloc::System;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use cap::Cap;
use roomer_conformance::port::own_port;
use roomer_engine::Server;
use roomer_engine::cluster::{BrokerAddress, Cluster};
use rustix::process::{Pid, Signal, kill_process};

/// The environment variable that contains the runtime, address and broker of the node.
const NODE: &str = "ROOMER_CHAOS_NODE";

const LISTENING: &str = "listening on ";
const ALLOCATED: &str = "allocated ";

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// A running node process. Dropping this value kills the process.
pub(crate) struct Process {
    pub(crate) addr: SocketAddr,
    runtime: &'static str,
    broker: String,
    child: Child,
    allocated: Arc<AtomicUsize>,
}

impl Process {
    pub(crate) fn start(runtime: &'static str, broker: &str) -> Process {
        let (child, addr, allocated) = spawn(runtime, &format!("127.0.0.1:{}", own_port()), broker);
        Process { addr, runtime, broker: broker.into(), child, allocated }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the node again, at its previous address.
    pub(crate) fn restart(&mut self) {
        let (child, _, allocated) = spawn(self.runtime, &self.addr.to_string(), &self.broker);
        (self.child, self.allocated) = (child, allocated);
    }

    /// Returns the number of bytes that the process has allocated and not freed, according to its
    /// latest report; 0 before the first report. Unlike resident memory, this does not depend on
    /// what the allocator keeps.
    pub(crate) fn allocated(&self) -> usize {
        self.allocated.load(Ordering::Relaxed)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn spawn(runtime: &str, addr: &str, broker: &str) -> (Child, SocketAddr, Arc<AtomicUsize>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cluster_chaos::node::serve", "--ignored", "--nocapture"])
        .env(NODE, format!("{runtime} {addr} {broker}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let addr = lines.find_map(|line| line.split_once(LISTENING)?.1.parse().ok());
    let addr = addr.expect("the node listens");
    let allocated = Arc::new(AtomicUsize::new(0));
    let last = allocated.clone();
    // Read all lines: after 60 s the test harness prints a line, and if it cannot, the process
    // ends.
    thread::spawn(move || {
        let reports = lines.filter_map(|line| line.strip_prefix(ALLOCATED)?.parse().ok());
        reports.for_each(|bytes| last.store(bytes, Ordering::Relaxed));
    });
    (child, addr, allocated)
}

/// Not a test: it is the main function of a node's process.
#[test]
#[ignore = "the process of a node"]
fn serve() {
    let Ok(node) = std::env::var(NODE) else { return };
    let mut words = node.split(' ');
    let (runtime, addr, broker) =
        (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let broker: BrokerAddress = broker.parse().unwrap();
    let listener = std::net::TcpListener::bind(addr).unwrap();
    // A node that is restarted has its previous address, and therefore its previous name.
    let name = listener.local_addr().unwrap().to_string();
    let cluster = Cluster::named("chaos").node(name);
    let server = Server::builder().cluster(cluster).build().unwrap();
    println!("{LISTENING}{}", listener.local_addr().unwrap());
    thread::spawn(|| {
        loop {
            println!("{ALLOCATED}{}", ALLOCATOR.allocated());
            thread::sleep(Duration::from_millis(200));
        }
    });
    listener.set_nonblocking(true).unwrap();
    match runtime {
        "tokio" => tokio::runtime::Runtime::new().unwrap().block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tokio::spawn(roomer_tokio::cluster(server.clone(), broker));
            roomer_tokio::serve(listener, server).await.unwrap();
        }),
        _ => smol::block_on(async {
            let listener = smol::Async::<std::net::TcpListener>::try_from(listener).unwrap();
            smol::spawn(roomer_smol::cluster(server.clone(), broker)).detach();
            let listener = smol::net::TcpListener::from(listener);
            roomer_smol::serve(listener, server).await.unwrap();
        }),
    }
}
